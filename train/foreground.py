"""Where the part is in a picture: synthetic defects are drawn on the part, not on the belt beside it.

A wrong mask hides places from training for good, while the whole frame only spends some defects on the background. So
whenever a policy is in doubt, it returns the whole frame. AAND keeps a table of thresholds for its categories, and
DMDD's authors run GrabCut and list their textures by name. `auto` needs neither (docs/methods.md,
"Synthetic defects").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.images import Frame

Policy = Literal["auto", "full", "otsu", "otsu-inverse", "grabcut", "disc"]
POLICIES: tuple[str, ...] = get_args(Policy)

Mask = NDArray[np.uint8]
"""(H, W) uint8: 1 on the part, 0 beside it."""

LEAST, MOST = 0.02, 0.98
"""Shares of the frame. If a part is smaller or larger, the method has failed, and the whole frame is taken."""

_SIDE = 64  # side of the picture in which colours are compared: coarse enough to see parts and not their grain
_RING = 4  # width of that picture's border
_CLEAR = 4.0  # how many times the background's own spread the part's colour must differ from the background's
_CUT_SIDE, _CUT_ROUNDS = 64, 5


def foreground_mask(picture: Frame, policy: str = "auto") -> Mask:
    """Find the part.

    * `full`: the whole frame, for textures and close-ups.
    * `auto`: what differs in colour from the frame's border, if the border has one colour; otherwise the whole frame.
    * `otsu`, `otsu-inverse`: what is brighter (darker) than Otsu's threshold of the blurred grey picture.
    * `grabcut`: GrabCut (Rother et al. 2004) with the border as background; repeatable, takes about 30 ms.
    * `disc`: the ellipse in the middle that leaves out a twentieth of the frame on every side.

    Args:
        picture: (H, W, 3) uint8 BGR, fitted to the network.
        policy: One of `POLICIES`.

    Returns:
        (H, W) uint8: 1 on the part; all 1 if the method finds less than 2 % or more than 98 % of the frame.

    Raises:
        UsageError: There is no such policy.
    """
    if policy not in _METHODS:
        raise UsageError(f"foreground {policy!r} is unknown; there are {', '.join(POLICIES)}")
    mask = _METHODS[policy](picture)
    return mask if LEAST <= mask.mean() <= MOST else np.ones_like(mask)


def foreground_masks(pictures: NDArray[np.uint8], policy: str = "auto") -> NDArray[np.uint8]:
    """Return the parts of many pictures of one product, (N, H, W, 3) uint8 to (N, H, W) uint8.

    The pictures vote: unless most of them show a part on a background, the product is a texture. Then the few
    exceptions (a dark corner, a large stain) are taken whole too.

    Raises:
        UsageError: There is no such policy.
    """
    masks = np.stack([foreground_mask(picture, policy) for picture in pictures])
    whole = masks.all(axis=(1, 2))
    return np.ones_like(masks) if whole.mean() > 0.5 else masks


def masks_inside(masks: NDArray[np.uint8], counts: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the parts' masks, (N, H, W), without the pixels that do not count; no mask gets empty.

    A part that was found only where nothing counts was not found: then everything that counts is taken. A picture of
    which nothing counts, such as a tile beside all areas, keeps its mask.

    Args:
        masks: Masks as `foreground_masks` gives them.
        counts: Which pixels count, (N, H, W).
    """
    inside, some = masks * counts, np.asarray(counts.any(axis=(1, 2)))
    found = np.asarray(inside.any(axis=(1, 2)))
    return np.select([found[:, None, None], some[:, None, None]], [inside, counts], masks).astype(np.uint8)


def _full(picture: Frame) -> Mask:
    return np.ones(picture.shape[:2], np.uint8)


def _auto(picture: Frame) -> Mask:
    """Return the mask of pixels that stand out from the border's colour.

    d(p) is the distance in CIELAB of the blurred picture from the border's median colour; Otsu's threshold splits it.
    The result is believed if the part is mostly off the border and lies clearly apart:
    mean(d | part) - mean(d | background) >= 4 rms(d | background). A texture's border looks like its middle and spreads
    as far as its "part": a uniform distribution of d gives 1.7. The real textures that were tried stay below 3; parts
    on a belt or a backdrop reach 5 to 20.
    """
    height, width = picture.shape[:2]
    small = cv2.GaussianBlur(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    ring = np.ones((_SIDE, _SIDE), bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    distance = np.linalg.norm(lab - np.median(lab[ring], axis=0), axis=2).astype(np.float32)
    scale = max(float(distance.max()), 1.0) / 255
    threshold = (cv2.threshold((distance / scale).astype(np.uint8), 0, 1, cv2.THRESH_OTSU)[0] + 1) * scale
    part = distance >= threshold
    middle = part[_SIDE // 4 : -_SIDE // 4, _SIDE // 4 : -_SIDE // 4]
    if not part.any() or part[ring].mean() > min(0.35, 0.5 * middle.mean()):
        return _full(picture)
    spread = float(np.sqrt(np.square(distance[~part]).mean()))
    if float(distance[part].mean() - distance[~part].mean()) < _CLEAR * max(spread, 0.5):
        return _full(picture)
    return _solid(cv2.resize(distance, (width, height), interpolation=cv2.INTER_LINEAR) >= threshold)


def _otsu(picture: Frame) -> Mask:
    return _solid(_bright(picture) > 0)


def _otsu_inverse(picture: Frame) -> Mask:
    return _solid(_bright(picture) == 0)


def _bright(picture: Frame) -> Mask:
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (0, 0), max(picture.shape[:2]) / 64)
    return np.asarray(cv2.threshold(grey, 0, 1, cv2.THRESH_OTSU)[1], np.uint8)


def _grabcut(picture: Frame) -> Mask:
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (_CUT_SIDE, _CUT_SIDE), interpolation=cv2.INTER_AREA)
    labels = np.zeros((_CUT_SIDE, _CUT_SIDE), np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut's mixtures start from a random clustering
    rectangle = (1, 1, _CUT_SIDE - 2, _CUT_SIDE - 2)
    cv2.grabCut(small, labels, rectangle, *models, _CUT_ROUNDS, cv2.GC_INIT_WITH_RECT)
    part = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return _solid(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5)


def _disc(picture: Frame) -> Mask:
    height, width = picture.shape[:2]
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    return np.asarray(np.hypot(y[:, None], x) <= 0.45, np.uint8)


def _solid(part: NDArray[np.bool_]) -> Mask:
    """Return the mask without specks and holes, a little larger, because a filled bore or a burr is a defect too."""
    mask = part.astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [outline for outline in outlines if cv2.contourArea(outline) >= mask.size / 1000]
    solid = cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED)
    reach = max(mask.shape) // 128
    return np.asarray(cv2.dilate(solid, np.ones((2 * reach + 1,) * 2, np.uint8)), np.uint8)


_METHODS: dict[str, Callable[[Frame], Mask]] = {
    "auto": _auto,
    "full": _full,
    "otsu": _otsu,
    "otsu-inverse": _otsu_inverse,
    "grabcut": _grabcut,
    "disc": _disc,
}
