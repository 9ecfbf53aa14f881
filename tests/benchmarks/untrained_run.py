"""A checkpoint that has learned nothing, for timing networks whose training takes a GPU.

    python tests/benchmarks/untrained_run.py OUT [--model rd] [--teacher wide_resnet50_2] [--size 256]
    calibrate bundle OUT --good DIR --out BUNDLE --budget-auroc 100 --budget-aupro 100 --budget-rank -1

What an engine costs does not depend on the weights' values. Here each is plus or minus its layer's He deviation, the
signs repeating every 1009: hundreds of megabytes of such a bundle compress to a few, and can be brought to a GPU that
is hard to reach.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.network import Network
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.checkpoint import Checkpoint, save
from edge_inspect.train.systems import SYSTEMS, system_of

PERIOD = 1009
"""Prime, so that it fits into no layer's shape."""

GAIN = 0.7
"""Of the deviation: residual blocks add, and dozens of them must stay within float16."""


def main() -> None:
    """Writes the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=SYSTEMS, default="rd")
    parser.add_argument("--teacher", default="wide_resnet50_2")
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    model = system_of(arguments.model).build(Teacher(arguments.teacher), {})
    fill(model)
    fit = Fit(arguments.size, arguments.size)
    about = Checkpoint(arguments.model, arguments.teacher, "0" * 64, "untrained", fit, 0, 0, [], [])
    arguments.out.mkdir(parents=True)
    save(arguments.out, about, model)


@torch.no_grad()
def fill(model: Network) -> None:
    """Gives every convolution its signs; what normalises keeps what it is born with."""
    signs = torch.randint(0, 2, (PERIOD,), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    for weight in model.parameters():
        if weight.ndim == 4:
            fan_in = weight[0].numel()
            repeated = signs.repeat(-(-weight.numel() // PERIOD))[: weight.numel()]
            weight.copy_(GAIN * (2 / fan_in) ** 0.5 * repeated.reshape(weight.shape))


if __name__ == "__main__":
    main()
