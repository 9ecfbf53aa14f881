"""Answers the commands of a station, as the station would."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from mosquitto import Subscriber
from page_parts import Station

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.replies import Reply


class Replier:
    """A thread that answers while the block runs.

    Args:
        port: The broker's port.
        station: Whose commands are answered.
        answer: Returns the fields of the reply to a command, beside those that every reply has.
    """

    def __init__(
        self, port: int, station: Station, answer: Callable[[dict[str, Any]], dict[str, Any]] = lambda command: {}
    ) -> None:
        self._station, self._answer = station, answer
        self._subscriber = Subscriber(port, station.topics.command)
        self.heard: list[dict[str, Any]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            for message in self._subscriber.messages[len(self.heard) :]:
                command = json.loads(message.payload)
                self.heard.append(command)
                same = {"command_id": command["id"], "command": command["command"], "done": True}
                fields = {**same, **self._answer(command)}
                self._station.say(Reply(boot_id="b", sequence=0, at=utc_now(), **fields), "reply")

    def __enter__(self) -> Replier:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._subscriber.close()
