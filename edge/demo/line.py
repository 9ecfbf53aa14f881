"""Renders a production line: good and defective machined flanges on a conveyor, seen by a fixed camera.

For every frame the part gets light and new machining marks, is turned and shifted, and is laid on the belt; the camera
then adds light fall-off, blur and noise. A defective frame is the good one plus the change that the defect makes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_inspect.edge.demo.defects import DEFECTS, PATCH, difference, noticeable
from edge_inspect.edge.demo.flange import (
    HALF,
    USUAL_FINISH,
    Bytes,
    Finish,
    Floats,
    f32,
    noise_banks,
    part_geometry,
    random_cut,
    random_look,
    shade,
)
from edge_inspect.edge.demo.progress import tracked

__all__ = [
    "CATEGORY",
    "DEFECTS",
    "HEIGHT",
    "WIDTH",
    "RenderedPart",
    "StreamPart",
    "render_part",
    "write_dataset",
    "write_stream",
]

CATEGORY = "flange"
WIDTH, HEIGHT = 640, 480

Corner = tuple[int, int]  # x, y of a top left pixel

_WINDOW = 440  # the square of the frame that the part can reach in any pose
_WX, _WY = (WIDTH - _WINDOW) // 2, (HEIGHT - _WINDOW) // 2
_REACH = 200  # the square of the frame that a defect's patch can reach
_FADE = 4  # pixels around the mask over which the unnoticeable rest of a defect fades to nothing
_SPLIT = 1_000_000  # seeds of a data set are 2n * _SPLIT + i, those of a stream (2n + 1) * _SPLIT + i


@dataclass(frozen=True)
class RenderedPart:
    """One frame of the line, with the truth about it.

    Attributes:
        frame: (480, 640, 3) uint8, BGR.
        mask: (480, 640) uint8, 255 where the defect noticeably changed the frame, else 0.
        defect: one of `DEFECTS`, or None for a good part.
    """

    frame: Bytes
    mask: Bytes
    defect: str | None


@dataclass(frozen=True)
class StreamPart:
    """The truth about one frame of a stream."""

    file: str
    ok: bool
    defect: str | None


def render_part(seed: int, defect: str | None = None, lamp: float = 1.0, finish: Finish = USUAL_FINISH) -> RenderedPart:
    """Render part number `seed`; with a `defect`, the same part with that defect on it.

    Args:
        seed: 0 or more; decides everything, so the same seed gives the same bytes on the same OpenCV.
        defect: one of `DEFECTS`, or None for a good part.
        lamp: how bright the lamp is, above 0; 0.85 is one that has lost 15 % of its light.
        finish: finish of the part's lot.

    Raises:
        ValueError: `defect` is not one of `DEFECTS`.
    """
    if defect is not None and defect not in DEFECTS:
        raise ValueError(f"unknown defect {defect!r}: one of {', '.join(DEFECTS)}")
    rng = np.random.default_rng([seed, 0])
    degrees = float(np.clip(rng.normal(0, 1.5), -4, 4))
    pose = cv2.getRotationMatrix2D((HALF - 0.5, HALF - 0.5), degrees, 1.0)
    pose[:, 2] += (WIDTH / 2 - HALF, HEIGHT / 2 - HALF) + np.clip(rng.normal(0, 3.5, 2), -9, 9)
    blur = float(rng.uniform(0.45, 0.75))

    def camera(part: Floats, source: Corner, target: Corner, side: int, outside: float) -> list[Floats]:
        """Return a patch of the part, its corner at `source`, as seen at `target`: planes B, G, R and belt."""
        move = pose.copy()
        move[:, 2] += pose[:, :2] @ source - target
        seen = cv2.warpAffine(part, move, (side, side), borderValue=(0, 0, 0, outside))
        return list(cv2.split(cv2.GaussianBlur(seen, (3, 3), blur)))

    look = random_look(rng, -np.deg2rad(degrees), finish)
    good = shade(part_geometry(None), look)
    level, (fall_y, fall_x) = 255 * lamp * rng.uniform(0.92, 1.06), rng.normal(0, 0.05, 2)
    rows, columns = np.linspace(-fall_y, fall_y, HEIGHT), np.linspace(-fall_x, fall_x, WIDTH)
    light = np.add.outer(f32(level * (1 + rows)), f32(level * columns))
    belt = light * random_cut(noise_banks().belt, HEIGHT, WIDTH, rng)
    planes = [belt * np.float32(tint) for tint in (1.03, 1.0, 0.96)]
    window = np.s_[_WY : _WY + _WINDOW, _WX : _WX + _WINDOW]
    *part, through = camera(good, (0, 0), (_WX, _WY), _WINDOW, 1.0)
    for plane, colour in zip(planes, part, strict=True):
        colour *= light[window]
        plane[window] *= through
        plane[window] += colour

    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    strength = 1.0
    while defect is not None and not mask.any():
        change, top, left = difference(look, good, defect, seed, strength)
        centre = pose @ [left + PATCH / 2, top + PATCH / 2, 1]
        at_x, at_y = (int(c - _REACH / 2) for c in centre)
        reach = np.s_[at_y : at_y + _REACH, at_x : at_x + _REACH]
        *part, through = camera(change, (left, top), (at_x, at_y), _REACH, 0.0)
        delta = [colour * light[reach] + through * belt[reach] for colour in part]
        mask[reach] = noticeable(delta)
        near = cv2.dilate(mask[reach], np.ones((2 * _FADE + 1, 2 * _FADE + 1), np.uint8))
        weight = f32(cv2.blur(near, (2 * _FADE + 1, 2 * _FADE + 1))) / 255
        for plane, more in zip(planes, delta, strict=True):
            plane[reach] += more * weight
        strength *= 1.4
    grain = random_cut(noise_banks().grain, HEIGHT, WIDTH, rng)
    frame = cv2.scaleAdd(grain, rng.uniform(0.9, 1.8), cv2.merge(planes))
    return RenderedPart(cv2.convertScaleAbs(frame), mask, defect)


def save(path: Path, picture: Bytes) -> None:
    """Write a picture as PNG; create its folder if it is missing."""
    # Noise hardly compresses, so Huffman coding alone is the quickest, and here even the smallest.
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
    _, data = cv2.imencode(".png", picture, how)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def write_dataset(folder: Path, *, train_good: int, test_good: int, test_defects: int, seed: int) -> None:
    """Write a data set in MVTec layout under `folder`/`CATEGORY`, and show the progress.

    Args:
        folder: Folder for the files, created if missing. Files of the same name are overwritten, others are kept.
        train_good: Number of good parts for training.
        test_good: Number of good parts for testing.
        test_defects: Number of defective parts for testing, for each kind of defect.
        seed: Random seed, 0 or more. Each seed gives other parts, and none of them is in a stream.
    """
    number = 2 * seed * _SPLIT
    root = folder / CATEGORY
    plan: list[tuple[str, str | None, int]] = [("train/good", None, train_good), ("test/good", None, test_good)]
    plan += [(f"test/{defect}", defect, test_defects) for defect in DEFECTS]
    parts = [(where, defect, index) for where, defect, count in plan for index in range(count)]
    for where, defect, index in tracked(parts, len(parts), "parts of the data set"):
        part = render_part(number, defect)
        number += 1
        save(root / where / f"{index:03d}.png", part.frame)
        if defect is not None:
            save(root / "ground_truth" / defect / f"{index:03d}_mask.png", part.mask)


def write_stream(folder: Path, *, frames: int, defect_share: float, seed: int) -> list[StreamPart]:
    """Write the frames of a running line, `000000.png` and so on, and the truth about them, `truth.json`.

    Progress is shown on standard error.

    Args:
        folder: Folder for the files, created if missing. Files of the same name are overwritten, others are kept.
        frames: Number of parts.
        defect_share: Probability that a part is defective, 0 to 1; all kinds of defects are equally likely.
        seed: Random seed, 0 or more. Each seed gives other parts, and none of them is in a data set.
    """
    rng = np.random.default_rng([seed, 0x57])
    parts = []
    for index in tracked(range(frames), frames, "parts of the stream"):
        defect = DEFECTS[rng.integers(len(DEFECTS))] if rng.random() < defect_share else None
        parts.append(StreamPart(f"{index:06d}.png", defect is None, defect))
        save(folder / parts[-1].file, render_part((2 * seed + 1) * _SPLIT + index, defect).frame)
    folder.mkdir(parents=True, exist_ok=True)
    truth = {part.file: {"ok": part.ok, "defect": part.defect} for part in parts}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return parts
