"""A bundle whose network is a memory of good parts: enough for what reads features at the memory."""

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

SIDE, CHANNELS, PROTOTYPES = 64, 12, 16


def network(seed: int = 3) -> bytes:
    """Two banks over the same features, as models/memory.py has them, of a (1, 3, 64, 64) image in an 8 x 8 grid."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0, 0.2, (CHANNELS, 3, 8, 8)).astype(np.float32)
    constants = {"kernel": kernel, "epsilon": np.float32(1e-6), "one": np.float32(1)}
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["features"], kernel_shape=[8, 8], strides=[8, 8])]
    for bank in ("plain", "standardised"):
        prototypes = rng.normal(0, 1, (PROTOTYPES, CHANNELS)).astype(np.float32)
        prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
        constants |= {
            f"{bank}.prototypes": prototypes[:, :, None, None],
            f"{bank}.mean": rng.normal(0, 0.3, (CHANNELS, 1, 1)).astype(np.float32),
        }
        nodes += [
            helper.make_node("Sub", ["features", f"{bank}.mean"], [f"{bank}.centred"]),
            helper.make_node("ReduceL2", [f"{bank}.centred"], [f"{bank}.length"], axes=[1], keepdims=1),
            helper.make_node("Max", [f"{bank}.length", "epsilon"], [f"{bank}.safe"]),
            helper.make_node("Div", [f"{bank}.centred", f"{bank}.safe"], [f"{bank}.directions"]),
            helper.make_node("Conv", [f"{bank}.directions", f"{bank}.prototypes"], [f"{bank}.cosines"]),
            helper.make_node("ReduceMax", [f"{bank}.cosines"], [f"{bank}.nearest"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["one", f"{bank}.nearest"], [f"{bank}.distance"]),
        ]
    nodes.append(helper.make_node("Add", ["plain.distance", "standardised.distance"], ["map"]))
    graph = helper.make_graph(
        nodes,
        "memory",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, SIDE // 8, SIDE // 8])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write(path: Path, tiles: tuple[int, int] = (1, 1)) -> Bundle:
    """Write the bundle, with fp32 alone."""
    fields: dict[str, Any] = small_bundle.fields(thresholds={"fp32": {"image": 1.0, "pixel": 0.5}})
    mode = {"mode": "tile", "tiles": list(tiles), "overlap": 8} if tiles != (1, 1) else {"mode": "stretch"}
    fields["input"]["fit"] = {"width": SIDE, "height": SIDE, "region": None, "grey": False, **mode}
    fields["outputs"] = {"kind": "map", "map": "map"}
    fields["decision"]["sigma"] = 1.0
    fields |= {"precisions": ["fp32"], "preferred": "fp32", "golden": {"tolerance": {"fp32": 0.001}}}
    contents = {"model.fp32.onnx": network(), GOLDEN: small_bundle.golden(SIDE, SIDE)}
    engine = OpenVinoEngine(write_bundle(path.with_name(path.name + "-draft"), fields, contents), "fp32")
    frame = np.random.default_rng(12).integers(0, 256, (48, 80, 3), np.uint8)
    anomaly = engine.infer(frame)
    golden = [GoldenFrame(frame=frame, score=anomaly.score, map=anomaly.values.copy())]
    write_bundle(path, fields, {**contents, GOLDEN: pack_golden(golden * 2)})
    return open_bundle(path)
