"""Sends a person's command to a station, and waits for the reply without holding up the page."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.commands import AnyCommand, parse_command
from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.requester import Requester

MOST_COMMANDS = 8
"""Largest number of commands that wait for a reply."""
REPLY_S = 10.0
BUNDLE_REPLY_S = 55.0
"""Longest wait for the reply to `bundle` or `recipe`, which may come only when the engine is built."""
_LONGEST_NAME = 64


class TooManyCommands(Exception):
    """As many commands as possible wait for a reply. The text says so to the person who sends another."""

    def __init__(self) -> None:
        super().__init__("too many commands wait for their replies; the command was not sent; try again in 10 s")


class CommandSender:
    """Sends commands, each over a connection and in a thread of its own. Used in the event loop's thread.

    Args:
        settings: Settings of the connections.
    """

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._waiting = 0

    @staticmethod
    def make(fields: Mapping[str, Any], person: str) -> AnyCommand:
        """Return a command with a new id.

        Args:
            fields: Fields of the command, without `id` and `by`.
            person: Name of the person who sends it.

        Raises:
            Refused: The fields are no command.
        """
        ours = {"id": uuid7_of_now(), "by": person[:_LONGEST_NAME]}
        return parse_command(json.dumps({**fields, **ours}).encode())

    async def send(self, key: str, command: AnyCommand) -> Reply:
        """Send a command and return the station's reply, also if the station refuses the command.

        Args:
            key: Key of the station: site/line/station.
            command: The command, with a new id.

        Raises:
            TooManyCommands: Too many commands wait for replies; nothing was sent.
            CheckFailed: The broker cannot be reached, or no reply comes in time.
        """
        if self._waiting >= MOST_COMMANDS:
            raise TooManyCommands
        wait_s = BUNDLE_REPLY_S if command.command in ("bundle", "recipe") else REPLY_S
        requester = Requester(self._settings, Topics(*key.split("/")), command)
        self._waiting += 1
        try:
            return await _in_thread(lambda: requester.ask(wait_s), f"command-{command.command}")
        finally:
            self._waiting -= 1


async def _in_thread(work: Callable[[], Reply], name: str) -> Reply:
    """Run a function in a daemon thread, which keeps nobody from ending the process as an executor's would."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Reply] = loop.create_future()

    def settle(set_result: Callable[[Any], None], value: Any) -> None:
        if not result.done():
            set_result(value)

    def run() -> None:
        try:
            outcome = (result.set_result, work())
        except Exception as error:
            outcome = (result.set_exception, error)  # type: ignore[assignment]
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await result
