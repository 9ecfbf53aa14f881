"""The graph that OpenVINO compiles: normalisation, a bundle's network, and the discrepancy head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from edge_inspect.edge.bundle.manifest import Manifest, MapOutput
from edge_inspect.edge.discrepancy import EPSILON, head_matrix


def with_head(network: ov.Model, manifest: Manifest) -> ov.Model:
    """Return the network with normalisation and discrepancy head: (1, H, W, 3) uint8 BGR to (H, W) float32."""
    fit = manifest.input.fit
    frame = ops.parameter([1, fit["height"], fit["width"], 3], np.uint8, name="frame")
    image = network.input(manifest.input.name)
    normalised = _normalise(frame, manifest.input.mean, manifest.input.std)
    for consumer in image.get_target_inputs():
        consumer.replace_source_output(normalised.output(0))
    outputs = {name: output for output in network.outputs for name in output.get_names()}

    def features(names: Sequence[str]) -> list[ov.Output]:
        return [outputs[name].get_node().input_value(0) for name in names]

    named = manifest.outputs
    if isinstance(named, MapOutput):
        maps = features([named.map])
    else:
        pairs = zip(features(named.teacher), features(named.student), strict=True)
        maps = [_cosine_distance(t, s).output(0) for t, s in pairs]
    anomaly = _head(maps, (fit["height"], fit["width"]), manifest.decision.sigma)
    return ov.Model([anomaly], [frame], "edge-inspect")


def _normalise(frame: ov.Node, mean: Sequence[float], std: Sequence[float]) -> ov.Node:
    """Return uint8 BGR, channels last, as float32 RGB, channels first, with one multiply-add per value.

    The operations work on whole rows, with the three values of a pixel side by side, so that they fill the processor's
    vectors. The transpose after them costs nothing, because the plugin's convolutions read channels last.
    """
    _, height, width, _ = frame.shape
    scale = (1 / (255 * np.array(std, np.float32)))[::-1]
    shift = (-np.array(mean, np.float32) / np.array(std, np.float32))[::-1]
    rows = ops.convert(ops.reshape(frame, np.array([1, height, 3 * width], np.int64), special_zero=False), np.float32)
    bgr = ops.add(ops.multiply(rows, np.tile(scale, width)), np.tile(shift, width))
    pixels = ops.reshape(bgr, np.array([1, height, width, 3], np.int64), special_zero=False)
    rgb = ops.gather(pixels, np.array([2, 1, 0], np.int64), np.int64(3))
    return ops.transpose(rgb, np.array([0, 3, 1, 2], np.int64))


def _head(maps: list[ov.Output], size: tuple[int, int], sigma: float) -> ov.Node:
    """Return (1, 1, h, w) maps upsampled to (H, W), summed and blurred, by matrix products (edge/discrepancy.py)."""
    tall, right = [], []
    for output in maps:
        _, _, height, width = output.get_shape()
        plane = ops.reshape(output, np.array([height, width], np.int64), special_zero=False)
        tall.append(ops.matmul(head_matrix(height, size[0], sigma), plane, False, False))
        right.append(head_matrix(width, size[1], sigma))
    return ops.matmul(ops.concat(tall, 1), np.concatenate(right, 1), False, True)


def _cosine_distance(t: ov.Output, s: ov.Output) -> ov.Node:
    channels = np.array([1], np.int64)

    def norm(a: ov.Output) -> ov.Node:
        return ops.maximum(ops.reduce_l2(a, channels, True), np.float32(EPSILON))

    products = ops.reduce_sum(ops.multiply(t, s), channels, True)
    return ops.subtract(np.float32(1), ops.divide(products, ops.multiply(norm(t), norm(s))))
