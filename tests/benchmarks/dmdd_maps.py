"""What each part of DMDD's map is worth on real parts: the head alone, the distances alone, and what is shipped.

    python tests/benchmarks/dmdd_maps.py DATA RUN...

An ablation, for reading: what is shipped was chosen on synthetic flaws when the run was trained (train/mixture.py), and
nothing here changes it; `edge-train fit --map` does. Test split, last step, float32, metrics as in accuracy.csv; rows
go to results/dmdd_maps.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from table import RESULTS, store

from edge_inspect.edge.frame.images import Frame
from edge_inspect.models.discrepancy import gaussian_blur, upsample
from edge_inspect.models.dmdd import DecoupledDistillation
from edge_inspect.train import checkpoint
from edge_inspect.train.datasets import Category
from edge_inspect.train.evaluation import evaluate
from edge_inspect.train.material import normalise
from edge_inspect.train.mixture import MAPS

PARTS = {**MAPS, "distances of both branches": (0.0, 1.0, 1.0)}
METRICS = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro_0.3")


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", help="runs of edge-train fit --model dmdd")
    arguments = parser.parse_args()
    for run in arguments.runs:
        for row in measure(arguments.data, run):
            store(RESULTS / "dmdd_maps.csv", row, ("data", "teacher", "fit", "steps", "seed", "map"))
            print(row)


def measure(data: Path, run: Path) -> list[dict[str, object]]:
    """The rows of a run; the network sees the test split once."""
    about, model = checkpoint.load(run)
    if not isinstance(model, DecoupledDistillation):
        raise SystemExit(f"{run}: is no DMDD but {about.model}")
    model.eval()
    weights = torch.tensor([model.mixture.tolist(), *PARTS.values()])
    every: list[NDArray[np.float32]] = []

    @torch.inference_mode()
    def predict(fitted: Frame) -> NDArray[np.float32]:
        images = normalise(about.fit.cut(fitted))
        mixed = torch.einsum("mp,nphw->nmhw", weights, model.parts(images))
        maps = gaussian_blur(upsample(mixed.flatten(0, 1)[:, None], images.shape[-2:]))
        maps = maps.unflatten(0, (len(images), len(weights)))[:, :, 0].numpy()
        every.append(np.stack([about.fit.merge(maps[:, i]) for i in range(len(weights))]))
        return every[-1][0]

    images = Category.open(data, about.category).test_images()
    evaluate(predict, images, about.fit)
    rows = []
    for i, name in enumerate(("shipped", *PARTS)):
        computed = iter(every)
        found = evaluate(lambda _, maps=computed, i=i: next(maps)[i], images, about.fit).metrics()
        key = {"data": about.category, "teacher": about.teacher, "fit": about.fit.mode, "steps": about.steps}
        rows.append({**key, "seed": about.seed, "map": name, **{metric: round(found[metric], 4) for metric in METRICS}})
    return rows


if __name__ == "__main__":
    main()
