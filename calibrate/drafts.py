"""Bundles in memory, so that the networks that are measured run as they will run on the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import openvino as ov
import torch

from edge_inspect.calibrate.export import INPUT, outputs_of
from edge_inspect.calibrate.manifest import ManifestDraft
from edge_inspect.edge import __version__
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import (
    FORMAT,
    GOLDEN,
    PRECISIONS,
    DecisionPart,
    GoldenPart,
    InputPart,
    Manifest,
    ModelPart,
    Thresholds,
    model_file,
)
from edge_inspect.edge.contract.fields import Precision, format_time, utc_now
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE
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
    fields = draft_manifest(about, [*networks], out, fit).as_dict()
    contents = {model_file(p): data for p, data in networks.items()} | alignment_file(about.fit)
    files = dict.fromkeys([GOLDEN, *contents], {"sha256": "0" * 64, "bytes": 0})
    manifest = Manifest.model_validate({"format": FORMAT, **fields, "files": files})
    return Bundle(out, manifest, "", contents.__getitem__)


def alignment_file(fit: Fit) -> dict[str, bytes]:
    """Return the alignment's picture by its name in a bundle; nothing if the fit aligns nothing."""
    return {} if fit.alignment is None else {ALIGNMENT_PICTURE: fit.alignment.png()}


def draft_manifest(
    about: Checkpoint, precisions: Sequence[Precision], out: Path, fit: Fit | None = None
) -> ManifestDraft:
    """Return what a checkpoint says of its bundle's manifest; thresholds and tolerances are 0 until they are set."""
    found = [each for each in PRECISIONS if each in precisions]
    return ManifestDraft(
        name=clean(out.name.removesuffix(".zip")),
        created=format_time(utc_now()),
        model=ModelPart(
            system=about.model,
            teacher=about.teacher,
            teacher_sha256=about.teacher_sha256,
            category=about.category,
        ),
        input=InputPart(
            name=INPUT,
            fit=(fit or about.fit).as_dict(),
            alignment=None if about.fit.alignment is None else about.fit.alignment.as_dict(),
            mean=MEAN,
            std=STD,
        ),
        outputs=outputs_of(about.gives_map),
        decision=DecisionPart(
            sigma=SIGMA,
            top=1,
            min_area_px=4,
            false_reject_rate=0.5,
            held_out_images=1,
            method="none yet",
            thresholds=dict.fromkeys(found, Thresholds(image=0.0, pixel=0.0)),
        ),
        golden=GoldenPart(tolerance=dict.fromkeys(found, 0.0)),
        precisions=found,
        preferred=found[0],
        order=None,
        provenance={
            "edge_inspect": __version__,
            "steps": about.steps,
            "seed": about.seed,
            "trained_on_images": len(about.trained_on),
            "versions": {"torch": str(torch.__version__), "onnx": onnx.__version__, "openvino": ov.__version__},
        },
    )
