"""Pictures of parts over MQTT: for each chosen part its frame as JPEG, and its anomaly map as PNG."""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.configuration.picture_settings import PictureSettings
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.health import PublishedPictures
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame_map import frame_map
from edge_inspect.edge.mqtt.broker import REMEMBERED_S, Terms
from edge_inspect.edge.mqtt.encodings import used_client_id
from edge_inspect.edge.mqtt.picture_choice import PictureChoice
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

# Largest number of parts that wait to be encoded and sent. Each holds a frame of the camera.
_MOST_WAITING = 4
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)
_TURN_S = 1.0
# After this number of connections in a row that ended soon after a picture, no pictures are sent for an hour.
_IN_A_ROW = 4


class ChosenPart(NamedTuple):
    """A part whose picture is to be published; nobody overwrites its frame, nor the values of its map."""

    verdict: Verdict
    frame: Frame
    anomaly: AnomalyMap


def open_pictures(settings: Settings, station: StationSettings) -> PicturePublisher | None:
    """Return the publisher of a station's pictures; `None` if the configuration says to publish none."""
    if station.pictures is None:
        return None
    return PicturePublisher(Topics(settings.site, settings.line, station.name), settings.mqtt, station.pictures)


class PicturePublisher:
    """Encodes and publishes pictures in a thread of its own. Nobody waits for it; what it has no time for is dropped.

    It has its own connection to the broker, so that no verdict waits behind a picture on a slow connection, and a
    picture that the broker does not accept ends no connection on which verdicts are sent.

    Args:
        topics: Topics of the station.
        settings: Settings of the connection.
        pictures: Which parts are published.
    """

    def __init__(self, topics: Topics, settings: MqttSettings, pictures: PictureSettings) -> None:
        self._topics, self._settings = topics, settings
        self._client_id = f"{used_client_id(topics, settings)}-pictures"
        self._name = f"{topics.site}/{topics.line}/{topics.station}: pictures"
        self._choice = PictureChoice(pictures)
        self._waiting: queue.Queue[ChosenPart] = queue.Queue(_MOST_WAITING)
        self._lock = threading.Lock()
        self._published = self._dropped = 0
        self._connected = self._writing = False
        # Connections in a row that ended soon after a picture, and the time until which no picture is sent.
        self._endings, self._withheld_until = 0, float("-inf")
        self._too_large_said = False
        self._reconnection = Reconnection(settings, log, "Pictures are dropped", self._name)
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"pictures-{topics.station}", daemon=True)
        self._thread.start()

    def offer(self, verdict: Verdict, frame: Frame, anomaly: AnomalyMap) -> bool:
        """Queue the picture of a part if it is chosen; return whether it is queued. Only the engine thread may call it.

        This never waits. A chosen picture is dropped and counted if too many are chosen, the connection is lost, or the
        pictures before it are not sent yet.

        Args:
            verdict: Verdict on the part.
            frame: Frame of the part; if the part is queued, the frame must not be overwritten.
            anomaly: Anomaly map; its values are copied.
        """
        if not self._choice.wants(verdict):
            return False
        if not self._accepts or self._waiting.full() or not self._choice.has_room():
            self._drop()
            return False
        self._waiting.put_nowait(ChosenPart(verdict, frame, replace(anomaly, values=anomaly.values.copy())))
        self._wake()
        return True

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._connected

    def health(self) -> PublishedPictures:
        """Return the numbers of published and dropped pictures."""
        with self._lock:
            return PublishedPictures(published=self._published, dropped=self._dropped)

    def close(self, timeout: float = 1.0) -> None:
        """Drop the pictures that wait, and end the thread and its connection within `timeout` seconds."""
        self._closing.set()
        self._wake()
        if wait_for_end(self._thread, timeout):
            self._wake_in.close()
            self._wake_out.close()

    @property
    def _accepts(self) -> bool:
        return self._connected and not self._closing.is_set() and time.monotonic() >= self._withheld_until

    def _drop(self) -> None:
        with self._lock:
            self._dropped += 1

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except OSError:  # the socket is full, so the thread wakes anyway; or it is closed, and the thread has ended
            return

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._reconnection.run_once(self._connect, self._serve)
            self._closing.wait(pause)

    def _connect(self, terms: Terms) -> Session:
        return Session(self._client_id, terms, self._settings, None, {})

    def _serve(self, session: Session) -> bool:
        """Send pictures until the connection ends or `close` is called."""
        try:
            while not self._closing.is_set():
                if session.connected and not self._connected:
                    self._connected = True
                    self._reconnection.say_connected(session)
                if self._connected and not self._writing:
                    self._send_next(session)
                self._turn(session)
            return True
        except ConnectionProblem as problem:
            if problem.of_message and session.in_flight.tokens:
                self._note_ending()
            raise
        finally:
            self._connected = False
            self._drop_all()

    def _turn(self, session: Session) -> None:
        """Read and write; wait for that, unless another picture can be sent at once."""
        self._note_written(session)
        may_send = self._connected and not self._writing and not self._waiting.empty()
        session.turn(self._wake_out, 0.0 if may_send else _TURN_S)
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)
        if session.in_flight.take_acknowledged():  # the connection has outlasted a picture
            self._endings = 0
        self._note_written(session)

    def _note_written(self, session: Session) -> None:
        """Count a picture as published once the connection has taken all of it."""
        if self._writing and not session.writing:
            self._writing = False
            with self._lock:
                self._published += 1

    def _send_next(self, session: Session) -> None:
        """Begin to send the oldest picture that waits, if there is one and the broker accepts its size."""
        try:
            part = self._waiting.get_nowait()
        except queue.Empty:
            return
        try:
            jpeg, map_ = encode(part)
        except Exception:  # a bug of this program, or a frame that JPEG cannot hold; it must not end the thread
            log.exception("%s: the picture of part %d is not published", self._name, part.verdict.sequence)
            self._drop()
            return
        identity = part.verdict.id
        messages = (("image", self._topics.image(identity), jpeg), ("map", self._topics.map(identity), map_))
        if self._is_too_large(session, messages):
            self._drop()
            return
        for schema, topic, payload in messages:
            session.send(schema, topic, payload, (schema, identity))
        self._writing = True

    def _is_too_large(self, session: Session, messages: Sequence[tuple[str, str, bytes]]) -> bool:
        for schema, topic, payload in messages:
            limit = session.limit(len(topic.encode()) + len(payload), schema)
            if limit is None:
                continue
            if not self._too_large_said:
                self._too_large_said = True
                log.error(
                    "%s: a picture of %d bytes is not published, because the broker's packet limit is %d bytes; raise "
                    "its limit",
                    self._name,
                    len(payload),
                    limit,
                )
            return True
        return False

    def _note_ending(self) -> None:
        """Note that a connection ended soon after a picture; after several in a row, send none for an hour."""
        self._endings += 1
        if self._endings >= _IN_A_ROW:
            self._endings, self._withheld_until = 0, time.monotonic() + REMEMBERED_S
            log.error(
                "%s: the last %d connections ended at a picture; none is published for %.0f minutes; check the "
                "broker's packet limit",
                self._name,
                _IN_A_ROW,
                REMEMBERED_S / 60,
            )

    def _drop_all(self) -> None:
        """Drop the picture that is being written, and those that wait."""
        if self._writing:
            self._writing = False
            self._drop()
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._drop()


def encode(part: ChosenPart) -> tuple[bytes, bytes]:
    """Return the frame as JPEG, and its map (`edge.frame_map`) as 8-bit grey PNG.

    Raises:
        cv2.error: The frame has more than 65,500 pixels on a side, which JPEG cannot hold.
    """
    height, width = part.frame.shape[:2]
    levels = frame_map(part.anomaly, (width, height), part.verdict.threshold)
    return _encoded(".jpg", part.frame, _JPEG), _encoded(".png", levels)


def _encoded(suffix: str, picture: NDArray[np.uint8], parameters: Sequence[int] = ()) -> bytes:
    return cv2.imencode(suffix, picture, parameters)[1].tobytes()
