"""How a threshold is best brought from FP32 to another precision: how many verdicts differ from FP32's.

    python tests/benchmarks/pairing.py RUN [RUN ...] --data DIR --work out/pairing

Each RUN is the folder of a checkpoint whose training held many good pictures out (--hold-out 0.7). A bundle is made of
it and the pictures held out, 200 at most, are judged in every precision, as is a flaw on each; no test picture is
looked at. Many times, 20, 40 or 80 of the good pictures set the thresholds, and the verdicts on all the others and
their flaws are compared. Bundles and scores in --work are taken as they are. The rules:

    own           each precision's threshold from its own scores
    shift         what ships (calibrate.thresholds.pairing): the median shift of the upper half of the scores
    shift of all  the median shift of all scores
    ratio         the median ratio of the upper half
    line          the line through the upper half of Theil and Sen
    best          the threshold that gives the fewest differences, found by looking: the scatter that none can mend

The rows, the mean share of verdicts that differ, go to results/pairing.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from table import RESULTS, Row, program, store

from edge_inspect.calibrate.thresholds.pairing import pair
from edge_inspect.calibrate.thresholds.threshold import exceeded_at, resolvable_rate
from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.images import pixel_digest, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.datasets import Category
from edge_inspect.train.flaws import Flaws

TABLE = RESULTS / "pairing.csv"
KEY = ("run", "precision", "fitted", "rule")
SIZES, REPETITIONS, MOST = (20, 40, 80), 40, 200
SEED = 5

Floats = NDArray[np.float64]


def line(exact: Floats, other: Floats, at: float) -> float:
    """Where the line through pairs is, of the median slope between two of them."""
    slope, intercept, *_ = stats.theilslopes(other - exact, exact)
    return float(at + intercept + slope * at)


RULES: dict[str, Callable[[Floats, Floats, float, float], float]] = {
    "own": lambda exact, other, at, rate: exceeded_at(other.tolist(), [rate])[0],
    "shift": lambda exact, other, at, rate: at + pair(exact.tolist(), other.tolist()).shift,
    "shift of all": lambda exact, other, at, rate: at + float(np.median(other - exact)),
    "ratio": lambda exact, other, at, rate: at * float(np.median((other / exact)[exact >= np.median(exact)])),
    "line": lambda exact, other, at, rate: line(*(side[exact >= np.median(exact)] for side in (exact, other)), at),
}


def main() -> None:
    """Writes a row for each run, precision, number of pictures and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, required=True, help="folder of the categories the runs were trained on")
    parser.add_argument("--work", type=Path, default=Path("out/pairing"), help="bundles and scores are kept here")
    arguments = parser.parse_args()
    for run in arguments.runs:
        kept = arguments.work / f"{run.name}.npz"
        if not kept.exists():
            np.savez(kept, **judge(run, arguments.data, arguments.work / f"{run.name}.bundle"))
        with np.load(kept) as scores:
            rows = compare(run.name, dict(scores))
        for row in rows:
            store(TABLE, row, KEY)
            print(*row.values(), sep="\t", flush=True)


def judge(run: Path, data: Path, path: Path) -> dict[str, Floats]:
    """The scores of good pictures (`good_int8`) and of a flaw on each (`bad_int8`), of every precision."""
    about, _ = checkpoint.load(run)
    paths = Category.open(data, about.category).train_images()
    if not path.exists():
        program("edge_inspect.calibrate.cli", "bundle", str(run), "--good", str(paths[0].parent), "--out", str(path))
    bundle, held_out = open_bundle(path), set(about.held_out)
    frames = [
        frame for frame in (read_image(each, about.fit.bits) for each in paths) if pixel_digest(frame) in held_out
    ]
    good = np.stack([bundle.fit.apply(frame)[0] for frame in frames[:MOST]])
    flaws = Flaws(good, seed=SEED)
    pictures = {"good": good, "bad": np.stack([flaws.draw(i, 0).picture for i in range(len(good))])}
    engines = {precision: OpenVinoEngine(bundle, precision) for precision in bundle.manifest.precisions}
    return {
        f"{name}_{precision}": np.array([engine.infer_fitted(picture).max() for picture in each], np.float64)
        for precision, engine in engines.items()
        for name, each in pictures.items()
    }


def compare(name: str, scores: Mapping[str, Floats]) -> list[Row]:
    """The rows of a run."""
    random, rows = np.random.default_rng(SEED), []
    for precision in (each for each in ("int8", "bf16", "fp16") if f"good_{each}" in scores):
        good = np.stack([scores["good_fp32"], scores[f"good_{precision}"]])
        bad = np.stack([scores["bad_fp32"], scores[f"bad_{precision}"]])
        for size in (size for size in SIZES if size <= 0.7 * good.shape[1]):
            differ: dict[str, list[float]] = {rule: [] for rule in (*RULES, "best")}
            for _ in range(REPETITIONS):
                order, rate = random.permutation(good.shape[1]), resolvable_rate(size)
                exact, other = good[:, order[:size]]
                at = exceeded_at(exact.tolist(), [rate])[0]
                rest = np.concatenate([good[:, order[size:]], bad[:, order[size:]]], axis=1)
                limits = {rule: find(exact, other, at, rate) for rule, find in RULES.items()}
                for rule, limit in limits.items():
                    differ[rule].append(_differ(rest, at, limit))
                differ["best"].append(min(_differ(rest, at, limit) for limit in [*rest[1], *limits.values()]))
            shares = {rule: round(float(np.mean(each)), 5) for rule, each in differ.items()}
            rows += [
                {"run": name, "precision": precision, "fitted": size, "rule": rule, "differ": share}
                for rule, share in shares.items()
            ]
    return rows


def _differ(scores: Floats, exact: float, other: float) -> float:
    """The share of verdicts that differ, of (2, N) scores."""
    return float(np.mean((scores[0] > exact) != (scores[1] > other)))


if __name__ == "__main__":
    main()
