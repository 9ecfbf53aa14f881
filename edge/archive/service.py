"""The archive as a service: connects broker and database from its start until SIGTERM."""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from edge_inspect.edge.archive.database import open_database, place_of
from edge_inspect.edge.archive.database_problems import explained
from edge_inspect.edge.archive.inbox import Inbox
from edge_inspect.edge.archive.metrics import ArchiveFigures, answers
from edge_inspect.edge.archive.migrations import migrate
from edge_inspect.edge.archive.pictures import PictureStore
from edge_inspect.edge.archive.recorder import Recorder
from edge_inspect.edge.archive.settings import ArchiveSettings
from edge_inspect.edge.archive.subscriber import ArchiveSubscriber
from edge_inspect.edge.clock import ClockWatch
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.health.http import HealthServer
from edge_inspect.edge.identity import keep_identity
from edge_inspect.edge.signals import Signals
from edge_inspect.edge.systemd import notify

log = logging.getLogger(__name__)

_TICK_S = 0.1
_BEAT_S = 1.0
_TRY_AGAIN_S = 5.0


def run(settings: ArchiveSettings) -> None:
    """Store what comes until SIGTERM or SIGINT.

    Raises:
        EdgeInspectError: A file, folder, port or package cannot be used.
    """
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data: {settings.data}: {error.strerror}; create it, or name another") from error
    keep_identity(settings.data / "archive")
    engine, place = open_database(settings), place_of(settings)
    with Signals(reload=False) as signals, contextlib.ExitStack() as stack:
        stack.callback(engine.dispose)
        notify(READY=1)
        if not _migrate(engine, place, signals):
            notify(STOPPING=1)
            return
        inbox = Inbox()
        pictures = PictureStore(settings.pictures, inbox) if settings.pictures is not None else None
        recorder = Recorder(engine, place, inbox, settings.keep_days, pictures)
        stack.callback(recorder.close)
        if pictures is not None:
            stack.callback(pictures.close)
        subscriber = ArchiveSubscriber(settings, inbox, recorder, pictures)
        stack.callback(subscriber.close)
        if settings.http_port is not None:
            answer = answers(partial(_figures, inbox, recorder, subscriber, pictures))
            stack.callback(HealthServer(settings.http_port, answer, "http_port").close)
        log.info("storing what %s say in database %s", ", ".join(settings.stations), place)
        beat_at, clock = time.monotonic(), ClockWatch()
        while signals.stop is None and recorder.alive and subscriber.alive:
            time.sleep(_TICK_S)
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + _BEAT_S
                clock.look()
                notify(WATCHDOG=1)
        notify(STOPPING=1)
    # Python would look through all objects several times before it ends, which takes seconds on a busy box.
    gc.freeze()


def _migrate(engine: Engine, place: str, signals: Signals) -> bool:
    """Bring the tables to this release's; return false if the program is to end. Waits for a database that is away."""
    said_it = False
    while signals.stop is None:
        try:
            with engine.execution_options(writes=True).begin() as connection:
                for revision in migrate(connection):
                    log.info("database %s: tables of revision %s", place, revision)
            return True
        except SQLAlchemyError as error:
            log.log(
                logging.DEBUG if said_it else logging.WARNING, "database %s: %s; trying again", place, explained(error)
            )
            said_it, until = True, time.monotonic() + _TRY_AGAIN_S
        while signals.stop is None and time.monotonic() < until:
            notify(WATCHDOG=1)
            time.sleep(_TICK_S)
    return False


def _figures(
    inbox: Inbox, recorder: Recorder, subscriber: ArchiveSubscriber, pictures: PictureStore | None
) -> ArchiveFigures:
    stations = recorder.stations.copy()
    return ArchiveFigures(
        alive=recorder.alive and subscriber.alive,
        connected=subscriber.connected,
        problem=recorder.problem,
        waiting=len(inbox),
        inserted=recorder.writer.inserted.copy(),
        repeated=recorder.writer.repeated,
        skipped=recorder.writer.skipped + recorder.unreadable,
        stored_at=recorder.stored_at,
        pictures=(pictures.stored, pictures.dropped) if pictures is not None else None,
        missing={key: station.missing for key, station in stations.items()},
        lost={key: station.lost for key, station in stations.items()},
    )
