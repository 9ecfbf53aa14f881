"""Augmentation: variants of the good pictures, as other light and small movements of the part would give them.

A model knows only what it was shown: good parts in other light, or a few pixels aside, can look new to it. So each
picture is shown as it is and in a few variants: brighter or darker, with another gamma, moved by a few pixels, and
mirrored where that is declared harmless. Scores that set a threshold are those of the pictures as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.images import Frame

OFF = "off"

SHOWN = 4
"""How often each picture is shown: once as it is, and in three variants."""

MOST_PER_CENT = 50
MOST_PIXELS = 16

FLIPS = {"horizontal": (True, False), "vertical": (False, True), "both": (True, True)}
"""What may be mirrored: left and right, top and bottom."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""

REPEATED = cv2.BORDER_REPLICATE

_STREAM = 0xA06  # keeps these random numbers apart from a training's others


@dataclass(frozen=True)
class Change:
    """What makes a variant of a picture.

    Attributes:
        light: What grey levels are multiplied by.
        gamma: The power that they, from 0 to 1, are raised to.
        shift: By how many pixels the picture moves, to the right and down.
        mirrored: Whether left and right, and whether top and bottom, are swapped.
    """

    light: float = 1.0
    gamma: float = 1.0
    shift: tuple[int, int] = (0, 0)
    mirrored: tuple[bool, bool] = (False, False)

    def picture(self, picture: Frame, shown: Box | None = None) -> Frame:
        """Return the variant of a picture, (H, W, 3) uint8 BGR.

        Args:
            picture: Fitted to the network.
            shown: The part that shows the frame; around it is padding, which repeats the edges. By default all of it.
        """
        if self == Change():
            return picture
        levels = np.power(np.arange(256) / 255, self.gamma) * (255 * self.light)
        table = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
        return np.asarray(cv2.LUT(self.moved(picture, shown), table), np.uint8)

    def moved(self, mask: NDArray[np.uint8], shown: Box | None = None) -> NDArray[np.uint8]:
        """Return a mask of the picture, (H, W) uint8, as it lies in the variant."""
        if self == Change():
            return mask
        height, width = mask.shape[:2]
        x0, y0, x1, y1 = shown or (0, 0, width, height)
        (right, down), (across, along) = self.shift, self.mirrored
        inside = mask[y0:y1, x0:x1][:: -1 if along else 1, :: -1 if across else 1]
        # What moves out at one side is lost; at the other the edge is repeated, as padding does.
        beside = cv2.copyMakeBorder(
            np.ascontiguousarray(inside), max(0, down), max(0, -down), max(0, right), max(0, -right), REPEATED
        )
        moved = beside[max(0, -down) :, max(0, -right) :][: y1 - y0, : x1 - x0]
        padded = cv2.copyMakeBorder(moved, y0, height - y1, x0, width - x1, REPEATED)
        return np.asarray(padded, np.uint8)


@dataclass(frozen=True)
class Augmentation:
    """How much variants of the good pictures may differ from them; by default there are none.

    Attributes:
        light: By how many per cent they are brighter or darker, at most.
        gamma: By how many per cent their gamma differs from 1, at most.
        shift: By how many pixels of the network's input they are moved in each direction, at most.
        flip: What is mirrored in every second variant, one of `FLIPS`.
    """

    light: float = 0.0
    gamma: float = 0.0
    shift: int = 0
    flip: str | None = None

    @classmethod
    def read(cls, text: str) -> Augmentation:
        """Return what `--augment` asks for: `off`, or words such as `light=5,gamma=5,shift=2,flip=horizontal`.

        Raises:
            UsageError: A word is unknown, is there twice, or has a value that it cannot have.
        """
        if text.strip() == OFF:
            return cls()
        given: dict[str, Any] = {}
        for word in text.split(","):
            name, _, value = (part.strip() for part in word.partition("="))
            if name not in _READERS:
                raise UsageError(
                    f"--augment {text}: {name!r} is unknown; give {OFF}, or some of {', '.join(_READERS)}, such as "
                    "light=5,gamma=5"
                )
            if name in given:
                raise UsageError(f"--augment {text}: {name} is there twice")
            try:
                given[name] = _READERS[name](value)
            except ValueError as error:
                raise UsageError(f"--augment {text}: {name}={value}: give {error}") from error
        return cls(**given)

    def __str__(self) -> str:
        """Return the option's text, `off` for none."""
        words = {"light": f"{self.light:g}", "gamma": f"{self.gamma:g}", "shift": self.shift, "flip": self.flip}
        return ",".join(f"{name}={word}" for name, word in words.items() if getattr(self, name)) or OFF

    @property
    def shown(self) -> int:
        """How often each picture is shown, as it is and in variants."""
        return 1 if self == Augmentation() else SHOWN

    def change(self, seed: int, index: int, variant: int) -> Change:
        """Return what makes a variant of a picture; it depends on these numbers alone.

        Args:
            seed: Of the training.
            index: Which picture.
            variant: Which variant of it, from 1; 0 is the picture as it is.
        """
        if variant == 0:
            return Change()
        rng = np.random.default_rng([seed, _STREAM, index, variant])
        light, gamma, right, down, across, along = rng.uniform(-1, 1, 6)
        mirrored = FLIPS[self.flip] if self.flip else (False, False)
        return Change(
            1 + light * self.light / 100,
            1 + gamma * self.gamma / 100,
            (_whole(right, self.shift), _whole(down, self.shift)),
            (mirrored[0] and across > 0, mirrored[1] and along > 0),
        )


def _whole(place: float, most: int) -> int:
    """Return a whole number from -most to most, each as often, of a place between -1 and 1."""
    return min(most, math.floor((place + 1) / 2 * (2 * most + 1)) - most)


def _per_cent(text: str) -> float:
    """Read a number of per cent."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MOST_PER_CENT:
        raise ValueError(f"a number of per cent from 0 to {MOST_PER_CENT}, such as 5")
    return value


def _pixels(text: str) -> int:
    """Read a number of pixels."""
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) > MOST_PIXELS:
        raise ValueError(f"a whole number of pixels from 0 to {MOST_PIXELS}, such as 2")
    return int(text)


def _flip(text: str) -> str:
    """Read which sides are mirrored."""
    if text not in FLIPS:
        raise ValueError(f"one of {', '.join(FLIPS)}")
    return text


_READERS: dict[str, Callable[[str], Any]] = {"light": _per_cent, "gamma": _per_cent, "shift": _pixels, "flip": _flip}
