"""The time that a network takes for one picture on this box, measured before anything is trained or exported."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import openvino
import torch
from torch import Tensor, nn

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.network import Network

WARM, RUNS = 5, 30


class _Whole(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network.anomaly_map(image)


def milliseconds(network: Network, fit: Fit) -> float:
    """Return the median time of one picture in milliseconds; its tiles run one after the other.

    OpenVINO runs the network in the arithmetic that is fastest on this processor without calibration: bfloat16 or
    float32. The bundle's INT8 takes about as long or less. Weights do not matter, so the network need not be trained.
    """
    run = runner(network, fit)
    return float(np.median([run() for _ in range(WARM + RUNS)][WARM:])) * 1000 * fit.grid.count


@torch.no_grad()
def runner(network: Network, fit: Fit) -> Callable[[], float]:
    """Return a function that runs one picture, or tile, through a network, and returns the seconds that it took."""
    picture = torch.zeros(1, 3, fit.height, fit.width)
    converted = openvino.convert_model(torch.export.export(_Whole(network.cpu().eval()), (picture,)))
    request = openvino.compile_model(converted, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()

    def run() -> float:
        started = time.perf_counter()
        request.infer([picture.numpy()])
        return time.perf_counter() - started

    return run
