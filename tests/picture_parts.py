"""What tests of published pictures share: verdicts, bundles of each fit, and the reading of what has arrived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import small_bundle
from mosquitto import Subscriber
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from station_parts import BUNDLE
from tiny_bundle import SCALES, SIDE

from edge_inspect.edge.bundle.bundle import Bundle, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import FrameSize, Verdict
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE, Alignment

THRESHOLD = 0.5


def verdict(score: float, size: tuple[int, int] = (640, 480), **more: Any) -> Verdict:
    """Return a verdict of the threshold 0.5 on a frame of this size."""
    values: dict[str, Any] = {
        "boot_id": "b",
        "id": uuid7(),
        "sequence": 1,
        "captured_at": utc_now(),
        "decided_at": utc_now(),
        "ok": score <= THRESHOLD,
        "score": score,
        "threshold": THRESHOLD,
        "bundle": BUNDLE,
        "precision": "fp32",
        "engine": "openvino",
        "latency_ms": 1.0,
        "frame": FrameSize(width=size[0], height=size[1]),
    }
    return Verdict(**{**values, **more})


def bundle_of(path: Path, alignment: Alignment | None = None, **fit: Any) -> Bundle:
    """Write a bundle with this fit whose map is high where the frame is bright."""
    fields = small_bundle.fields(sigma=0.5)
    fields["input"]["fit"] = {"width": 32, "height": 32, "region": None, "grey": False, **fit}
    names = [[f"{side}{k + 1}" for k in range(2)] for side in ("teacher", "student")]
    fields["outputs"] = {"kind": "feature_pairs", "teacher": names[0], "student": names[1]}
    model = _network()
    contents = {"model.fp32.onnx": model, "model.int8.onnx": model, GOLDEN: small_bundle.golden()}
    if alignment is not None:
        fields["input"] |= {"alignment": alignment.as_dict()}
        contents |= {ALIGNMENT_PICTURE: alignment.png()}
    return write_bundle(path, fields, contents)


def _network() -> bytes:
    """Return a network whose teacher and student differ where the picture is bright, and nowhere else."""
    nodes, weights = [], []
    for side in ("teacher", "student"):
        source, depth = "image", 3
        for k in range(len(SCALES)):
            # The first channel is always 1. The teacher's second is how far the mean brightness is above a level.
            kernel, bias = np.zeros((2, depth, 3, 3), np.float32), np.array([1, 0], np.float32)
            if side == "teacher" and k == 0:
                kernel[1], bias[1] = 1 / 27, -0.5
            elif side == "teacher":
                kernel[1, 1] = 1 / 9
            names = [f"{name}_{side}{k}" for name in ("w", "b", "c")]
            weights += [numpy_helper.from_array(kernel, names[0]), numpy_helper.from_array(bias, names[1])]
            convolution = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
            nodes.append(helper.make_node("Conv", [source, *names[:2]], [names[2]], **convolution))
            nodes.append(helper.make_node("Relu", [names[2]], [f"{side}{k + 1}"]))
            source, depth = f"{side}{k + 1}", 2
    shapes = {f"{side}{k + 1}": [1, 2, n, n] for side in ("teacher", "student") for k, n in enumerate(SCALES)}
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def arrived(subscriber: Subscriber, kind: str) -> dict[str, NDArray[np.uint8]]:
    """Return the decoded pictures of a kind, `image` or `map`, by the last level of their topics."""
    found = {}
    for message in list(subscriber.messages):
        *_, level, identity = message.topic.split("/")
        if level == kind:
            data = np.frombuffer(message.payload, np.uint8)
            found[identity] = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)
    return found


def centre(picture: NDArray[Any], size: tuple[int, int], share: float = 0.8) -> tuple[float, float]:
    """Return the centre of the highest values of a picture that is stretched to a size, x and y."""
    rows, columns = np.nonzero(picture >= share * picture.max())
    height, width = picture.shape[:2]
    return (columns.mean() + 0.5) * size[0] / width, (rows.mean() + 0.5) * size[1] / height
