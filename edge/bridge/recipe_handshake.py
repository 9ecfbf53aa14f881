"""The change-over that a PLC asks for by a register: the command `recipe` to the station, and what becomes of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from edge_inspect.edge.bridge.received_messages import ReceivedReply, StatusOrHealth
from edge_inspect.edge.bridge.registers import RECIPE_ERRORS, RECIPE_STATES, Values
from edge_inspect.edge.contract.ids import uuid7_of_now

log = logging.getLogger(__name__)

ANSWER_S = 30.0
"""Seconds to wait for the reply: from the command on, or from the first health after `changing` that says otherwise.

While the station says `changing`, its reply is waited for as long as it can be reached.
"""
_BUSY_S = 2.0
"""Seconds until a command that was refused as busy is sent again. The station writes each command to its disk."""
_ERRORS = {"impossible": "impossible", "unauthorised": "not_allowed", "busy": "busy"}


@dataclass
class _Request:
    number: int
    command_id: str | None = None
    not_before: float = 0.0
    until: float | None = None


class RecipeHandshake:
    """Carries out the requests of the PLC for one station, the newest one only. Used under the station's lock.

    Args:
        name: Name of the station for the log.
        recipes: Names of its recipes; the first one has the number 1.
    """

    def __init__(self, name: str, recipes: Sequence[str]) -> None:
        self._name, self._recipes = name, tuple(recipes)
        self._request: _Request | None = None
        self._requested = 0
        self._active: str | None = None
        self._changing = False
        self._error = "none"

    def request(self, number: int) -> bool:
        """Take a request; return false if there is no recipe of this number."""
        if not 1 <= number <= len(self._recipes):
            return False
        self._request, self._requested, self._error = _Request(number), number, "none"
        return True

    def ask(self, now: float) -> bytes | None:
        """Return the command to send; `None` if there is none to send now.

        Args:
            now: Seconds of the monotonic clock.
        """
        request = self._request
        if request is None or request.command_id is not None or now < request.not_before:
            return None
        request.command_id = uuid7_of_now()
        request.until = request.until or now + ANSWER_S
        name = self._recipes[request.number - 1]
        fields = {"contract": 1, "command": "recipe", "id": request.command_id, "by": "bridge", "name": name}
        return json.dumps(fields).encode()

    def answer(self, reply: ReceivedReply, now: float) -> None:
        """Take a reply of the station; of replies to other commands, only a change-over counts."""
        if reply.recipe is not None:
            self._active = reply.recipe.after
        request = self._request
        if request is None or reply.command_id is None or reply.command_id != request.command_id:
            return
        if reply.refusal == "busy":
            # It is changing to another recipe, perhaps because of the PLC's request before this one.
            request.command_id, request.not_before = None, now + _BUSY_S
        elif reply.done:
            self._request = None
        else:
            self._fail(_ERRORS.get(reply.refusal or "", "other"), f"{reply.refusal}: {reply.reason}")

    def take(self, message: StatusOrHealth, now: float) -> None:
        """Take a status or health message, which says which recipe is in force."""
        if message.recipe is None:
            return
        self._active = message.recipe if isinstance(message.recipe, str) else message.recipe.active
        if isinstance(message.recipe, str):
            return
        was, self._changing = self._changing, message.recipe.state == "changing"
        if was and not self._changing and self._request is not None and self._request.until is not None:
            self._request.until = now + ANSWER_S

    def watch(self, now: float, *, reachable: bool) -> None:
        """Give up a request that the station cannot get, or does not answer; call this every few milliseconds."""
        request = self._request
        self._changing = self._changing and reachable
        if request is None:
            return
        if not reachable:
            self._fail("no_answer", "the station or the broker cannot be reached")
        elif request.until is not None and now >= request.until and not self._changing:
            busy = request.command_id is None
            self._fail("busy" if busy else "no_answer", "busy" if busy else f"no answer for {ANSWER_S:g} s")

    def values(self) -> Values:
        """Return the values of the registers."""
        state = "changing" if self._request else "failed" if self._error != "none" else "active"
        if state == "active" and self._active is None:
            state = "none"
        return {
            "recipe_requested": self._requested,
            "recipe_active": self._recipes.index(self._active) + 1 if self._active in self._recipes else 0,
            "recipe_state": RECIPE_STATES.index(state),
            "recipe_error": list(RECIPE_ERRORS).index(self._error),
        }

    def _fail(self, error: str, why: str) -> None:
        log.error("%s: the PLC's change-over to recipe %d failed: %s", self._name, self._requested, why)
        self._request, self._error = None, error
