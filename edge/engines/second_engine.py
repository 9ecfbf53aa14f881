"""The second engine of a bundle, which computes several frames at a time; it is opened when frames often wait.

A frame that is computed alone is ready sooner if all processors compute it. Of frames that wait, a box computes more in
a second if each processor computes another frame: no processor waits for the others after each layer. OpenVINO compiles
a network for one or the other, so the second way takes a second engine and its memory. A station that keeps pace with
its camera never needs it, and a box that is short of memory does without.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from edge_inspect.edge.engines import Engine
from edge_inspect.edge.errors import EdgeInspectError, EngineError
from edge_inspect.edge.memory import available_bytes, give_back_freed

log = logging.getLogger(__name__)

OFTEN = 50
"""How often frames must have waited before the engine is opened; the frames that wait after a start are fewer."""

LEAST_BYTES = 256_000_000
"""Memory that must be available to open it: it takes 30 to 70 MB, and the rest is for whatever else the box does."""

SomeEngine = TypeVar("SomeEngine", bound=Engine)


class SecondEngine(Generic[SomeEngine]):
    """Opens the second engine in a thread of its own, while the first one goes on.

    Args:
        open_checked: Opens the engine and checks that it reproduces the golden frames.
    """

    def __init__(self, open_checked: Callable[[], SomeEngine]) -> None:
        self._open_checked = open_checked
        self._asked = 0
        self._lock = threading.Lock()
        self._closed = False
        self._engine: SomeEngine | None = None

    @property
    def is_open(self) -> bool:
        """Whether the engine is open."""
        return self._engine is not None

    def ask(self) -> SomeEngine | None:
        """Return the engine because a frame waits; `None` if it is not open. Only one thread may call this."""
        if self._engine is None and self._asked < OFTEN:
            self._asked += 1
            if self._asked == OFTEN:
                threading.Thread(target=self.open, name="second-engine", daemon=True).start()
        return self._engine

    def close(self) -> None:
        """Close the engine, and open none any more."""
        with self._lock:
            self._closed = True
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def open(self) -> None:
        """Open the engine in this thread. If it cannot be opened, that is logged."""
        try:
            _check_memory()
            engine = self._open_checked()
        except EdgeInspectError as error:
            log.warning("frames that wait are inspected one at a time: %s", error)
            return
        except Exception:  # a bug of this program; the first engine goes on
            log.exception("frames that wait are inspected one at a time")
            return
        give_back_freed()
        with self._lock:
            if not self._closed and self._engine is None:
                self._engine = engine
                log.info("frames that wait are inspected several at a time from now on")
                return
        engine.close()


def _check_memory() -> None:
    available = available_bytes()
    if available is not None and available < LEAST_BYTES:
        raise EngineError(
            f"a second engine is opened only where {LEAST_BYTES // 1_000_000} MB of memory are available; there are "
            f"{available // 1_000_000}"
        )
