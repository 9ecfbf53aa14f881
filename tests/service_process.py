"""edge-inspect as its own process: its configuration, what it says, how it is commanded, and its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from mosquitto import Subscriber, wait_until

from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.topics import Topics

PATIENCE = 120.0


class Process(subprocess.Popen[bytes]):
    """A process that does not outlive its `with` block; a test that fails shows what it said."""

    def __init__(self, command: list[str], log: Path, **options: Any) -> None:
        self._log = log
        with log.open("wb") as file:
            super().__init__(command, stderr=file, **options)

    def said(self) -> str:
        """Its standard error so far."""
        return self._log.read_text(errors="replace")

    def end(self, number: int = signal.SIGTERM, timeout: float = PATIENCE) -> int:
        """Its status after a signal, which must end it in time."""
        self.send_signal(number)
        return self.wait(timeout)

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        # Pytest shows it beside a failure, and keeps it to itself otherwise.
        print(f"{' '.join(self.args[-3:])}: ended with {self.returncode}, said:\n{self.said()}", file=sys.stderr)


Configure = Callable[..., Path]
Launch = Callable[..., Process]


def write_settings(folder: Path, port: int, station: dict[str, Any], **more: Any) -> Path:
    """Writes the configuration of a service with one station, and with its outbox in the folder.

    The precisions are not timed, which takes a second of every start and has tests of its own.
    """
    settings = {
        "site": "plant",
        "line": "line1",
        "stations": [{"name": "station1", **station}],
        "mqtt": {"host": "127.0.0.1", "port": port, "backoff_cap_s": 0.5, **more.pop("mqtt", {})},
        "outbox": {"path": str(folder / "outbox.db")},
        "engine": {"precision": "preferred", **more.pop("engine", {})},
        "health_every_s": 0.5,
        **more,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


class Commander:
    """Sends commands to a station and waits for their replies."""

    def __init__(self, subscriber: Subscriber, station: str = "station1") -> None:
        self._subscriber = subscriber
        self._topic = Topics("plant", "line1", station).command

    def __call__(self, verb: str, **fields: Any) -> dict[str, Any]:
        identity = uuid7_of_now()
        self._subscriber.publish(self._topic, json.dumps({"command": verb, "id": identity, **fields}).encode())

        def answers() -> list[dict[str, Any]]:
            return [reply for reply in self._subscriber.payloads("reply") if reply["command_id"] == identity]

        wait_until(answers, PATIENCE, f"an answer to {verb}")
        return answers()[0]
