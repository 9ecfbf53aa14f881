"""What values flow through a network on real pictures, from which INT8 scales are chosen."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import onnx
import openvino as ov
from numpy.typing import NDArray

from train.progress import tracked

BINS = 2048
LEVELS = 127
"""Activations, symmetric INT8: -127 to 127."""

WEIGHT_LEVELS = 63
"""Weights have 7 bits: -63 to 63.

A processor without VNNI (AVX2, early AVX-512) adds two products of an 8-bit activation and a weight in 16 bits, and
with 8-bit weights that sum saturates: 255 * 127 * 2 > 32767. Measured on such a processor with RD4AD on ResNet-18
(BSData), 8 bits cost half of the image AUROC in OpenVINO's kernels, 7 bits nothing; in exact arithmetic the seventh
bit's loss is a difference of 0.002 in a map value. A bundle has to be right on every box.
"""


def collect(
    model: onnx.ModelProto, tensors: Sequence[str], images: Sequence[NDArray[np.float32]]
) -> dict[str, NDArray[np.float64]]:
    """Histograms of absolute values: for each tensor 2048 counts from 0 to its largest value, and that value last.

    Two passes, so that a late large value does not coarsen the bins: the first finds the ranges, the second counts.

    Args:
        model: The float32 network.
        tensors: Names of the tensors to look at.
        images: Network inputs, (1, 3, H, W) each.
    """
    network = ov.Core().read_model(io.BytesIO(model.SerializeToString()))
    inner = [name for name in tensors if name != model.graph.input[0].name]
    network.add_outputs(inner)
    request = ov.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    ranges = dict.fromkeys(tensors, 0.0)
    counts = {name: np.zeros(BINS) for name in tensors}

    def values(image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        request.infer([image])
        return {name: request.get_tensor(name).data for name in inner} | {
            name: image for name in tensors if name not in inner
        }

    for image in tracked(images, len(images), "ranges", "images"):
        for name, value in values(image).items():
            ranges[name] = max(ranges[name], float(value.max()), -float(value.min()))
    for image in tracked(images, len(images), "histograms", "images"):
        for name, value in values(image).items():
            step = BINS / max(ranges[name], 1e-12)
            index = np.minimum((np.abs(value.ravel()) * step).astype(np.int64), BINS - 1)
            counts[name] += np.bincount(index, minlength=BINS)
    return {name: np.append(counts[name], ranges[name]) for name in tensors}


def mse_clip(histogram: NDArray[np.float64]) -> float:
    """The largest value to represent such that the mean squared error of INT8 is smallest; 128 candidates are tried.

    Clipping rare large values makes the steps finer for all others; this weighs one against the other.
    """
    counts, largest = histogram[:-1], float(histogram[-1])
    if largest <= 0:
        return 1e-6
    centres = (np.arange(BINS) + 0.5) * (largest / BINS)
    clips = np.linspace(0.2, 1.0, 128) * largest
    steps = clips[:, None] / LEVELS
    quantized = np.minimum(np.round(centres / steps), LEVELS) * steps
    errors = ((quantized - centres) ** 2 * counts).sum(axis=1)
    return float(clips[int(np.argmin(errors))])
