"""The service: every station of a box in one process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.configuration.file import trusted_keys
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.engine_loop import EngineLoop
from edge_inspect.edge.errors import EdgeInspectError
from edge_inspect.edge.health.http import HealthServer, of_stations
from edge_inspect.edge.health.report import StationReport
from edge_inspect.edge.health.supervisor import Supervisor
from edge_inspect.edge.health.watchdog import Due, Step
from edge_inspect.edge.identity import keep_identity, read_boot_id
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.signals import Signals
from edge_inspect.edge.station.box_resources import open_box_resources
from edge_inspect.edge.station.loaded_bundle import SharedEngines
from edge_inspect.edge.station.station import Station
from edge_inspect.edge.systemd import give_time, notify, watchdog_usec
from edge_inspect.edge.triggers import check_trigger

log = logging.getLogger(__name__)

# Time limits of a stop. With one frame and one flush of the disk, a stop takes at most two seconds.
FINISH_S, FLUSH_S, EVIDENCE_S = 0.6, 1.0, 0.2
# Time limit for the last messages if the cameras have run out of frames; nobody waits for the stop then.
ENDED_FLUSH_S = 5.0
# A stop that takes longer hangs. Shorter than TimeoutStopSec of the unit.
STOP_S = 10.0
# Watchdog timeout while the stations start anew, because engines may have to be built: as long as TimeoutStartSec.
RELOAD_USEC = 30 * 60 * 1_000_000
_POLL_S = 0.1
NOT_TAKEN = "the new configuration cannot be used, the previous one stays in force: %s"


def run(settings: Settings, read_again: Callable[[], Settings] | None = None) -> None:
    """Inspect until SIGTERM or SIGINT, or until every camera has run out of frames; then flush the outbox and return.

    SIGHUP makes it read the configuration again. If only bundles have changed, the stations load them and go on. After
    any other change, the stations are stopped in order and started anew in this process. If the new configuration has
    a mistake, it is logged and the previous configuration stays in force; if the mistake only shows while the stations
    start, they are started again with the previous configuration.

    Args:
        settings: The configuration.
        read_again: Reads the configuration again; if `None`, SIGHUP is only logged.

    Raises:
        ConfigurationError: A public key cannot be read, or the port for health is taken.
        OutboxError: The outbox cannot be opened, or a record of changes cannot be read.
        BundleError: A bundle is damaged, or lacks the signature that the configuration requires.
        EngineError: No engine can be built for a bundle.
        TriggerError: A package that a trigger needs is not installed.
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
    """All stations of one configuration: a context manager that starts and ends them, and can be used once.

    Args:
        settings: The configuration.

    Attributes:
        settings: The configuration in force; a reload may have changed its bundles.

    Raises:
        EdgeInspectError: As `run`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stations: list[Station] = []
        trusted = trusted_keys(settings)
        self._trusted = [key.id for key in trusted]
        if not trusted:
            log.info("bundles need no signature, because bundles.public_keys is not set")
        self._engine = EngineLoop(self._stations)
        self._rebuilding = threading.Lock()
        self._flush_s = FLUSH_S
        with ExitStack() as opened:
            self._outbox = opened.enter_context(SqliteOutbox(**settings.outbox.model_dump()))
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
                opened.callback(HealthServer(settings.health.http_port, of_stations(self._read_health)).close)
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
        """Inspect the frames that wait, flush the outbox, publish `offline`, and end the threads."""
        self._supervisor.stop_within(STOP_S)
        try:
            self._engine.close(FINISH_S)
            self._opened.close()
        finally:
            self._supervisor.close()
        log.info("stopped after %d parts", sum(station.inspected for station in self._stations))

    def serve(self, signals: Signals, read_again: Callable[[], Settings] | None = None) -> Settings | None:
        """Inspect until a stop or a reload; return the configuration to start anew with, or `None` at a stop.

        Raises:
            Exception: The engine thread ended with an error, which is a mistake in the code.
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
        return None

    def _reload(self, read_again: Callable[[], Settings]) -> Settings | None:
        """Read the configuration again; return it if the stations have to start anew with it, else `None`."""
        notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
        try:
            settings = read_again()
            trusted = trusted_keys(settings)
            same_keys = [key.id for key in trusted] == self._trusted  # the files may hold other keys now
            if not (same_keys and self._differs_in_bundles_alone(settings)):
                for station in settings.stations:
                    for path in station.bundles:
                        open_bundle(path, trusted)
                    check_trigger(station.trigger)
                log.info("the configuration has changed: the stations start anew with it")
                return settings
        except EdgeInspectError as error:
            log.error(NOT_TAKEN, error)
        else:
            for running, wanted in zip(self._stations, settings.stations, strict=True):
                if not wanted.recipes:
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
        """Reopen the camera or rebuild the engine of a stage that hangs."""
        station = next(station for station in self._stations if station.name == due.stage.station)
        if due.step is Step.REOPEN:
            station.reopen_camera()
            return
        hanging = station.engine
        with self._rebuilding:
            # Empty if the step for another station has already replaced this engine.
            judging = [each for each in self._stations if each.uses(hanging)]
            try:
                for each in judging:
                    each.rebuild_engine(hanging)
            except EdgeInspectError as error:
                log.error("%s: the engine cannot be built again: %s", station.name, error)
                return
        if judging:
            self._engine.start()

    def _flush(self) -> None:
        """Send and store as much as possible before the process ends, because something hangs."""
        self._close_stations()
        self._outbox.close()

    def _close_stations(self) -> None:
        if self._stations:
            with ThreadPoolExecutor(len(self._stations), "close") as pool:
                list(pool.map(lambda station: station.close(self._flush_s), self._stations))

    def _close_engines(self, engines: SharedEngines) -> None:
        if not self._engine.running:  # otherwise the thread hangs inside an engine, which must not be closed
            engines.close()

    def _read_health(self) -> tuple[list[str], list[StationReport]]:
        return self._supervisor.stuck, [station.report() for station in self._stations]
