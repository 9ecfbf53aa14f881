"""The service: every station of a box in one process."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from edge.bundle import open_bundle
from edge.configuration import trusted_keys
from edge.ids import uuid7
from edge.outbox.sqlite import SqliteOutbox
from edge.settings import Settings
from edge.station.station import Station
from edge.station.threshold_record import ThresholdRecord

log = logging.getLogger(__name__)

FLUSH_S = 5.0


def run(settings: Settings) -> None:
    """Inspects until SIGTERM or SIGINT, or until every camera's source has ended; then flushes and returns.

    Raises:
        ConfigurationError: A public key cannot be read.
        OutboxError: The outbox cannot be opened.
        BundleError: A bundle is damaged, or not signed as the configuration asks.
        EngineError: No engine can be built for one.
    """
    stop = threading.Event()
    ready = threading.Event()
    trusted = trusted_keys(settings)
    if not trusted:
        log.info("bundles need no signature: the configuration names no bundles.public_keys")
    with _stopped_by_signals(stop, ready), contextlib.ExitStack() as stack:
        outbox = stack.enter_context(
            SqliteOutbox(
                settings.outbox.path,
                durability=settings.outbox.durability,
                max_bytes=settings.outbox.max_bytes,
                max_age_s=settings.outbox.max_age_s,
                when_full=settings.outbox.when_full,
                history_bytes=settings.outbox.history_bytes,
            )
        )
        boot_id = read_boot_id()
        record = ThresholdRecord(settings.outbox.path.with_suffix(".thresholds.jsonl"))
        stations = []
        for station in settings.stations:
            bundle = open_bundle(station.bundle, trusted)
            if bundle.signed_by is not None:
                log.info("%s: signed with key %s", bundle.path, bundle.signed_by.id)
            stations.append(Station(settings, station, bundle, outbox, ready, boot_id, record))
            stack.callback(stations[-1].close, FLUSH_S)
        engine = threading.Thread(target=_inspect, args=(stations, ready, stop), name="engine")
        for started in stations:
            started.start()
        engine.start()
        notify_systemd("READY=1")
        log.info("%d station(s) online", len(stations))
        try:
            while engine.is_alive():
                for inspecting in stations:
                    inspecting.publish_health()
                engine.join(settings.health_every_s)
        finally:
            stop.set()
            ready.set()
            engine.join()
            notify_systemd("STOPPING=1")
    log.info("stopped after %d parts", sum(station.inspected for station in stations))


def _inspect(stations: list[Station], ready: threading.Event, stop: threading.Event) -> None:
    """The engine thread: one frame of each station in turn, so that none starves another."""
    try:
        while True:
            ready.clear()
            # Read before the frames: a source that ends later wakes this thread again.
            ended = stop.is_set() or all(station.ended.is_set() for station in stations)
            if stop.is_set():
                for station in stations:
                    station.stop()
            if sum(station.inspect_next() for station in stations):
                ready.set()
            elif ended:
                return
            ready.wait()
    finally:
        for station in stations:
            station.stop()


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event, ready: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT end the service in order, waking the engine thread; the second one ends it at once."""

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        log.info("%s: finishing the part in hand", signal.Signals(number).name)
        stop.set()
        ready.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def read_boot_id() -> str:
    """The kernel's id of this boot; where there is none, a new one a process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return uuid7()


def notify_systemd(message: str) -> None:
    """Tells systemd (Type=notify) how the service stands; does nothing when systemd did not start it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(message.encode())
