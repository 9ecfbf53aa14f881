"""The file of the messages that a target has refused: one JSON object per line, with the reason."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

from edge_inspect.edge.contract.fields import format_time, utc_now

log = logging.getLogger(__name__)

LARGEST_BYTES = 16 * 2**20
"""Size at which the file is renamed to `….old`, in place of the one before."""


class DeadLetters:
    """Appends refused messages to a file. Every method may be called from any thread.

    Args:
        path: Path of the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, target: str, topic: str, payload: bytes, why: str) -> None:
        """Append a message. If the file cannot be written, the log has the message's reason only.

        Args:
            target: Name of the target.
            topic: Topic of the message.
            payload: The message.
            why: Why the target refuses it.
        """
        letter = {
            "at": format_time(utc_now()),
            "target": target,
            "why": why,
            "topic": topic,
            "message": payload.decode(errors="replace"),
        }
        line = json.dumps(letter, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            try:
                if self.path.exists() and self.path.stat().st_size + len(line) > LARGEST_BYTES:
                    os.replace(self.path, self.path.with_name(f"{self.path.name}.old"))
                with self.path.open("ab") as file:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                log.error("%s: a refused message cannot be kept: %s; make room, or repair its rights", self.path, error)
