"""A requester: sends one command to one station and waits for the reply."""

from __future__ import annotations

import logging
import socket
import time

from pydantic import ValidationError

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.commands import AnyCommand, ReturnAddress
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.errors import CheckFailed
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session

log = logging.getLogger(__name__)
# The error that it raises contains what it logs.
log.addHandler(logging.NullHandler())

_TURN_S = 0.1


class Requester:
    """Sends one command and waits for its reply; use it only once.

    Args:
        settings: Settings of the connection to the broker.
        topics: Topics of the station.
        command: Command with a new id.
    """

    def __init__(self, settings: MqttSettings, topics: Topics, command: AnyCommand) -> None:
        self._settings, self._topics, self._command = settings, topics, command
        self._reply: Reply | None = None
        self._status: Status | None = None
        self._problem: ConnectionProblem | None = None
        self._sent = False
        self._deadline = 0.0
        self._wake_in, self._wake_out = socket.socketpair()

    def ask(self, timeout_s: float) -> Reply:
        """Send the command and return the station's reply, also if the command was refused.

        Args:
            timeout_s: Longest time for connecting, sending and the reply, in seconds.

        Raises:
            CheckFailed: The broker cannot be reached, or no reply comes in time.
        """
        self._deadline = time.monotonic() + timeout_s
        reconnection = Reconnection(self._settings, log, "The command is not sent")
        with self._wake_in, self._wake_out:
            reconnection.run_once(self._connect, self._serve)
        if self._reply is None:
            raise CheckFailed(self._explain(timeout_s))
        return self._reply

    def _connect(self, terms: Terms) -> Session:
        subscriptions = {self._topics.reply: self._receive_reply, self._topics.status: self._receive_status}
        try:
            # It needs its own client id: with the station's client id, the broker would end the station's connection.
            return Session(f"edge-inspect-command-{uuid7()[-12:]}", terms, self._settings, None, subscriptions)
        except ConnectionProblem as problem:
            self._problem = problem
            raise

    def _serve(self, session: Session) -> bool:
        try:
            while not session.subscribed:
                if time.monotonic() > self._deadline:
                    return True
                session.turn(self._wake_out, _TURN_S)
            # Without the fields that were not set, because stations of earlier releases refuse those they do not know.
            topic, payload = self._topics.command, self._command.model_dump_json(exclude_unset=True).encode()
            if session.limit(len(topic.encode()) + len(payload), "command") is not None:
                raise ConnectionProblem("its packet limit is too low for this command; raise it", slow=True)
            session.send_command(topic, payload)
            self._sent, self._problem = True, None
            while self._reply is None and time.monotonic() < self._deadline:
                session.turn(self._wake_out, _TURN_S)
        except ConnectionProblem as problem:
            self._problem = problem
            raise
        return True

    def _receive_reply(self, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
        try:
            reply = Reply.model_validate_json(payload)
        except ValidationError:  # sent by a later release, or by another program
            return
        if reply.command_id == self._command.id:
            self._reply = reply

    def _receive_status(self, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
        try:
            self._status = Status.model_validate_json(payload)
        except ValidationError:
            return

    def _explain(self, timeout_s: float) -> str:
        """Return the reason why there is no reply, as far as it is visible from here."""
        topics, broker = self._topics, f"broker {self._settings.host}:{self._settings.port}"
        if self._sent and self._problem is not None:
            return f"{broker}: {self._problem}; the command was sent, but it is unknown whether it was carried out"
        if self._problem is not None:
            return f"{broker}: {self._problem}; the command was not sent"
        if not self._sent:
            return f"{broker}: no answer within {timeout_s:g} s; the command was not sent"
        silence = f"no reply within {timeout_s:g} s"
        if self._status is None:
            return (
                f"{silence}, and no message on {topics.status}: check that site, line and station are written as in "
                "the station's configuration, and that the broker lets this user read that topic"
            )
        if self._status.state == "offline":
            return f"{silence}: the station is offline ({self._status.reason or 'it was stopped'})"
        return (
            f"{silence}, although the station is {self._status.state}: check that the broker lets this user write "
            f"{topics.command} and read {topics.reply}"
        )
