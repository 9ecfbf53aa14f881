"""RD4AD's training on ResNet-18 at 256x256 against a plain loop: passes over 100 pictures, in turns, in one process.

    python tests/benchmarks/training.py [--images 100] [--pairs 3]

The plain loop is careful, but nothing is done for speed: the teacher in each step, without gradients, float32, the
default memory layout, the same Adam. `as_published` is the same loop as RD4AD's code has it: layer4 is computed and
thrown away, and gradients are computed through the teacher, which needs none. Ours is the phase
`edge-train fit` runs, in the precision it chooses here: features computed once (told apart as `prepare_seconds`, spent
once a training) and channels last. Pictures are in memory for all. The row goes to results/training.csv, in the place
of this processor's. Weights are random: they cost the same.
"""

from __future__ import annotations

import argparse
import math
import time
from statistics import median

import numpy as np
import timm
import torch
from table import RESULTS, processor, store

from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.device import open_arithmetic
from edge_inspect.train.loop import train_steps
from edge_inspect.train.material import Material, normalise
from edge_inspect.train.phase import Distillation, constant

TABLE = RESULTS / "training.csv"
BATCH, RATE = 16, 0.005


def main() -> None:
    """Takes both sides' times and writes the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=3, help="timed passes of each side (default 3)")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (arguments.images, 256, 256, 3), np.uint8)
    arithmetic = open_arithmetic("auto", "auto")
    plain, ours = new_model(), new_model().to(arithmetic.device, memory_format=torch.channels_last)
    plain.to(arithmetic.device)
    published = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3, 4)).eval().to(arithmetic.device)
    material = Material(pictures, None, arithmetic, BATCH, 0, 4.0)
    steps = math.ceil(arguments.images / BATCH)
    phase = Distillation(ours, material, steps * (arguments.pairs + 1), RATE, constant)
    started = time.perf_counter()
    phase.begin()
    prepare = time.perf_counter() - started
    optimizers = {model: torch.optim.Adam(learning(model), lr=RATE, betas=(0.5, 0.999)) for model in (plain, ours)}
    batches = phase.batches(0)
    times: dict[str, list[float]] = {"plain": [], "as_published": [], "ours": []}
    for turn in range(arguments.pairs + 1):
        for name, run in (
            ("plain", lambda: plain_pass(plain, plain.teacher, optimizers[plain], pictures, arithmetic.device)),
            ("as_published", lambda: plain_pass(plain, published, optimizers[plain], pictures, arithmetic.device)),
            ("ours", lambda: train_steps(phase, optimizers[ours], batches, range(steps), constant)),
        ):
            started = time.perf_counter()
            run()
            if turn:  # the first is to warm up
                times[name].append(time.perf_counter() - started)
    seconds = {name: median(taken) for name, taken in times.items()}
    row: dict[str, object] = {
        "images": arguments.images,
        "pairs": arguments.pairs,
        **{f"{name}_seconds": round(value, 2) for name, value in seconds.items()},
        "ratio": round(seconds["plain"] / seconds["ours"], 2),
        "ratio_as_published": round(seconds["as_published"] / seconds["ours"], 2),
        "prepare_seconds": round(prepare, 2),
        "images_per_second": round(arguments.images / seconds["ours"], 2),
        "precision": "bfloat16" if arithmetic.reduced else "float32",
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "device": processor() if arithmetic.device.type == "cpu" else torch.cuda.get_device_name(),
    }
    store(TABLE, row, ("device",))
    for key, value in row.items():
        print(f"{key:20} {value}")


def new_model() -> ReverseDistillation:
    """RD4AD on a ResNet-18 of random weights."""
    torch.manual_seed(0)
    return ReverseDistillation(Teacher("resnet18")).train()


def learning(model: ReverseDistillation) -> list[torch.nn.Parameter]:
    """The parameters that learn."""
    return [p for p in model.parameters() if p.requires_grad]


def plain_pass(
    model: ReverseDistillation,
    teacher: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    pictures: np.ndarray,
    device: torch.device,
) -> None:
    """The loop without anything done for speed."""
    for index in torch.randperm(len(pictures)).split(BATCH):
        images = normalise(pictures[index.numpy()]).contiguous().to(device)
        loss = model.loss(teacher(images)[:3])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
