"""What clients may ask of one station: methods become commands over MQTT, and the station's reply is their result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.errors import AuditError, CheckFailed
from edge_inspect.edge.opcua.access import Caller
from edge_inspect.edge.page.audit import AuditLog, caller_address
from edge_inspect.edge.page.command_sender import CommandSender, TooManyCommands

log = logging.getLogger(__name__)

NO_REPLY, WRONG_STATE, UNKNOWN, NOT_RECORDED = -7, -8, -9, -10
ERRORS = {
    "unauthorised": -1,
    "busy": -2,
    "impossible": -3,
    "expired": -4,
    "replayed": -5,
    "malformed": -6,
    "oversized": -6,
}
"""Values of Error for the station's refusals. `NO_REPLY` and the others are this server's own."""
_OTHER = -99


class Outcome(NamedTuple):
    """What came of a command.

    Attributes:
        error: 0: it was carried out; below 0: it was not.
        reason: Why it was not, and what to do about it.
        identity: Id of the command; empty if none was sent.
    """

    error: int = 0
    reason: str = ""
    identity: str = ""


class StationCommands:
    """Sends commands to one station and records them in the audit log.

    Args:
        key: Key of the station.
        sender: Sends them.
        audit: The audit log: nothing is sent that cannot be recorded.
    """

    def __init__(self, key: str, sender: CommandSender, audit: AuditLog) -> None:
        self._key, self._sender, self._audit = key, sender, audit

    async def send(self, caller: Caller, fields: Mapping[str, Any]) -> Outcome:
        """Send a command and wait for the reply.

        Args:
            caller: Who asks for it; the role was checked before.
            fields: Fields of the command, without `id` and `by`.
        """
        name = caller.person.name or ""
        try:
            command = self._sender.make(fields, name)
        except Refused as refused:
            return Outcome(ERRORS[refused.refusal], str(refused))
        details = command.model_dump(mode="json", exclude={"contract", "by"})
        try:
            await self._record(caller, "command", details)
        except AuditError as error:
            log.error("%s: the command %s is not sent: %s", self._key, command.command, error)
            return Outcome(NOT_RECORDED, str(error))
        try:
            reply = await self._sender.send(self._key, command)
        except (CheckFailed, TooManyCommands) as error:
            outcome = Outcome(NO_REPLY, str(error), command.id)
        else:
            error_number = 0 if reply.done else ERRORS.get(reply.refusal or "", _OTHER)
            outcome = Outcome(error_number, reply.reason or "", command.id)
        said = "done" if outcome.error == 0 else outcome.reason
        log.info("%s: command %s of %s: %s", self._key, command.command, name, said)
        try:
            await self._record(caller, "reply", {"command": command.command, "id": command.id, "result": said})
        except AuditError as error:  # it was carried out all the same
            log.error("%s", error)
        return outcome

    async def _record(self, caller: Caller, action: str, details: Mapping[str, Any]) -> None:
        def write() -> None:
            token = caller_address.set(caller.address)
            try:
                self._audit.write(caller.person.name or "", action, station=self._key, **details)
            finally:
                caller_address.reset(token)

        await asyncio.to_thread(write)
