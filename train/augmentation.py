"""Augmentation: variants of the good pictures, for lines where the light changes or the part moves a little.

A model knows only what it was shown: good parts in other light, or moved by a few pixels, can look new to it. So each
picture is shown as it is and in a few variants: brighter or darker, with another gamma, moved by a few pixels, and
mirrored if that is declared harmless. Only scores of the unchanged pictures set a threshold.
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
"""Mirrorings by name: whether left and right, and whether top and bottom, are swapped."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""

REPEATED = cv2.BORDER_REPLICATE

_STREAM = 0xA06  # keeps these random numbers apart from a training's others


@dataclass(frozen=True)
class Change:
    """The change that makes a variant of a picture.

    Attributes:
        light: Factor of the grey levels.
        gamma: Exponent of the grey levels, scaled to 0 to 1.
        shift: Pixels that the picture moves to the right and down.
        mirrored: Whether left and right, and whether top and bottom, are swapped.
    """

    light: float = 1.0
    gamma: float = 1.0
    shift: tuple[int, int] = (0, 0)
    mirrored: tuple[bool, bool] = (False, False)

    def picture(self, picture: Frame, shown: Box | None = None) -> Frame:
        """Return the variant of a picture, (H, W, 3) uint8 BGR.

        Args:
            picture: Picture, fitted to the network.
            shown: Rectangle that shows the frame (default: all of the picture); padding around it repeats its edges.
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
        # Pixels that move out at one side are lost; at the other side the edge is repeated, as padding does.
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
        light: Most per cent that variants are brighter or darker.
        gamma: Most per cent that their gamma differs from 1.
        shift: Most pixels of the network's input that they move in each direction.
        flip: Which sides are swapped in every second variant, a key of `FLIPS`.
    """

    light: float = 0.0
    gamma: float = 0.0
    shift: int = 0
    flip: str | None = None

    @classmethod
    def read(cls, text: str) -> Augmentation:
        """Return the augmentation that `--augment` names: `off`, or words such as `light=5,gamma=5,flip=horizontal`.

        Raises:
            UsageError: A word is unknown or given twice, or has a value that is not allowed.
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
        """Return the change that makes a variant of a picture; it depends only on these numbers.

        Args:
            seed: Random seed of the training.
            index: Index of the picture.
            variant: Number of the variant, from 1; 0 is the unchanged picture.
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
    """Return a whole number from -most to most, all equally likely, for a uniform number between -1 and 1."""
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
    """Read which sides are swapped."""
    if text not in FLIPS:
        raise ValueError(f"one of {', '.join(FLIPS)}")
    return text


_READERS: dict[str, Callable[[str], Any]] = {"light": _per_cent, "gamma": _per_cent, "shift": _pixels, "flip": _flip}
