"""Verdicts where the light has changed: a memory and its threshold, with and without `--augment`.

    python tests/benchmarks/light.py DATA --category BSData --augment off --augment light=5,gamma=5

Each memory is made by `edge-train fit --model memory` with its defaults, but for a fifth of the good pictures held out,
so that there are enough to choose by. The threshold is the one that `calibrate bundle` takes from the cross-fitted
scores. Pictures are scored in FP32 with PyTorch. `rejected` good parts and `found` defects of the test split are those
above the threshold, in pictures as they are; the columns behind them are the good parts rejected where grey levels are
multiplied by 0.9, 0.95, 1.05 and 1.1, or raised to a gamma of 0.95 and 1.05. The columns that begin with `held` are the
same of the good pictures held out, and `flaws` are synthetic flaws on these (`train/flaws.py`): a strength is chosen by
them, not by the test split. The rows go to results/light.csv.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from table import RESULTS, Row, program, store

from edge_inspect.calibrate.thresholds.threshold import resolvable_rate, tail_threshold
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import read_image
from edge_inspect.models.network import Network
from edge_inspect.train import checkpoint
from edge_inspect.train.augmentation import Change
from edge_inspect.train.datasets import Category
from edge_inspect.train.flaws import Flaws
from edge_inspect.train.held_out import held_out_pictures
from edge_inspect.train.material import normalise
from edge_inspect.train.metrics import auroc
from edge_inspect.train.validation import DRAWS

TABLE = RESULTS / "light.csv"
KEY = ("data", "augment", "seed")
CHANGES = {
    **{f"light {100 * factor - 100:+.0f} %": Change(light=factor) for factor in (0.9, 0.95, 1.05, 1.1)},
    **{f"gamma {gamma}": Change(gamma=gamma) for gamma in (0.95, 1.05)},
}
AS_IS = Change()
Pictures = NDArray[np.uint8]
Masks = NDArray[np.bool_]


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", action="append", required=True)
    parser.add_argument("--augment", action="append", required=True, help="what `edge-train fit --augment` takes")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 (default 1)")
    arguments = parser.parse_args()
    for name in arguments.category:
        category = Category.open(arguments.data, name)
        for seed in range(arguments.seeds):
            for augment in arguments.augment:
                row = {"data": name, "augment": augment, "seed": seed, **measure(category, augment, seed)}
                store(TABLE, row, KEY)
                print(row, flush=True)


def measure(category: Category, augment: str, seed: int) -> Row:
    """Makes a memory and gives its row."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--model", "memory", "--hold-out", "0.2", "--seed", str(seed), "--augment", augment]
        program("edge_inspect.train.cli", "fit", "--data", str(category.root), *options, "--out", f"{folder}/run")
        about, model = checkpoint.load(Path(folder, "run"))
    rate = resolvable_rate(len(about.scores))
    threshold = tail_threshold(about.scores, rate).threshold
    held, shown = _read(held_out_pictures(about, category), about.fit)
    drawing = Flaws(held, seed=seed, valid=shown)
    flaws = np.stack([drawing.draw(i, turn).picture for i in range(len(held)) for turn in range(DRAWS)])
    images = category.test_images()
    test, valid = _read([image.path for image in images], about.fit)
    good = np.array([image.good for image in images])
    scores = _scores(model, test, valid)

    def rejected(pictures: Pictures, inside: Masks) -> Row:
        """How many good pictures the threshold rejects after each change."""
        return {
            name: int((_scores(model, pictures, inside, change) > threshold).sum()) for name, change in CHANGES.items()
        }

    return {
        "fit_s": about.training["seconds"],
        "asked_rate": rate,
        "held": len(held),
        "held_rejected": int((_scores(model, held, shown) > threshold).sum()),
        **{f"held {name}": count for name, count in rejected(held, shown).items()},
        "flaws": len(flaws),
        "flaws_found": int((_scores(model, flaws, shown.repeat(DRAWS, 0)) > threshold).sum()),
        "good": int(good.sum()),
        "rejected": int((scores[good] > threshold).sum()),
        **rejected(test[good], valid[good]),
        "defects": int((~good).sum()),
        "found": int((scores[~good] > threshold).sum()),
        "image_auroc": round(float(auroc(scores, ~good)), 4),
    }


def _read(paths: list[Path], fit: Fit) -> tuple[Pictures, Masks]:
    """The pictures as the network sees them, and which pixels show the frame."""
    pictures, shown = [], []
    for path in paths:
        fitted, placement = fit.apply(read_image(path))
        x0, y0, x1, y1 = placement.valid
        inside = np.zeros(fitted.shape[:2], bool)
        inside[y0:y1, x0:x1] = True
        pictures.append(fitted)
        shown.append(inside)
    return np.stack(pictures), np.stack(shown)


@torch.inference_mode()
def _scores(model: Network, pictures: Pictures, shown: Masks, change: Change = AS_IS) -> NDArray[np.float32]:
    """The largest map value of each picture after a change, where it shows the frame."""
    scores = []
    for start in range(0, len(pictures), 8):
        batch = np.stack([change.picture(picture) for picture in pictures[start : start + 8]])
        maps = model.anomaly_map(normalise(batch))[:, 0].numpy()
        scores.append(np.where(shown[start : start + 8], maps, -np.inf).max(axis=(1, 2)))
    return np.concatenate(scores)


if __name__ == "__main__":
    main()
