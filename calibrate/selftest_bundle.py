"""Make the small bundle that ships with the package, edge/selftest.zip, which `edge-inspect selftest` runs.

    python -m edge_inspect.calibrate.selftest_bundle edge/selftest.zip

The bundle is RD4AD in every precision, made like any other bundle. Its teacher, a random ResNet-18 of a few channels,
is so narrow that the whole takes less than 400 kB. The student learns for a few steps on rendered parts, which takes
half a minute. Weights are rounded to a few bits, so that they compress well. Its verdicts are worth nothing; its
arithmetic is that of every bundle.
"""

from __future__ import annotations

import argparse
import dataclasses
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from safetensors.torch import save_file
from timm.models import register_model

from edge_inspect.calibrate.drafts import draft, draft_manifest
from edge_inspect.calibrate.export import to_onnx
from edge_inspect.calibrate.float16 import to_float16
from edge_inspect.calibrate.golden import FP32_TOLERANCE, LEAST_TOLERANCE
from edge_inspect.calibrate.int8.activations import collect
from edge_inspect.calibrate.int8.clipping import scale
from edge_inspect.calibrate.int8.quantize import Int8Plan, quantizable, quantize
from edge_inspect.calibrate.pictures import network_inputs
from edge_inspect.edge.bundle.bundle import GoldenFrame, pack_golden, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN, MANIFEST, Thresholds, model_file
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.demo.line import CATEGORY, write_dataset
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, list_images, read_image, write_image
from edge_inspect.edge.program import say
from edge_inspect.models.network import Network
from edge_inspect.models.teacher import Teacher
from edge_inspect.train import checkpoint
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.training import fit

WIDTHS = {"channels": (8, 8, 16, 16), "stem_type": "deep", "stem_width": 4}
SIDE = 64
PICTURE = (150, 110)
"""Width and height of the pictures, which are halved once and then resized, so that the self-test sees other pixels."""
GOOD = 48
GOLDEN_FRAMES = 2
MANTISSA_BITS = 2
SEED = 14
PLAN = Int8Plan(shortcuts=False)
"""A form of INT8 that gives the same maps on x86 of every kind, as far as ONEDNN_MAX_CPU_ISA can imitate them.

With projected shortcuts in INT8, processors without AMX give different maps (OpenVINO 2026.4).
"""


@register_model  # type: ignore[untyped-decorator]
def edge_inspect_narrow(**options: Any) -> Any:
    """Return a ResNet-18 of a few channels."""
    return timm.create_model("resnet18", **{**WIDTHS, "zero_init_last": False, **options})


def main() -> None:
    """Write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="ZIP")
    out = parser.parse_args().out
    with TemporaryDirectory() as name:
        folder = Path(name)
        good = _render(folder)
        about, model = _train(folder)
        frames = [read_image(path) for path in good]
        fp32 = to_onnx(model, about.fit)
        networks: dict[Precision, bytes] = {
            "int8": _to_int8(fp32, np.stack([about.fit.apply(frame)[0] for frame in frames])),
            "fp16": to_float16(fp32).SerializeToString(),
            "fp32": fp32.SerializeToString(),
        }
        _pack(about, networks, frames, folder / "selftest", out)
    say(f"{out}: {out.stat().st_size / 1000:.0f} kB")


def _render(folder: Path) -> list[Path]:
    """Render good parts and shrink them, because golden frames are stored in the bundle as they are."""
    write_dataset(folder / "data", train_good=GOOD, test_good=0, test_defects=0, seed=SEED)
    good = list_images(folder / "data" / CATEGORY / "train" / "good")
    for path in good:
        write_image(path, cv2.resize(read_image(path), PICTURE, interpolation=cv2.INTER_AREA))
    return good


def _train(folder: Path) -> tuple[checkpoint.Checkpoint, Network]:
    weights = folder / "teacher.safetensors"
    torch.manual_seed(SEED)
    save_file(Teacher(edge_inspect_narrow.__name__).network.state_dict(), weights)
    fit(
        TrainingSettings(
            data=folder / "data",
            category=CATEGORY,
            out=folder / "run",
            model="rd",
            memory=0,
            teacher=edge_inspect_narrow.__name__,
            teacher_weights=weights,
            fit=Fit(SIDE, SIDE),
            steps=24,
            seed=SEED,
            precision="float32",
        )
    )
    about, model = checkpoint.load(folder / "run")
    with torch.no_grad():
        for weight in model.parameters():
            mantissa, exponent = torch.frexp(weight)
            weight.copy_(torch.ldexp(torch.round(mantissa * 2**MANTISSA_BITS) / 2**MANTISSA_BITS, exponent))
    return about, model


def _to_int8(fp32: ModelProto, pictures: NDArray[np.uint8]) -> bytes:
    activations = collect(fp32, quantizable(fp32), network_inputs(pictures))
    scales = {name: scale(activation.histogram, "max") for name, activation in activations.items()}
    means = {name: activation.means for name, activation in activations.items()}
    return bytes(quantize(fp32, scales, means, PLAN, ()).SerializeToString())


def _pack(
    about: checkpoint.Checkpoint, networks: dict[Precision, bytes], frames: list[Frame], folder: Path, out: Path
) -> None:
    """Write the bundle as a .zip; a golden map may differ by twice what its precision changes maps here.

    The bundle judges no parts, so it stores golden maps of FP32 only: those of other precisions would add 60 kB.
    """
    engines = {precision: OpenVinoEngine(draft(about, networks, folder), precision) for precision in networks}
    maps = {name: np.stack([engine.infer(frame).values.copy() for frame in frames]) for name, engine in engines.items()}
    moved = {name: float(np.abs(made - maps["fp32"]).max()) for name, made in maps.items()}
    tolerance: dict[Precision, float] = {name: round(max(2 * by, LEAST_TOLERANCE), 4) for name, by in moved.items()}
    tolerance["fp32"] = FP32_TOLERANCE
    limit = float(maps["fp32"].max())
    manifest = (
        draft_manifest(about, [*networks], folder)
        .with_decision(
            dict.fromkeys(networks, Thresholds(image=limit, pixel=limit)),
            method="the highest of the good images",
            false_reject_rate=0.001,
            held_out_images=len(frames),
        )
        .with_tolerance(tolerance)
        .with_preference("int8")
    )
    provenance = {"made_by": "python -m edge_inspect.calibrate.selftest_bundle", "seed": SEED, "int8_plan": str(PLAN)}
    manifest = dataclasses.replace(manifest, provenance=provenance)
    golden = [
        GoldenFrame(frame=frame, score=engines["fp32"].infer(frame).score, map=values)
        for frame, values in zip(frames[:GOLDEN_FRAMES], maps["fp32"], strict=False)
    ]
    contents = {model_file(name): data for name, data in networks.items()} | {GOLDEN: pack_golden(golden)}
    bundle = write_bundle(folder, manifest.as_dict(), contents)
    with zipfile.ZipFile(out, "w") as archive:
        for name in [MANIFEST, *contents]:
            archive.writestr(zipfile.ZipInfo(name), (bundle.path / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
