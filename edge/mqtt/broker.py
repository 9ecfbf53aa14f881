"""Knowledge of this process about a broker, over all connections: its MQTT version, and features that it lacks."""

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
"""Seconds for which it is remembered that a broker lacks a feature; after that, the feature is tried again."""
PATIENCE_S = 1.0
"""Longest wait for a broker's answer to MQTT 5 in seconds, until the broker proves to be slow."""
_SLOWER = 3
"""A broker that answers MQTT 3.1.1 within a third of the time that it had for MQTT 5 is not slow: it lacks MQTT 5."""

VERSIONS = {MQTT5: "MQTT 5", MQTT311: "MQTT 3.1.1"}


class Terms(NamedTuple):
    """Terms of one connection: MQTT version, and which features of the broker are used."""

    protocol: MQTTProtocolVersion
    retain: bool = True
    """Whether messages may be retained."""
    qos: int = 1
    """Highest QoS of published messages."""
    patience_s: float | None = None
    """Longest wait for the answer to CONNECT, in seconds; `None`: the setting `connect_timeout_s`."""
    on_answer: Callable[[float], ConnectionProblem | None] = lambda seconds: None
    """Called with the seconds until CONNACK; if it returns a problem, that ends the connection."""


class Broker:
    """Knowledge about one broker, shared by all connections of this process to it. Thread-safe.

    Args:
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._speaks_5 = False
        self._patience_s = PATIENCE_S
        # Time at which each lacking feature is tried again.
        self._lacks: dict[str, float] = {}

    def terms(self, settings: MqttSettings, *, only_311: bool = False) -> Terms:
        """Return the terms for the next connection; with `only_311`, for MQTT 3.1.1."""
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
        """Whether the broker has answered the last attempt with MQTT 5."""
        return self._speaks_5

    def answered_5(self) -> None:
        """Note that the broker has answered MQTT 5."""
        with self._lock:
            self._speaks_5 = True
            self._lacks.pop("MQTT 5", None)

    def forget_version(self) -> None:
        """Forget which version the broker supports, because it has answered neither."""
        with self._lock:
            self._speaks_5 = False
            self._lacks.pop("MQTT 5", None)

    def is_slow(self, seconds: float, settings: MqttSettings) -> bool:
        """Return whether MQTT 5 was given up too soon; if so, wait longer for it from now on.

        Args:
            seconds: Time until the broker answered MQTT 3.1.1, in seconds.
            settings: Settings of the connection.
        """
        with self._lock:
            had = min(self._patience_s, settings.connect_timeout_s)
            if _SLOWER * seconds <= had or had == settings.connect_timeout_s:
                return False
            self._patience_s = max(_SLOWER * seconds, 2 * had)
            return True

    def lack(self, what: str) -> bool:
        """Remember that the broker lacks `MQTT 5`, `retained messages` or `QoS 1`; return whether that is new."""
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
    """Return the knowledge that all connections of this process to this host and port share."""
    with _brokers_lock:
        return _brokers.setdefault((settings.host, settings.port), Broker())
