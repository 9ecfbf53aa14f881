"""A bundle whose ONNX is no network: enough for everything that never infers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from edge_inspect.edge.bundle.bundle import Bundle, write_bundle

THRESHOLD = 0.5
PIXEL = 0.25


def golden(width: int = 64, height: int = 32) -> bytes:
    """golden.npz of two frames."""
    arrays = {
        "frame0": np.zeros((48, 80, 3), np.uint8),
        "frame1": np.full((48, 80, 3), 200, np.uint8),
        "scores": np.array([0.125, 0.75]),
        "maps": np.stack([np.full((height, width), 0.125, np.float32), np.full((height, width), 0.75, np.float32)]),
    }
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def contents() -> dict[str, bytes]:
    """The files of the bundle."""
    return {
        "model.fp32.onnx": b"features, thirty-two bits " * 40,
        "model.int8.onnx": b"features, eight bits " * 40,
        "golden.npz": golden(),
        "report/accuracy.json": b'{"auroc": 0.99}\n',
    }


def fields(**decision: Any) -> dict[str, Any]:
    """The manifest but for `format` and `files`; what is given changes the decision."""
    limits = {"image": THRESHOLD, "pixel": PIXEL}
    return {
        "name": "flänge-v1",
        "created": "2026-01-31T06:07:08.000009Z",
        "model": {"system": "rd", "teacher": "resnet18", "teacher_sha256": "0" * 64, "category": "flange"},
        "input": {
            "name": "image",
            "fit": {"width": 64, "height": 32, "mode": "stretch", "region": None, "grey": False},
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        "outputs": {"kind": "feature_pairs", "teacher": ["t1"], "student": ["s1"]},
        "decision": {
            "sigma": 4.0,
            "top": 1,
            "min_area_px": 4,
            "false_reject_rate": 0.001,
            "held_out_images": 20,
            "method": "order statistic",
            "thresholds": {"fp32": limits, "int8": limits},
            **decision,
        },
        "golden": {"tolerance": {"fp32": 0.001, "int8": 0.1}},
        "precisions": ["int8", "fp32"],
        "preferred": "int8",
        "provenance": {"seed": 0},
    }


def write(path: Path, **decision: Any) -> Bundle:
    """Writes the bundle."""
    return write_bundle(path, fields(**decision), contents())
