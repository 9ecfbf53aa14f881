"""How long students of full and half width take, and how many operations: untrained, as times depend on no weight.

    python tests/benchmarks/widths.py

OpenVINO's own arithmetic at 256x256 (train/pace.py), not INT8. All networks take turns, so that what else the machine
does meets all alike. The first percentile says what a network takes where nothing else runs for a moment. The rows go
to results/widths.csv.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from table import RESULTS, processor, write

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.teacher import Teacher
from edge_inspect.models.width import STUDENT_WIDTHS
from edge_inspect.train.pace import runner
from edge_inspect.train.systems import system_of

sys.path.insert(0, str(Path(__file__).parents[1]))
multiply_adds = import_module("model_cost").multiply_adds

TABLE = RESULTS / "widths.csv"
SYSTEMS = (("tf_efficientnet_lite0", "rd"), ("tf_efficientnet_lite0", "dmdd"), ("resnet18", "rd"))
ROUNDS, RUNS = 60, 5


def main() -> None:
    """Time all networks in turns and write the table."""
    asked = [(teacher, system, width) for teacher, system in SYSTEMS for width in STUDENT_WIDTHS]
    runs, taken, operations = {}, {key: list[float]() for key in asked}, {}
    for key in asked:
        teacher, system, width = key
        runs[key] = runner(system_of(system).build(Teacher(teacher), {"student_width": width}), Fit(256, 256))
        with torch.device("meta"):
            network = system_of(system).build(Teacher(teacher), {"student_width": width})
        operations[key] = sum(multiply_adds(network, 256).values())
    for _ in range(ROUNDS):
        for key, run in runs.items():
            taken[key] += [run() for _ in range(RUNS)]
    percentiles = {key: np.percentile(seconds, (1, 50)) * 1000 for key, seconds in taken.items()}
    write(
        TABLE,
        [
            {
                **dict(zip(("teacher", "system", "width"), key, strict=True)),
                "gmac": round(operations[key], 3),
                "ms_p1": round(percentiles[key][0], 2),
                "ms_p50": round(percentiles[key][1], 2),
                "device": processor(),
            }
            for key in asked
        ],
    )


if __name__ == "__main__":
    main()
