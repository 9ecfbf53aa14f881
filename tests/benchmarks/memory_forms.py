"""Forms that a memory could have, on real parts: which features, how they are compared, how many prototypes.

    python tests/benchmarks/memory_forms.py DATA --category BSData --category MTD

Each form is filled from the good training pictures but for the 40 in the middle of the files' order, on which flaws are
drawn (`train.flaws`). `flaw_auroc` and `flaw_aupro` are of these, and a form may be chosen by them; the other columns
are of the test split and choose nothing. Both seeds of a form differ by the sample of features and the first prototype.
The rows go to results/memory_forms.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from table import RESULTS, store
from torch import Tensor
from torch.nn import functional

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import read_image
from edge_inspect.models.discrepancy import gaussian_blur, upsample
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.datasets import Category, load_fitted, load_mask
from edge_inspect.train.flaws import Flaws
from edge_inspect.train.material import normalise
from edge_inspect.train.metrics import aupro, auroc
from edge_inspect.train.prototypes import k_centre
from edge_inspect.train.systems import system_of
from edge_inspect.train.teachers import open_teacher
from edge_inspect.train.validation import DRAWS, MOST_PICTURES

TABLE = RESULTS / "memory_forms.csv"
KEY = ("data", "form", "seed")
VECTORS = 40_000


@dataclass(frozen=True)
class Form:
    """One way to remember.

    Attributes:
        scales: Which of the teacher's features: 0 to 2 are strides 4 to 16.
        transforms: What is done to features before they are compared, one for each bank; the distances of all banks
            are added in units of their spread on the unseen good pictures.
        prototypes: Of each bank.
        average: Side of the neighbourhood over which features are averaged.
    """

    scales: tuple[int, ...] = (1, 2)
    transforms: tuple[str, ...] = ("plain", "standardised")
    prototypes: int = 1000
    average: int = 3


FORMS = {
    "both (ships)": Form(),
    "plain alone": Form(transforms=("plain",)),
    "standardised alone": Form(transforms=("standardised",)),
    "whitened alone": Form(transforms=("whitened",)),
    "plain and whitened": Form(transforms=("plain", "whitened")),
    "stride 16 alone": Form(scales=(2,)),
    "strides 4, 8 and 16": Form(scales=(0, 1, 2)),
    "no average": Form(average=1),
    "250 prototypes": Form(prototypes=250),
    "4,000 prototypes": Form(prototypes=4000),
}


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", action="append", required=True)
    parser.add_argument("--form", action="append", choices=FORMS, help="default: all")
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    teacher = open_teacher(system_of("memory").teacher)
    for category in arguments.category:
        parts = Parts(teacher, Category.open(arguments.data, category))
        for name in arguments.form or FORMS:
            for seed in range(arguments.seeds):
                row = {"data": category, "form": name, "seed": seed, **parts.measure(FORMS[name], seed)}
                store(TABLE, row, KEY)
                print(row, flush=True)


class Parts:
    """The features of one category's pictures, and what is known of these."""

    def __init__(self, teacher: Teacher, category: Category) -> None:
        fit = Fit()
        good = category.train_images()
        begin = (len(good) - MOST_PICTURES) // 2
        unseen = load_fitted(good[begin : begin + MOST_PICTURES], fit)
        flaws = Flaws(unseen, seed=0)
        drawn = [flaws.draw(i, turn) for i in range(len(unseen)) for turn in range(DRAWS)]
        test = category.test_images()
        pictures = {
            "seen": load_fitted(good[:begin] + good[begin + MOST_PICTURES :], fit),
            "unseen": unseen,
            "flawed": np.stack([defect.picture for defect in drawn]),
            "test": load_fitted([image.path for image in test], fit),
        }
        self.features = {name: _features(teacher, each) for name, each in pictures.items()}
        self.flaw_masks = np.concatenate([np.zeros(unseen.shape[:3], np.uint8), np.stack([d.mask for d in drawn])])
        self.test_masks = np.zeros(pictures["test"].shape[:3], np.uint8)
        for i, image in enumerate(test):
            frame = read_image(image.path)
            mask = load_mask(image, frame)
            if mask is not None:
                size = (fit.width, fit.height)
                self.test_masks[i] = cv2.resize(mask.marked, size, interpolation=cv2.INTER_NEAREST)
        self.good = np.array([image.good for image in test])

    def measure(self, form: Form, seed: int) -> dict[str, object]:
        """Return what one form finds."""
        local = {name: _local(each, form) for name, each in self.features.items()}
        generator = torch.Generator().manual_seed(seed)
        seen = local["seen"].permute(0, 2, 3, 1).flatten(0, 2)
        sample = seen[torch.randperm(len(seen), generator=generator)[:VECTORS]]
        maps = {name: torch.zeros(len(each), 1, *each.shape[-2:]) for name, each in local.items() if name != "seen"}
        for transform in form.transforms:
            change = TRANSFORMS[transform](sample)
            every = torch.ones(1, len(sample), dtype=torch.bool)
            prototypes = k_centre(functional.normalize(change(sample), dim=1), every, form.prototypes, transform)[0]
            found = {name: _distances(local[name], change, prototypes) for name in maps}
            spread = found["unseen"].std()
            maps = {name: each + found[name] / spread for name, each in maps.items()}
        size = self.test_masks.shape[1:]
        smooth = {name: _smooth(each, size) for name, each in maps.items()}
        flaws, test = np.concatenate([smooth["unseen"], smooth["flawed"]]), smooth["test"]
        scores = test.max(axis=(1, 2))
        falling = np.sort(scores[self.good])[::-1]
        return {
            "flaw_auroc": round(float(auroc(flaws.max(axis=(1, 2)), self.flaw_masks.any(axis=(1, 2)))), 4),
            "flaw_aupro": round(float(aupro(flaws, self.flaw_masks)), 4),
            "image_auroc": round(float(auroc(scores, ~self.good)), 4),
            "aupro": round(float(aupro(test, self.test_masks)), 4),
            "recall_at_1": round(float((scores[~self.good] > falling[len(falling) // 100]).mean()), 4),
            "recall_at_5": round(float((scores[~self.good] > falling[len(falling) // 20]).mean()), 4),
        }


def _features(teacher: Teacher, pictures: np.ndarray) -> list[Tensor]:
    given = [teacher(normalise(pictures[i : i + 16])) for i in range(0, len(pictures), 16)]
    return [torch.cat(scale).contiguous() for scale in zip(*given, strict=True)]


def _local(features: list[Tensor], form: Form) -> Tensor:
    side, plane = form.average, features[1].shape[-2:]
    averaged = [
        functional.avg_pool2d(features[scale], side, 1, side // 2, count_include_pad=False) for scale in form.scales
    ]
    return torch.cat(
        [
            each
            if each.shape[-2:] == plane
            else functional.adaptive_avg_pool2d(each, plane)
            if each.shape[-1] > plane[-1]
            else upsample(each, plane)
            for each in averaged
        ],
        1,
    )


def _plain(sample: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda vectors: vectors


def _standardised(sample: Tensor) -> Callable[[Tensor], Tensor]:
    mean, deviation = sample.mean(0), sample.std(0)
    return lambda vectors: (vectors - mean) / deviation


def _whitened(sample: Tensor) -> Callable[[Tensor], Tensor]:
    mean, covariance = sample.mean(0), torch.cov(sample.T)
    # A tenth of the mean variance is added, so that directions of next to no variance do not decide.
    values, directions = torch.linalg.eigh(covariance + 0.1 * covariance.diag().mean() * torch.eye(len(covariance)))
    matrix = directions * values**-0.5
    return lambda vectors: (vectors - mean) @ matrix


TRANSFORMS = {"plain": _plain, "standardised": _standardised, "whitened": _whitened}


def _distances(local: Tensor, change: Callable[[Tensor], Tensor], prototypes: Tensor) -> Tensor:
    maps = []
    for part in local.split(16):
        units = functional.normalize(change(part.permute(0, 2, 3, 1).flatten(0, 2)), dim=1)
        maps.append((1 - (units @ prototypes.T).amax(1)).view(len(part), 1, *part.shape[-2:]))
    return torch.cat(maps)


def _smooth(maps: Tensor, size: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([gaussian_blur(upsample(part, size))[:, 0].numpy() for part in maps.split(64)])


if __name__ == "__main__":
    main()
