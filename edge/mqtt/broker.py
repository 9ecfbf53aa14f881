"""What the connections of one process know of a broker: which MQTT it speaks, and what it does not offer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from paho.mqtt.enums import MQTTProtocolVersion

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.connection import MQTT5, MQTT311
from edge_inspect.edge.mqtt.problem import ConnectionProblem

REMEMBERED_S = 3600.0
"""For how long a broker is taken at its word that it lacks something; then it is asked anew."""
_PATIENCE_S = 1.0
_SLOWER = 3
"""A broker that answers 3.1.1 within this part of the time that it had for MQTT 5 would have answered MQTT 5 too."""

VERSIONS = {MQTT5: "MQTT 5", MQTT311: "MQTT 3.1.1"}


class Terms(NamedTuple):
    """On what terms one connection is made."""

    protocol: MQTTProtocolVersion
    retain: bool = True
    """Messages may be retained."""
    qos: int = 1
    """The highest quality of service to publish with."""
    patience_s: float | None = None
    """How long to wait for the answer to CONNECT; `None`: as long as the settings say."""
    on_answer: Callable[[float], ConnectionProblem | None] = lambda seconds: None
    """Called with the seconds until CONNACK; the problem it returns ends the connection."""


class Broker:
    """One broker, as all connections of the process to it know it. May be used by several threads.

    Args:
        clock: Seconds, of a clock that nobody sets.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._speaks_5 = False
        self._patience_s = _PATIENCE_S
        # When each thing that it lacks is asked for anew.
        self._lacks: dict[str, float] = {}

    def terms(self, settings: MqttSettings, *, only_311: bool = False) -> Terms:
        """Return the terms for the next connection; not in MQTT 5 where `only_311` is set."""
        with self._lock:
            if settings.protocol == "auto":
                only_311 = only_311 or self._is_lacking("MQTT 5")
            else:
                only_311 = settings.protocol == "3.1.1"
            asks = settings.protocol == "auto" and not only_311 and not self._speaks_5
            return Terms(
                MQTT311 if only_311 else MQTT5,
                settings.retain and not self._is_lacking("retained messages"),
                0 if self._is_lacking("QoS 1") else 1,
                min(self._patience_s, settings.connect_timeout_s) if asks else None,
            )

    @property
    def speaks_5(self) -> bool:
        """Whether it has answered MQTT 5 the last time."""
        return self._speaks_5

    def answered_5(self) -> None:
        """Note that the broker speaks MQTT 5."""
        with self._lock:
            self._speaks_5 = True
            self._lacks.pop("MQTT 5", None)

    def forget_version(self) -> None:
        """Forget the version: neither was answered, and nothing is known."""
        with self._lock:
            self._speaks_5 = False
            self._lacks.pop("MQTT 5", None)

    def is_slow(self, seconds: float, settings: MqttSettings) -> bool:
        """Return whether MQTT 5 was given up too soon, and wait longer for it from now on.

        Args:
            seconds: Until it answered 3.1.1.
            settings: Of the connection.
        """
        with self._lock:
            had = min(self._patience_s, settings.connect_timeout_s)
            if _SLOWER * seconds <= had or had == settings.connect_timeout_s:
                return False
            self._patience_s = max(_SLOWER * seconds, 2 * had)
            return True

    def lack(self, what: str) -> bool:
        """Remember that it does without `MQTT 5`, `retained messages` or `QoS 1`; return whether that is news."""
        with self._lock:
            news = not self._is_lacking(what)
            self._lacks[what] = self._clock() + REMEMBERED_S
            if what == "MQTT 5":
                self._speaks_5 = False
            return news

    def _is_lacking(self, what: str) -> bool:
        return self._clock() < self._lacks.get(what, float("-inf"))


_brokers: dict[tuple[str, int], Broker] = {}
_brokers_lock = threading.Lock()


def known_broker(settings: MqttSettings) -> Broker:
    """Return the broker that all connections of this process to this host and port share."""
    with _brokers_lock:
        return _brokers.setdefault((settings.host, settings.port), Broker())
