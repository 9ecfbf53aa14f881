"""The choice of the parts whose pictures are published."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable

from edge_inspect.edge.configuration.picture_settings import PictureSettings
from edge_inspect.edge.contract.messages import Verdict


class PictureChoice:
    """Chooses parts as the settings say. Used by the engine thread.

    Args:
        settings: The setting `pictures` of the station.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, settings: PictureSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._passed, self._next = 0.0, _somewhere_after(0)
        count = max(1, math.floor(settings.per_second))
        self._period_s = count / settings.per_second
        self._newest: deque[float] = deque(maxlen=count)

    def wants(self, verdict: Verdict) -> bool:
        """Return whether the picture of a part is to be published. Call it once for every part.

        Of the parts that are not chosen as rejects, one is chosen out of every 1/share in a row. Which of them it is
        is random, so that a line with several moulds or fixtures in turn shows all of them.
        """
        if self._settings.rejects and verdict.is_rejected:
            return True
        self._passed += self._settings.share
        if self._passed < self._next:
            return False
        self._next = _somewhere_after(math.ceil(self._next))
        return True

    def has_room(self) -> bool:
        """Return whether `per_second` allows a picture now; if it does, the picture counts."""
        now, times = self._clock(), self._newest
        if len(times) == times.maxlen and now - times[0] < self._period_s:
            return False
        times.append(now)
        return True


def _somewhere_after(number: int) -> float:
    """Return a random number above `number`, and at most 1 above it."""
    return number + 1 - random.random()
