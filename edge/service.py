"""The service: every station of a box in one process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.configuration.file import trusted_keys
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.engine_loop import EngineLoop
from edge_inspect.edge.errors import EdgeInspectError
from edge_inspect.edge.health.http import HealthServer
from edge_inspect.edge.health.report import StationReport
from edge_inspect.edge.health.supervisor import Supervisor
from edge_inspect.edge.health.watchdog import Due, Step
from edge_inspect.edge.identity import keep_identity
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.signals import Signals
from edge_inspect.edge.station.box_resources import open_box_resources
from edge_inspect.edge.station.loaded_bundle import SharedEngines
from edge_inspect.edge.station.station import Station
from edge_inspect.edge.systemd import give_time, notify, watchdog_usec
from edge_inspect.edge.triggers import check_trigger

log = logging.getLogger(__name__)

# A stop takes two seconds at most: these, and what a frame and a flush of the disk take.
FINISH_S, FLUSH_S, EVIDENCE_S = 0.6, 1.0, 0.2
# Where every source has ended nobody waits.
ENDED_FLUSH_S = 5.0
# Beyond this it hangs. Below TimeoutStopSec of the unit.
STOP_S = 10.0
# Between two starts in one process engines may have to be built: as long as the unit's TimeoutStartSec.
RELOAD_USEC = 30 * 60 * 1_000_000
_POLL_S = 0.1
NOT_TAKEN = "the configuration is not taken, the one before holds: %s"


def run(settings: Settings, read_again: Callable[[], Settings] | None = None) -> None:
    """Inspect until SIGTERM or SIGINT, or until every camera's source has ended; then flush and return.

    At SIGHUP the configuration is read again. Where only bundles have changed, the stations go on and load them; else
    they are stopped in order and started anew, in this process. One that is wrong is not taken, and the log says why;
    where that shows only at the start, the one before is started again.

    Args:
        settings: The configuration.
        read_again: Reads it; without it, SIGHUP is only logged.

    Raises:
        ConfigurationError: A public key cannot be read, or the port for health is taken.
        OutboxError: The outbox cannot be opened, or a record not read.
        BundleError: A bundle is damaged, or not signed as the configuration asks.
        EngineError: No engine can be built for one.
        TriggerError: What a trigger needs is not installed.
    """
    following: Settings | None = settings
    before: Settings | None = None
    with Signals() as signals:
        while following is not None:
            with ExitStack() as running:
                try:
                    service = running.enter_context(Service(following))
                except EdgeInspectError as error:
                    if before is None:
                        raise
                    log.error(NOT_TAKEN, error)
                    following, before = before, None
                    continue
                following = service.serve(signals, read_again)
                if following is None:
                    notify(STOPPING=1)
                else:
                    give_time(RELOAD_USEC)
            before = service.settings


class Service:
    """The stations of one configuration. A context manager, which starts and ends them; not to be used twice.

    Args:
        settings: The configuration.

    Attributes:
        settings: That in force: bundles may have changed since.

    Raises:
        EdgeInspectError: As `run`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stations: list[Station] = []
        trusted = trusted_keys(settings)
        self._trusted = [key.id for key in trusted]
        if not trusted:
            log.info("bundles need no signature: the configuration names no bundles.public_keys")
        self._engine = EngineLoop(self._stations)
        self._rebuilding = threading.Lock()
        self._flush_s = FLUSH_S
        with ExitStack() as opened:
            self._outbox = opened.enter_context(
                SqliteOutbox(
                    settings.outbox.path,
                    durability=settings.outbox.durability,
                    max_bytes=settings.outbox.max_bytes,
                    max_age_s=settings.outbox.max_age_s,
                    when_full=settings.outbox.when_full,
                    history_bytes=settings.outbox.history_bytes,
                )
            )
            keep_identity(settings.outbox.path)
            box = open_box_resources(settings, read_boot_id(), self._outbox, self._engine.ready, trusted)
            opened.callback(self._close_engines, box.engines)
            self._clock = box.clock
            if box.evidence is not None:
                opened.callback(box.evidence.close, EVIDENCE_S)
            opened.callback(self._close_stations)
            for station in settings.stations:
                self._stations.append(Station(settings, station, box))
            stages = [stage for station in self._stations for stage in station.stages.values()]
            self._supervisor = Supervisor(stages, self._help, self._flush)
            if settings.health.http_port is not None:
                opened.callback(HealthServer(settings.health.http_port, self._read_health).close)
            self._opened = opened.pop_all()

    def __enter__(self) -> Service:
        self._supervisor.start()
        try:
            for station in self._stations:
                station.start()
            for station in self._stations:
                station.confirm()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Inspect what waits, flush, and say `offline`."""
        self._supervisor.stop_within(STOP_S)
        try:
            self._engine.stop(FINISH_S)
            self._opened.close()
        finally:
            self._supervisor.close()
        log.info("stopped after %d parts", sum(station.inspected for station in self._stations))

    def serve(self, signals: Signals, read_again: Callable[[], Settings] | None = None) -> Settings | None:
        """Inspect; return the configuration to start again with, or `None` at the end.

        Raises:
            Exception: The engine thread failed on a mistake in the code.
        """
        self._engine.start()
        notify(READY=1, STATUS=f"{len(self._stations)} station(s) online", WATCHDOG_USEC=watchdog_usec())
        log.info("%d station(s) online", len(self._stations))
        due = 0.0
        while signals.stop is None and self._engine.running:
            if signals.take_reload() and read_again is not None:
                following = self._reload(read_again)
                if following is not None:
                    return following
            self._clock.look()
            is_due = time.monotonic() >= due
            if is_due:
                due = time.monotonic() + self.settings.health_every_s
            for station in self._stations:
                if is_due or station.has_news:
                    station.publish_health()
            self._engine.join(_POLL_S)
        self._engine.join(0)
        if signals.stop is None:
            self._flush_s = ENDED_FLUSH_S
        else:
            log.info("%s: finishing the part in hand", signals.stop.name)
        return None

    def _reload(self, read_again: Callable[[], Settings]) -> Settings | None:
        """Read the configuration again; return it where the stations have to start anew with it."""
        notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
        try:
            settings = read_again()
            trusted = trusted_keys(settings)
            same_keys = [key.id for key in trusted] == self._trusted  # the files may hold others by now
            if not (same_keys and self._differs_in_bundles_alone(settings)):
                for station in settings.stations:
                    open_bundle(station.bundle, trusted)
                    check_trigger(station.trigger)
                log.info("the configuration has changed: the stations start anew with it")
                return settings
        except EdgeInspectError as error:
            log.error(NOT_TAKEN, error)
        else:
            for running, wanted in zip(self._stations, settings.stations, strict=True):
                running.load_bundle(wanted.bundle)
            self.settings = settings
        notify(READY=1)
        return None

    def _differs_in_bundles_alone(self, settings: Settings) -> bool:
        if len(settings.stations) != len(self.settings.stations):
            return False
        pairs = zip(settings.stations, self.settings.stations, strict=True)
        stations = [new.model_copy(update={"bundle": old.bundle}) for new, old in pairs]
        return settings.model_copy(update={"stations": stations}) == self.settings

    def _help(self, due: Due) -> None:
        """Take a step for a stage that hangs."""
        station = next(station for station in self._stations if station.name == due.stage.station)
        if due.step is Step.REOPEN:
            station.reopen_camera()
            return
        hanging = station.engine
        with self._rebuilding:
            # None where another station's step has built it again meanwhile.
            judging = [each for each in self._stations if each.engine is hanging]
            try:
                for each in judging:
                    each.rebuild_engine()
            except EdgeInspectError as error:
                log.error("%s: the engine cannot be built again: %s", station.name, error)
                return
        if judging:
            self._engine.start()

    def _flush(self) -> None:
        """Send and store what can be, where something hangs."""
        self._close_stations()
        self._outbox.close()

    def _close_stations(self) -> None:
        if self._stations:
            with ThreadPoolExecutor(len(self._stations), "close") as pool:
                list(pool.map(lambda station: station.close(self._flush_s), self._stations))

    def _close_engines(self, engines: SharedEngines) -> None:
        if not self._engine.running:  # else one hangs, and is in use
            engines.close()

    def _read_health(self) -> tuple[list[str], list[StationReport]]:
        return self._supervisor.stuck, [station.report() for station in self._stations]


def read_boot_id() -> str:
    """Return the kernel's id of this boot; where there is none, a new one a process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return uuid7()
