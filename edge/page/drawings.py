"""Drawn pictures, kept in memory: many browsers show the same picture at the same time, and it is drawn once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge_inspect.edge.page.pictures import PictureMemory

_BYTES = 16 * 2**20
_AT_ONCE = 2


class Drawings:
    """Draws in a thread and keeps what was drawn. Used in the event loop's thread."""

    def __init__(self) -> None:
        self._kept = PictureMemory(_BYTES)
        self._drawing: dict[tuple[object, ...], asyncio.Future[bytes]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def get(self, name: tuple[object, ...], draw: Callable[[], bytes]) -> bytes:
        """Return the picture with a name; it is drawn by `draw` in a thread if it is not kept.

        Raises:
            CannotDraw: From `draw`.
        """
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        if name not in self._drawing:
            # A task of its own, because the browser that asked first may leave before the picture is drawn.
            task = asyncio.ensure_future(self._draw(name, draw))
            self._drawing[name] = task
            task.add_done_callback(lambda done: self._drawing.pop(name).exception())
        return await asyncio.shield(self._drawing[name])

    async def _draw(self, name: tuple[object, ...], draw: Callable[[], bytes]) -> bytes:
        async with self._turns:
            drawn = await asyncio.to_thread(draw)
        self._kept.put(name, drawn)
        return drawn
