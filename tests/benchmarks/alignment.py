"""How exactly, safely and quickly parts that do not lie still are found (edge/frame/alignment.py).

    python tests/benchmarks/alignment.py [--frames 1000] [--data FOLDER]

Parts of the rendered line and a low-contrast bracket are shifted by up to 15 % of the frame and turned by up to 20
degrees. The reference is learnt from 24 good parts that lie nearly still (`train/alignment.py`). One row for each kind
of frame says how many were found, with the wrong pose (by more than 2 pixels or 0.5 degrees) or where nothing may be
found (`wrong`), for which reasons the others were refused, and the error of the poses found. A frame of every kind has
other light (brightness 0.5 to 1.6, a slant of up to 60 %), and every second one noise. `--data` names a folder with
`mvtec_transistor_256/train/good`: these pictures are shifted and turned, and the pose is compared with the sum of the
movement and the pose found before. The times are the median of 300 calls; run it while the machine is idle. The rows
go to results/alignment.csv.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from table import RESULTS, Row, processor, store

sys.path.insert(0, str(Path(__file__).parents[1]))

from moved_parts import (
    BRACKET,
    MIDDLE,
    Frame,
    Part,
    bracket,
    defocused,
    drawn,
    errors,
    flanges,
    glare,
    noisy,
    other_product,
    slanted,
)

from edge_inspect.edge.demo.defects import DEFECTS
from edge_inspect.edge.frame.alignment import Aligner
from edge_inspect.train.alignment import learnt_alignment

TABLE = RESULTS / "alignment.csv"
PIXELS, DEGREES = 2.0, 0.5
OTHERS = ("disc", "plate", "small", "narrow", "ring")
TIMES = 300
COLUMNS = (
    *("product", "kind", "frames", "found", "wrong", "refused", "pixels_p50", "pixels_p95", "pixels_max"),
    *("degrees_p50", "degrees_p95", "degrees_max", "least_confidence", "lowest_found"),
    *("ms", "ms_best", "cpu_ms", "processor"),
)

Case = tuple[Frame, Part | None]
"""A frame, and where its part lies; None: it may not be found."""


def good(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """A good part."""
    part = drawn(rng)
    return flanges(seed, (part,), lamp), part


def defective(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """A part with one of the demo's defects."""
    part = drawn(rng, defect=DEFECTS[rng.integers(len(DEFECTS))])
    return flanges(seed, (part,), lamp), part


def empty(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """The belt."""
    return flanges(seed, (), lamp), None


def two(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """A part at one side, a second one partly seen at the other."""
    side, near, far = rng.choice([-1, 1]), rng.uniform(55, 95), rng.uniform(220, 265)
    parts = [Part((side * x, rng.uniform(-60, 60)), rng.uniform(-20, 20)) for x in (near, -far)]
    return flanges(seed, parts, lamp), None


def half_outside(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """A part of which a quarter to three quarters lie outside the frame."""
    part = drawn(rng)
    shift = (rng.choice([-1, 1]) * rng.uniform(242, 400), part.shift[1])
    if rng.random() < 0.5:
        shift = (part.shift[0], rng.choice([-1, 1]) * rng.uniform(165, 320))
    return flanges(seed, (part._replace(shift=shift),), lamp), None


def turned(rng: np.random.Generator, seed: int, lamp: float, least: float, most: float) -> Case:
    """A part turned by more than is allowed."""
    angle = rng.choice([-1, 1]) * rng.uniform(least, most)
    return flanges(seed, (drawn(rng, 0.12)._replace(angle=angle),), lamp), None


def under_glare(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """A part under a saturated spot, of 40 to 160 pixels' radius, somewhere on it."""
    frame, part = good(rng, seed, lamp)
    assert part is not None
    at = np.add((319.5, 239.5), part.shift) + rng.normal(0, 60, 2)
    return glare(frame, tuple(at), rng.uniform(40, 160)), part


def upside_down_under_glare(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """A part upside down whose label may be hidden."""
    angle = rng.uniform(165, 195)
    part = drawn(rng, 0.12)._replace(angle=angle)
    label = 118 * np.array([-np.sin(np.deg2rad(angle + 180)), -np.cos(np.deg2rad(angle + 180))])
    at = np.add((319.5, 239.5), part.shift) + rng.choice([-1, 1]) * label
    return glare(flanges(seed, (part,), lamp), tuple(at), rng.uniform(20, 60)), None


def other(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """Another product."""
    return other_product(seed, OTHERS[rng.integers(len(OTHERS))], drawn(rng)), None


def out_of_focus(rng: np.random.Generator, seed: int, lamp: float) -> Case:
    """A part blurred by 2 to 10 pixels."""
    frame, part = good(rng, seed, lamp)
    return defocused(frame, rng.uniform(2, 10)), part


KINDS: dict[str, Callable[[np.random.Generator, int, float], Case]] = {
    "good": good,
    "defective": defective,
    "empty": empty,
    "two parts": two,
    "half outside": half_outside,
    "upside down": lambda rng, seed, lamp: turned(rng, seed, lamp, 160, 200),
    "quarter turned": lambda rng, seed, lamp: turned(rng, seed, lamp, 70, 110),
    "turned 23 to 60": lambda rng, seed, lamp: turned(rng, seed, lamp, 23, 60),
    "glare": under_glare,
    "upside down, glare": upside_down_under_glare,
    "other product": other,
    "defocused": out_of_focus,
}


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000, help="how many frames of the line (default 1000)")
    parser.add_argument("--data", type=Path, help="folder with mvtec_transistor_256")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    still = [flanges(i, (drawn(rng, 0.02, 4),)) for i in range(24)]
    alignment = learnt_alignment(still, "rigid", reference=flanges(24), shift=0.15, turn=20.0)
    aligner = Aligner(alignment)
    plain = ((flanges(10_000 + i, (part,)), part) for i, part in enumerate(drawn(rng) for _ in range(200)))
    report("flange", "plain light", aligner, plain)
    each = arguments.frames // len(KINDS) + 1
    for number, (kind, make) in enumerate(KINDS.items()):
        report("flange", kind, aligner, randomised(make, each, 100_000 * (number + 1)))
    low = [bracket(i, drawn(rng, 0.02, 4)) for i in range(24)]
    finder = Aligner(learnt_alignment(low, "rigid", reference=bracket(24, Part()), part=BRACKET, shift=0.15, turn=20.0))
    report("bracket", "good", finder, ((bracket(1000 + i, p), p) for i, p in enumerate(drawn(rng) for _ in range(100))))
    report("bracket", "empty", finder, ((bracket(2000 + i), None) for i in range(50)))
    upside = (drawn(rng, 0.1)._replace(angle=rng.uniform(160, 200)) for _ in range(50))
    report("bracket", "upside down", finder, ((bracket(3000 + i, p), None) for i, p in enumerate(upside)))
    if arguments.data is not None:
        transistors(arguments.data / "mvtec_transistor_256" / "train" / "good", rng)
    times(aligner)


def randomised(make: Callable[[np.random.Generator, int, float], Case], count: int, first: int) -> Iterator[Case]:
    """Frames of one kind in changing light."""
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        frame, part = make(rng, seed, rng.uniform(0.5, 1.6))
        frame = slanted(frame, rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6))
        yield noisy(frame, rng.uniform(3, 20), seed) if seed % 2 else frame, part


def report(
    product: str, kind: str, aligner: Aligner, cases: Iterator[Case], middle: tuple[float, float] | None = MIDDLE
) -> None:
    """Stores the row of one kind; the error is that of the part's `middle` (None: of the rectangle's)."""
    details: Counter[str] = Counter()
    found, wrong, frames = [], 0, 0
    for frame, part in cases:
        frames += 1
        pose = aligner.find(frame)
        if not pose.found:
            details[str(pose.detail)] += 1
            continue
        error = (np.inf, np.inf) if part is None else errors(pose, part, middle or pose.centre)
        wrong += error[0] > PIXELS or error[1] > DEGREES
        found.append((*error, pose.confidence))
    row: Row = {"product": product, "kind": kind, "frames": frames, "found": len(found), "wrong": wrong}
    row["refused"] = " ".join(f"{detail}:{count}" for detail, count in details.most_common())
    for column, name in enumerate(("pixels", "degrees")):
        values = [each[column] for each in found]
        for label, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            row[f"{name}_{label}"] = round(float(np.quantile(values, share)), 3) if values else ""
    row["least_confidence"] = aligner.alignment.least_confidence
    row["lowest_found"] = round(min((each[2] for each in found), default=0.0), 3)
    keep(row)


def transistors(folder: Path, rng: np.random.Generator) -> None:
    """Real pictures, moved; only those that are found as they are."""
    pictures = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
    aligner = Aligner(learnt_alignment(pictures, "rigid", part=(60, 25, 145, 215), shift=0.15, turn=20.0))
    still = [aligner.find(picture) for picture in pictures]
    report(
        "transistor",
        "as they are",
        aligner,
        ((f, Part(p.shift, p.angle)) for f, p in zip(pictures, still, strict=True)),
        None,
    )

    def moved() -> Iterator[Case]:
        for picture, pose in zip(pictures, still, strict=True):
            if pose.found:
                part = drawn(rng, 0.06)
                centre = tuple(np.add(pose.centre, pose.shift).tolist())
                matrix = cv2.getRotationMatrix2D(centre, part.angle, 1.0)
                shift = np.array(part.shift) * (256 / 640, 256 / 480)
                matrix[:, 2] += shift
                frame = cv2.warpAffine(picture, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE)
                yield frame, Part(tuple(np.add(pose.shift, shift)), pose.angle + part.angle)

    report("transistor", "moved", aligner, moved(), None)


def times(aligner: Aligner) -> None:
    """Stores the time of a frame, and that of shrinking it for comparison."""
    frame = flanges(7, (Part((40, -30), 11),))
    pose = aligner.find(frame)
    for name, call in {
        "find": lambda: aligner.find(frame),
        "align": lambda: aligner.align(frame, pose),
        "align 360x360": lambda: aligner.align(frame, pose, (140, 60, 360, 360)),
        "find and align": lambda: aligner.align(frame, aligner.find(frame)),
        "cv2.resize to 256x256": lambda: cv2.resize(frame, (256, 256)),
    }.items():
        wall, cpu = [], []
        for _ in range(TIMES):
            start, used = time.perf_counter(), time.process_time()
            call()
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - used)
        row: Row = {"product": "flange", "kind": f"time: {name}", "frames": TIMES}
        row |= {"ms": round(1e3 * float(np.median(wall)), 3), "ms_best": round(1e3 * min(wall), 3)}
        keep(row | {"cpu_ms": round(1e3 * float(np.median(cpu)), 3), "processor": processor()})


def keep(row: Row) -> None:
    """Stores and prints a row."""
    store(TABLE, {column: row.get(column, "") for column in COLUMNS}, ("product", "kind"))
    print(row, flush=True)


if __name__ == "__main__":
    main()
