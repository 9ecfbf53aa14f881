"""A bundle with a memory of an untrained teacher, and pictures of its product, to be taught: made in a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import small_bundle
import torch
from numpy.typing import NDArray
from small_teacher import SMALL

from edge_inspect.calibrate.export import outputs_of, to_onnx
from edge_inspect.calibrate.float16 import to_float16
from edge_inspect.calibrate.int8.activations import collect
from edge_inspect.calibrate.int8.clipping import scale
from edge_inspect.calibrate.int8.quantize import Int8Plan, quantizable, quantize
from edge_inspect.calibrate.pictures import network_inputs
from edge_inspect.edge.bundle.bundle import Bundle, GoldenFrame, pack_golden, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE
from edge_inspect.edge.frame.fit import MEAN, STD, Fit
from edge_inspect.models.memory import Memory, Remembering, Usual, local_features
from edge_inspect.models.network import Network
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.systems import system_of

Frame = NDArray[np.uint8]
Lot = Literal["old", "new"]

HEIGHT, WIDTH = 96, 128
PROTOTYPES = 64


def part(seed: int, lot: Lot = "old", defect: bool = False) -> Frame:
    """A frame: a disc and a bar on a grey belt; parts of the new lot have stripes, defects a bright blot."""
    rng = np.random.default_rng([seed, 7])
    frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    cv2.circle(frame, (48, 48), 30, (150, 140, 130), -1, cv2.LINE_AA)
    cv2.rectangle(frame, (90, 20), (112, 76), (60, 70, 90), -1, cv2.LINE_AA)
    if lot == "new":
        for x in range(int(rng.integers(20, 24)), 76, 7):
            cv2.line(frame, (x, 30), (x, 66), (195, 190, 185), 2, cv2.LINE_AA)
    if defect:
        x, y = (int(value) for value in rng.integers((30, 30), (66, 66)))
        cv2.ellipse(frame, (x, y), (9, 6), 30, 0, 360, (20, 20, 250), -1, cv2.LINE_AA)
    noisy = frame + rng.normal(0, 3, frame.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def write(
    path: Path, fit: Fit | None = None, system: str = "memory", *, usual: bool = False, plan: Int8Plan | None = None
) -> Bundle:
    """Writes a bundle that knows parts of the old lot, in int8, fp16 and fp32; it accepts nearly all of them.

    Args:
        path: The folder to create.
        fit: How frames are fitted, 64x64 pixels by default.
        system: Name of the system; every one but `memory` has a memory beside it.
        usual: Whether positions are judged by what is usual there.
        plan: The places that become INT8.
    """
    fit = fit or Fit(64, 64)
    canvases = [fit.apply(part(seed))[0] for seed in range(12)]
    pictures = np.concatenate([fit.cut(canvas) for canvas in canvases])
    network = to_onnx(_model(system, pictures, usual), replace(fit, alignment=None))
    images = network_inputs(pictures[:8])
    activations = collect(network, quantizable(network), images)
    scales = {tensor: scale(activation.histogram, "max") for tensor, activation in activations.items()}
    means = {tensor: activation.means for tensor, activation in activations.items()}
    contents = {
        "model.fp32.onnx": network.SerializeToString(),
        "model.fp16.onnx": to_float16(network).SerializeToString(),
        "model.int8.onnx": quantize(network, scales, means, plan or Int8Plan()).SerializeToString(),
        GOLDEN: small_bundle.golden(),
        **({} if fit.alignment is None else {ALIGNMENT_PICTURE: fit.alignment.png()}),
    }
    names = ("int8", "fp16", "fp32")
    draft = write_bundle(path.with_name(f"{path.name}-draft"), _fields(path.name, fit, dict.fromkeys(names)), contents)
    limits, golden = {}, []
    for name in names:
        with OpenVinoEngine(draft, name) as engine:
            scores = [engine.infer(part(seed)).score for seed in range(100, 130)]
            golden.append([(found.score, found.values.copy()) for found in map(engine.infer, _golden_frames())])
        high = float(np.max(scores))
        limits[name] = {
            "image": high,
            "pixel": float(np.quantile(scores, 0.5)),
            "image_low": float(np.quantile(scores, 0.8)),
            "image_high": high * 1.1,
            "rate_low": 0.0,
            "rate_high": 0.1,
            "scores": {"mean": float(np.mean(scores)), "deviation": float(np.std(scores))},
        }
    frames = [
        GoldenFrame(
            frame=frame,
            score=golden[2][i][0],
            map=golden[2][i][1],
            others={"int8": golden[0][i][1], "fp16": golden[1][i][1]},
        )
        for i, frame in enumerate(_golden_frames())
    ]
    return write_bundle(path, _fields(path.name, fit, limits), {**contents, GOLDEN: pack_golden(frames)})


def label(folder: Path, good: Sequence[Frame], defects: Sequence[Frame] = ()) -> Path:
    """Writes labelled parts in the plain layout; returns the folder."""
    for kind, frames in (("good", good), ("defects/blot", defects)):
        for number, frame in enumerate(frames):
            place = folder / kind / f"{number:03}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place), frame)
    return folder


def scores(bundle: Bundle, frames: Sequence[Frame], precision: Any = "fp32") -> list[float]:
    """Scores of frames."""
    with OpenVinoEngine(bundle, precision) as engine:
        return [engine.infer(frame).score for frame in frames]


def _golden_frames() -> list[Frame]:
    return [part(0), part(1, defect=True)]


def _fields(name: str, fit: Fit, limits: dict[Any, Any]) -> dict[str, Any]:
    thresholds = {each: found or {"image": 1.0, "pixel": 0.5} for each, found in limits.items()}
    fields = small_bundle.fields(thresholds=thresholds)
    fields["name"] = name
    fields["model"]["system"] = "memory"
    fields["input"] |= {"fit": fit.as_dict(), "mean": MEAN, "std": STD}
    if fit.alignment is not None:
        fields["input"]["alignment"] = fit.alignment.as_dict()
    fields["outputs"] = outputs_of(True).model_dump()
    fields["decision"] |= {"false_reject_rate": 0.05, "held_out_images": 30}
    fields["golden"] = {"tolerance": {each: 0.01 if each == "fp32" else 1.0 for each in limits}}
    fields["precisions"], fields["preferred"] = list(limits), "fp32"
    return fields


@torch.no_grad()
def _model(system: str, pictures: Frame, usual: bool) -> Network:
    torch.manual_seed(5)
    teacher = Teacher(SMALL)
    side = pictures.shape[1] // 8, pictures.shape[2] // 8
    grid = side if usual else None
    model: Memory | Remembering
    if system == "memory":
        model = Memory(teacher, PROTOTYPES, grid)
    else:
        model = Remembering(system_of(system).build(teacher, {}), PROTOTYPES, grid)
        model.weights.copy_(torch.tensor([0.01, 1.0]))
    images = torch.from_numpy(np.concatenate(network_inputs(pictures)))
    features = local_features(teacher(images)).permute(0, 2, 3, 1).flatten(0, 2)
    model.banks.standardised.mean.copy_(features.mean(0))
    model.banks.standardised.scale.copy_(1 / (features.std(0) + features.std()))
    chosen = torch.randperm(len(features), generator=torch.Generator().manual_seed(2))[:PROTOTYPES]
    for bank in (model.banks.plain, model.banks.standardised):
        directions = bank.directions(features.T[None, :, :, None])[0, :, :, 0].T
        bank.prototypes.copy_(directions[chosen])
        bank.spread.fill_(0.05)
    if isinstance(model.usual, Usual):
        maps = model.banks(teacher(images))
        model.usual.mean.copy_(maps.mean(0, keepdim=True))
        model.usual.scale.copy_(1 / (maps.std(0, keepdim=True) + maps.std()))
    return model.eval()
