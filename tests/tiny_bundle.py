"""A bundle whose network is two convolutions a side: enough for engines, made in a moment and without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import small_bundle
from onnx import TensorProto, helper, numpy_helper

from edge_inspect.edge.bundle.bundle import Bundle, GoldenFrame, open_bundle, pack_golden, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.areas import Areas

SIDE, SCALES, CHANNELS = 32, (16, 8), 4


def network(step: float = 0.0, seed: int = 11, fails_in_the_dark: bool = False, slow: bool = False) -> bytes:
    """Features of two scales, teacher and student, of a (1, 3, 32, 32) image; weights in multiples of `step`.

    One that `fails_in_the_dark` takes the root of a brightness that is negative there. A `slow` one also computes a
    large convolution, of whose result it adds next to nothing.
    """
    rng = np.random.default_rng(seed)
    nodes, weights = [], []
    for side in ("teacher", "student"):
        source, depth = "image", 3
        for k, size in enumerate(SCALES):
            values = rng.normal(0, 0.3, (CHANNELS, depth, 3, 3)).astype(np.float32)
            values = np.round(values / step) * np.float32(step) if step else values
            weights.append(numpy_helper.from_array(values, f"w_{side}{k}"))
            convolution = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
            nodes.append(helper.make_node("Conv", [source, f"w_{side}{k}"], [f"c_{side}{k}"], **convolution))
            nodes.append(helper.make_node("Relu", [f"c_{side}{k}"], [f"{side}{k + 1}"]))
            source, depth = f"{side}{k + 1}", CHANNELS
            assert size == SIDE >> (k + 1)
    if fails_in_the_dark:
        weights.append(numpy_helper.from_array(np.full((1, 1, 1, 1), 1.5, np.float32), "offset"))
        nodes[1].output[0] = "bright"
        nodes[2].input[0] = "bright"
        nodes += [
            helper.make_node("ReduceMean", ["image"], ["mean"]),
            helper.make_node("Add", ["mean", "offset"], ["above"]),
            helper.make_node("Sqrt", ["above"], ["root"]),
            helper.make_node("Mul", ["bright", "root"], ["teacher1"]),
        ]
    if slow:
        for name, shape in (("w_wide", (64, 3, 3, 3)), ("w_large", (256, 64, 3, 3))):
            weights.append(numpy_helper.from_array(rng.normal(0, 0.1, shape).astype(np.float32), name))
        weights.append(numpy_helper.from_array(np.full((1, 1, 1, 1), 1e-9, np.float32), "little"))
        nodes[1].output[0] = nodes[2].input[0] = "quick"
        nodes += [
            helper.make_node("Conv", ["image", "w_wide"], ["wide"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["wide", "w_large"], ["large"], pads=[1, 1, 1, 1]),
            helper.make_node("ReduceMean", ["large"], ["mean_large"]),
            helper.make_node("Mul", ["mean_large", "little"], ["next_to_nothing"]),
            helper.make_node("Add", ["quick", "next_to_nothing"], ["teacher1"]),
        ]
    shapes = {f"{side}{k + 1}": [1, CHANNELS, n, n] for side in ("teacher", "student") for k, n in enumerate(SCALES)}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write(
    path: Path,
    tiles: tuple[int, int] = (1, 1),
    threshold: float = small_bundle.THRESHOLD,
    slow: str | None = None,
    tolerance: dict[str, float] | None = None,
    areas: Areas | None = None,
    **network_: Any,
) -> Bundle:
    """Writes the bundle: int8 (coarse weights) and fp32, preferring int8; golden maps are of FP32 on OpenVINO.

    Random frames score above the usual threshold; a station that rejects them all says so. The network of the precision
    `slow` has more to compute. `tolerance` is that of the golden frames, for some precisions; `areas` is where to look
    in frames of their size, 80x48.
    """
    limits = {"image": threshold, "pixel": small_bundle.PIXEL}
    fields: dict[str, Any] = small_bundle.fields(thresholds={"fp32": limits, "int8": limits})
    fields["golden"]["tolerance"] |= tolerance or {}
    if network_:
        fields["name"] = path.name
    mode = {"mode": "tile", "tiles": list(tiles), "overlap": 8} if tiles != (1, 1) else {"mode": "stretch"}
    fields["input"]["fit"] = {"width": SIDE, "height": SIDE, "region": None, "grey": False, **mode}
    if areas is not None:
        fields["input"]["fit"]["areas"] = areas.model_dump(mode="json")
    names = [[f"{side}{k + 1}" for k in range(len(SCALES))] for side in ("teacher", "student")]
    fields["outputs"] = {"kind": "feature_pairs", "teacher": names[0], "student": names[1]}
    contents = {
        "model.fp32.onnx": network(slow=slow == "fp32", **network_),
        "model.int8.onnx": network(1 / 256, slow=slow == "int8", **network_),
        GOLDEN: small_bundle.golden(),
    }
    engine = OpenVinoEngine(write_bundle(path.with_name(path.name + "-draft"), fields, contents), "fp32")
    rng, golden = np.random.default_rng(12), []
    for _ in range(2):
        frame = rng.integers(0, 256, (48, 80, 3), np.uint8)
        anomaly = engine.infer(frame)
        golden.append(GoldenFrame(frame=frame, score=anomaly.score, map=anomaly.values.copy()))
    write_bundle(path, fields, {**contents, GOLDEN: pack_golden(golden)})
    return open_bundle(path)
