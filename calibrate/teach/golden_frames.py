"""The parent's golden frames, with the maps that the networks of a taught bundle give for them."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_inspect.calibrate.float16 import rounded
from edge_inspect.calibrate.teach.memory import draft
from edge_inspect.edge.bundle.bundle import Bundle, GoldenFrame, pack_golden
from edge_inspect.edge.bundle.manifest import model_file
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.images import Frame


def golden_again(parent: Bundle, taught: Bundle) -> bytes:
    """Return the content of `golden.npz` for a taught bundle.

    A precision that this processor cannot compute gets no maps of its own. Engines of that precision are then compared
    with FP32's maps, within the tolerance of their precision.

    Args:
        parent: The bundle whose golden frames are taken.
        taught: The taught bundle in the making, with its networks.

    Raises:
        EngineError: An engine cannot be built or failed.
    """
    frames = [golden.frame for golden in parent.golden()]
    scores, exact = _judged(taught, "fp32", frames)
    others = {
        precision: _judged(_arithmetic(taught, precision), precision, frames)[1]
        for precision in parent.manifest.precisions
        if precision != "fp32" and not OpenVinoEngine.unsupported(precision)
    }
    return pack_golden(
        [
            GoldenFrame(frame=frame, score=scores[i], map=exact[i], others={name: m[i] for name, m in others.items()})
            for i, frame in enumerate(frames)
        ]
    )


def _judged(bundle: Bundle, precision: Precision, frames: list[Frame]) -> tuple[list[float], list[NDArray[np.float32]]]:
    with OpenVinoEngine(bundle, precision) as engine:
        found = [(anomaly.score, anomaly.values.copy()) for anomaly in engine.infer_all(frames)]
    return [score for score, _ in found], [values for _, values in found]


def _arithmetic(bundle: Bundle, precision: Precision) -> Bundle:
    """Return a bundle whose network gives a precision's numbers on this machine; see `calibrate.float16.rounded`."""
    if precision != "fp16":
        return bundle
    network = rounded(onnx.load_from_string(bundle.model("fp16"))).SerializeToString()
    return draft(bundle, {model_file("fp16"): network})
