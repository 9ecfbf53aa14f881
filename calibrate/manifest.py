"""The manifest of a bundle in the making, and bundles in memory, so that what is measured is what runs on the box."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import openvino as ov
import torch

from edge_inspect.calibrate.export import INPUT, outputs_of
from edge_inspect.edge import __version__
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import FORMAT, GOLDEN, PRECISIONS, Manifest, model_file
from edge_inspect.edge.contract.fields import Precision, format_time, utc_now
from edge_inspect.edge.frame.fit import MEAN, STD, Fit
from edge_inspect.edge.text import clean
from edge_inspect.models.discrepancy import SIGMA
from edge_inspect.train.checkpoint import Checkpoint


def draft(about: Checkpoint, networks: Mapping[Precision, bytes], out: Path, fit: Fit | None = None) -> Bundle:
    """Return a bundle in memory with these ONNX networks, without thresholds yet.

    Args:
        about: Description of the checkpoint.
        networks: ONNX of each precision.
        out: Path that error messages give for the bundle.
        fit: How frames are fitted to the network; by default as the checkpoint says.
    """
    precisions = [p for p in PRECISIONS if p in networks]
    none = {p: {"image": 0.0, "pixel": 0.0} for p in precisions}
    fields = manifest_fields(about, out, 0.5, none, dict.fromkeys(precisions, 0.0), precisions[0])
    if fit is not None:
        fields["input"]["fit"] = fit.as_dict()
    contents = {model_file(p): data for p, data in networks.items()}
    files = dict.fromkeys([GOLDEN, *contents], {"sha256": "0" * 64, "bytes": 0})
    manifest = Manifest.model_validate({"format": FORMAT, **fields, "files": files})
    return Bundle(out, manifest, "", contents.__getitem__)


def manifest_fields(
    about: Checkpoint,
    out: Path,
    false_reject_rate: float,
    thresholds: Mapping[Precision, dict[str, Any]],
    tolerance: Mapping[Precision, float],
    preferred: Precision,
) -> dict[str, Any]:
    """Return all fields of `Manifest` except `format`, `files` and those that the decision rests on."""
    return {
        "name": clean(out.name.removesuffix(".zip")),
        "created": format_time(utc_now()),
        "model": {
            "system": about.model,
            "teacher": about.teacher,
            "teacher_sha256": about.teacher_sha256,
            "category": about.category,
        },
        "input": {"name": INPUT, "fit": about.fit.as_dict(), "mean": MEAN, "std": STD},
        "outputs": outputs_of(about.gives_map),
        "decision": {
            "sigma": SIGMA,
            "top": 1,
            "min_area_px": 4,
            "false_reject_rate": false_reject_rate,
            "held_out_images": 1,
            "method": "none yet",
            "thresholds": thresholds,
        },
        "golden": {"tolerance": tolerance},
        "precisions": [p for p in PRECISIONS if p in thresholds],
        "preferred": preferred,
        "provenance": {
            "edge_inspect": __version__,
            "steps": about.steps,
            "seed": about.seed,
            "trained_on_images": len(about.trained_on),
            "versions": {"torch": str(torch.__version__), "onnx": onnx.__version__, "openvino": ov.__version__},
        },
    }
