"""`edge-inspect fleet rollout`: plans a roll-out or reads its record, and runs it to its end."""

from __future__ import annotations

import contextlib
import logging
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.errors import CheckFailed
from edge_inspect.edge.fleet import connection as connection_module
from edge_inspect.edge.fleet.connection import FleetConnection
from edge_inspect.edge.fleet.known_stations import KnownStations
from edge_inspect.edge.fleet.listing import list_stations
from edge_inspect.edge.fleet.progress import Progress, summary
from edge_inspect.edge.fleet.rollout import KINDS, Rollout
from edge_inspect.edge.fleet.rollout_record import Plan, RolloutRecord
from edge_inspect.edge.fleet.selector import Selectors
from edge_inspect.edge.fleet.station_row import StationRow
from edge_inspect.edge.fleet.waves import plan_waves
from edge_inspect.edge.program import say
from edge_inspect.edge.signals import Signals


class Wanted(NamedTuple):
    """The options of a new roll-out.

    Attributes:
        bundle: The bundle, from which name and digest are read.
        to: Selectors of the stations.
        url: Address from which stations download it; `None`: they have it already.
        canary: Number of stations in the first wave.
        share: Share of all stations in the second wave.
        watch_parts: Number of parts that each station is watched for.
        watch_seconds: Longest time for that, in seconds.
        reply_seconds: Longest time for a reply, in seconds.
        by: Name of the sender.
        skip_offline: Whether stations that are offline are left out.
        wait: Longest time to wait for the stations' messages, in seconds.
    """

    bundle: Path
    to: list[str]
    url: str | None
    canary: int
    share: float
    watch_parts: int
    watch_seconds: float
    reply_seconds: float
    by: str
    skip_offline: bool
    wait: float


def make_plan(settings: MqttSettings, wanted: Wanted) -> Plan | None:
    """Return the plan of a roll-out; `None` if every station has the bundle already.

    Raises:
        BundleError: The bundle is damaged or missing.
        CheckFailed: The broker cannot be reached, no station was heard, or some are offline.
    """
    bundle = open_bundle(wanted.bundle)
    rows = list_stations(settings, Selectors(wanted.to), wanted.wait)
    here = [row for row in rows if _absence(row) is None]
    away = [f"{row['key']} ({_absence(row)})" for row in rows if _absence(row) is not None]
    if away:
        if not wanted.skip_offline or not here:
            raise CheckFailed(
                f"{len(away)} of {len(rows)} stations cannot be changed now: {', '.join(away)}; nothing was changed. "
                "Start them, or leave them out by --skip-offline"
            )
        say(f"left out: {', '.join(away)}")
    if have := [row["key"] for row in here if row["digest"] == bundle.digest]:
        say(f"have the bundle already: {', '.join(have)}")
    stations = [row["key"] for row in here if row["digest"] != bundle.digest]
    if not stations:
        return None
    return Plan(
        name=wanted.bundle.resolve().name,
        digest=bundle.digest,
        url=wanted.url,
        by=wanted.by,
        to=tuple(wanted.to),
        waves=plan_waves(stations, wanted.canary, wanted.share),
        watch_parts=wanted.watch_parts,
        watch_seconds=wanted.watch_seconds,
        reply_seconds=wanted.reply_seconds,
    )


def describe(plan: Plan) -> list[str]:
    """Return a line about the bundle, and one about each wave."""
    lines = [f"{plan.name} (digest {plan.digest[:12]}) to {len(plan.stations)} stations"]
    return [*lines, *(f"wave {wave.name}: {', '.join(wave.stations)}" for wave in plan.waves)]


def roll_out(settings: MqttSettings, record: RolloutRecord) -> None:
    """Run a roll-out to its end.

    SIGUSR1 pauses it, and a second one lets it go on. SIGTERM or Ctrl-C leaves it as it is.

    Raises:
        CheckFailed: The roll-out was stopped and the stations were rolled back, or no station was heard.
        KeyboardInterrupt: It was interrupted; it can go on from its record.
    """
    if record.finished:
        _end(record, f"{record.path}: this roll-out has ended; nothing is left to do")
        return
    progress = Progress()
    selectors = Selectors(record.plan.stations)
    with _logged(progress), Signals(reload=False) as signals:
        link = FleetConnection(settings, selectors.topics(KINDS))
        rollout = Rollout(record, KnownStations(selectors), link, progress.say)
        with _pausing(rollout):
            link.run(rollout.receive, lambda: signals.stop is not None or _step(rollout, progress))
    if signals.stop is not None and not record.finished:
        path = shlex.quote(str(record.path))
        say(
            f"left as it is; to go on: edge-inspect fleet rollout --resume {path}, with the same options for the broker"
        )
        raise KeyboardInterrupt
    for line in summary(rollout):
        print(line)
    _end(record, "every station has the bundle and is good")


def _step(rollout: Rollout, progress: Progress) -> bool:
    is_over = rollout.step()
    progress.say_paused(paused=rollout.paused)
    progress.show(rollout)
    return is_over


def _end(record: RolloutRecord, said: str) -> None:
    stuck = [key for key, entry in record.stations.items() if entry.state == "stuck"]
    if record.stopped is None:
        say(said)
    elif stuck:
        raise CheckFailed(
            f"stopped: {record.stopped}; not rolled back: {', '.join(stuck)}; to try these again: "
            f"edge-inspect fleet rollout --resume {shlex.quote(str(record.path))}, with the same options for the broker"
        )
    else:
        left = [key for key, entry in record.stations.items() if entry.state == "left"]
        but = f" but these, for which somebody else has loaded another bundle: {', '.join(left)}" if left else ""
        raise CheckFailed(f"stopped: {record.stopped}; every changed station was rolled back{but}")


def _absence(row: StationRow) -> str | None:
    """Return why a station cannot be changed now; `None` if it can."""
    if row["silent_s"] is not None:
        return "silent"
    if row["state"] in (None, "offline", "starting", "stopping"):
        return row["state"] or "never heard"
    return None if row["digest"] is not None else "no health yet"


@contextlib.contextmanager
def _pausing(rollout: Rollout) -> Iterator[None]:
    """Let SIGUSR1 pause the roll-out, or let it go on."""

    def toggle(number: int, frame: Any) -> None:
        rollout.paused = not rollout.paused

    before = signal.signal(signal.SIGUSR1, toggle)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def _logged(progress: Progress) -> Iterator[None]:
    """Print what the connection logs."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.say(record.getMessage())

    handler = Handler(logging.WARNING)
    connection_module.log.addHandler(handler)
    try:
        yield
    finally:
        connection_module.log.removeHandler(handler)
