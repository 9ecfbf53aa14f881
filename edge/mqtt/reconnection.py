"""Reconnection: the terms of each connection, the logging of problems, and the pauses between attempts."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import REMEMBERED_S, VERSIONS, Broker, Terms, known_broker
from edge_inspect.edge.mqtt.connection import MQTT5
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.session import UNSUPPORTED_VERSION, Session

_FIRST_PAUSE_S = 0.25
_NO_RETAIN, _NO_QOS_1 = 0x9A, 0x9B


class _GivenUpTooSoon(ConnectionProblem):
    """The broker is slow with MQTT 3.1.1 too, so it may support MQTT 5."""


class Reconnection:
    """Makes a client's connections, one after another. Not thread-safe.

    It uses MQTT 5, or 3.1.1 with a broker that refuses MQTT 5, closes the connection, or does not answer in time.

    Args:
        settings: Settings of the connections.
        log: Log of the client.
        meanwhile: What a problem means for the client, as a sentence without its full stop.
        name: Name of the client in its log; empty if the process has only one client.
        broker: Knowledge about the broker; by default that of all clients of this process.
    """

    def __init__(
        self,
        settings: MqttSettings,
        log: logging.Logger,
        meanwhile: str,
        name: str = "",
        broker: Broker | None = None,
    ) -> None:
        self._settings, self._log, self._meanwhile = settings, log, meanwhile
        self._prefix = f"{name}: " if name else ""
        self._where = f"{settings.host}:{settings.port}"
        self._broker = broker or known_broker(settings)
        self._attempt = 0
        self._last_problem = ""

    def run_once(self, connect: Callable[[Terms], Session], serve: Callable[[Session], bool]) -> float:
        """Make one connection and work with it until its end. Its problems are logged and never raised.

        If the broker does not accept a connection on the first terms, other terms are tried at once.

        Args:
            connect: Opens a connection on the given terms.
            serve: Works until the connection ends; returns whether the end was orderly. It calls `say_connected`.

        Returns:
            Seconds to wait before the next connection.
        """
        started = time.monotonic()
        slow = False
        try:
            self._run_once(connect, serve)
        except ConnectionProblem as problem:
            slow = problem.slow
            self._say(str(problem))
        except Exception:
            # The thread must survive a bug, which is logged with its traceback.
            self._log.exception("%sthe connection to the broker failed", self._prefix)
        cap = self._settings.backoff_cap_s
        # Only a connection that lasted resets the back-off. Two clients with the same id end each other's connections,
        # so theirs never last.
        self._attempt = 0 if time.monotonic() - started > cap else self._attempt + 1
        # Full jitter, so that not all boxes reconnect at the same moment.
        low, high = (cap / 2, cap) if slow else (0, min(cap, _FIRST_PAUSE_S * 2 ** min(self._attempt, 20)))
        return random.uniform(low, high)

    def say_connected(self, session: Session) -> None:
        """Log the accepted connection and the features that the broker lacks; the next problem is logged as new."""
        self._last_problem = ""
        self._log.info("%sconnected to broker %s in %s", self._prefix, self._where, session.version)
        limits = session.limits
        if self._settings.retain and not limits.retain:
            self._say_lacking(_NO_RETAIN)
        if not limits.qos:
            self._say_lacking(_NO_QOS_1)
        if limits.client_id is not None:
            self._log.info("%sthe broker has assigned this client the id %r", self._prefix, limits.client_id)

    def _run_once(self, connect: Callable[[Terms], Session], serve: Callable[[Session], bool]) -> None:
        given_up: ConnectionProblem | None = None
        while True:
            terms = self._broker.terms(self._settings, only_311=given_up is not None)
            session: Session | None = None
            orderly = False
            try:
                session = connect(terms._replace(on_answer=self._on_broker_answer(terms, given_up)))
                orderly = serve(session)
                return
            except _GivenUpTooSoon as problem:
                self._log.debug("%s%s", self._prefix, problem)
                given_up, orderly = None, True
            except ConnectionProblem as problem:
                if self._may_take_other_terms(terms, problem):
                    continue
                if session is None or session.answered or not self._gives_up_5(terms, problem):
                    if session is not None and not session.answered:
                        # The broker has answered neither version, so it is unknown which one it supports.
                        self._broker.forget_version()
                    raise
                given_up = problem
            finally:
                if session is not None:
                    session.close(orderly=orderly)

    def _on_broker_answer(
        self, terms: Terms, given_up: ConnectionProblem | None
    ) -> Callable[[float], ConnectionProblem | None]:
        """Return the function to call when the broker answers this attempt; it draws conclusions about MQTT 5."""

        def on_answer(seconds: float) -> ConnectionProblem | None:
            if terms.protocol == MQTT5:
                self._broker.answered_5()
            elif given_up is not None:
                was_silent = given_up.code is None and not given_up.hung_up
                if was_silent and self._broker.is_slow(seconds, self._settings):
                    return _GivenUpTooSoon(f"answered {VERSIONS[terms.protocol]} after {seconds:.1f} s; MQTT 5 again")
                self._say_311(given_up)
            return None

        return on_answer

    def _gives_up_5(self, terms: Terms, problem: ConnectionProblem) -> bool:
        """Return whether to try MQTT 3.1.1 at once, after this attempt with MQTT 5 has failed."""
        if terms.protocol != MQTT5 or self._settings.protocol != "auto":
            return False
        # A broker that has used MQTT 5 before may just be starting. A problem with TLS would be the same in MQTT 3.1.1.
        return problem.code == UNSUPPORTED_VERSION or not (problem.slow or self._broker.speaks_5)

    def _may_take_other_terms(self, terms: Terms, problem: ConnectionProblem) -> bool:
        """Return whether the broker refused because it lacks a feature, so that a connection without it may succeed."""
        if (problem.code == _NO_RETAIN and terms.retain) or (problem.code == _NO_QOS_1 and terms.qos):
            self._say_lacking(problem.code)
            return True
        return False

    def _say_lacking(self, code: int) -> None:
        if code == _NO_RETAIN and self._broker.lack("retained messages"):
            self._log.warning(
                "%sbroker %s keeps no retained messages: only subscribers that are connected at the time receive "
                "status and health; set mqtt.retain: false to skip this attempt",
                self._prefix,
                self._where,
            )
        elif code == _NO_QOS_1 and self._broker.lack("QoS 1"):
            self._log.warning(
                "%sbroker %s accepts QoS 0 only: a message leaves the outbox when the broker has answered a later "
                "packet, and a disconnected subscriber misses it",
                self._prefix,
                self._where,
            )

    def _say_311(self, given_up: ConnectionProblem) -> None:
        why = "it refuses MQTT 5" if given_up.code == UNSUPPORTED_VERSION else given_up
        if self._broker.lack("MQTT 5"):
            self._log.warning(
                "%sbroker %s supports MQTT 3.1.1, not MQTT 5 (%s): falling back to 3.1.1; MQTT 5 is tried again after "
                "%.0f minutes; set mqtt.protocol: 3.1.1 to prevent that",
                self._prefix,
                self._where,
                why,
                REMEMBERED_S / 60,
            )

    def _say(self, problem: str) -> None:
        """Log a problem as a warning once, and as a debug message at further attempts."""
        level = logging.DEBUG if problem == self._last_problem else logging.WARNING
        self._log.log(level, "%sbroker %s: %s. %s; trying again", self._prefix, self._where, problem, self._meanwhile)
        self._last_problem = problem
