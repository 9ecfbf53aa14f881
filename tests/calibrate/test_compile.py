"""`calibrate compile` on a stand-in for TensorRT and GPU (tests/stand_in_tensorrt.py) whose numbers are real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle
from stand_in_tensorrt import HostCuda, Recorded, tensorrt

from edge_inspect.calibrate.cli import main
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines.tensorrt import cached
from edge_inspect.edge.engines.tensorrt.cached import Device
from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.checkpoint import Checkpoint, save


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """A box with TensorRT and a GPU."""
    trt, recorded = tensorrt("10.3.0")
    made = Device(trt, HostCuda())
    monkeypatch.setattr(cached, "find_device", lambda: made)
    return recorded


def compile_to(folder: Path, bundle: Bundle, *options: str) -> tuple[int, list[dict[str, Any]]]:
    result = folder / "compiled.json"
    result.unlink(missing_ok=True)
    cache = str(folder / "engines")
    status = main(["compile", str(bundle.path), "--cache", cache, "--json", str(result), *options])
    return status, json.loads(result.read_text())["attempts"] if result.exists() else []


def test_an_engine_is_built_checked_and_kept(
    bundle: Bundle, box: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, attempts = compile_to(tmp_path, bundle, "--precision", "fp32", "--workspace", "32")
    assert status == 0 and box.workspace == 32 << 20
    (attempt,) = attempts
    assert attempt["precision"] == "fp32" and attempt["ok"] and attempt["golden"] <= attempt["allowed"]
    assert attempt["latency_ms"] > 0
    assert (Path(attempt["detail"]) / "engine.plan").is_file() and (Path(attempt["detail"]) / "build.log").is_file()
    assert "ok       fp32  golden maps differ by " in capsys.readouterr().err
    assert compile_to(tmp_path, bundle, "--precision", "fp32")[0] == 0 and box.builds == 1
    assert compile_to(tmp_path, bundle, "--precision", "fp32", "--again")[0] == 0 and box.builds == 2


def test_what_drifts_is_refused_with_the_numbers_and_the_next_is_taken(
    bundle: Bundle, box: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box.spoil[bundle.model("int8")] = 1.0
    status, attempts = compile_to(tmp_path, bundle)
    assert status == 0
    assert [(attempt["precision"], attempt["ok"]) for attempt in attempts] == [("int8", False), ("fp32", True)]
    said = capsys.readouterr().err
    assert "REFUSED  int8  " in said and "a map value differs by" in said and "the manifest allows" in said


def test_where_none_holds_the_status_is_1_and_each_is_named(
    bundle: Bundle, box: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box.fails = "out of memory"
    assert compile_to(tmp_path, bundle, "--precision", "int8") == (1, [])
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("calibrate: int8: ") and "built no int8 engine" in error and "out of memory" in error


def test_verify_runs_the_golden_frames_on_tensorrt(bundle: Bundle, box: Recorded, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(bundle.path.parent / "cache"))
    monkeypatch.setattr("edge_inspect.edge.engines.tensorrt.cache.SERVICE_FOLDER", Path("/nowhere"))
    assert main(["verify", str(bundle.path), "--engine", "tensorrt"]) == 0
    assert box.builds == len(bundle.manifest.precisions)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--via", "torch-tensorrt"], "--run RUN, its checkpoint, go together"),
        (["--run", "somewhere"], "--run RUN, its checkpoint, go together"),
        (["--workspace", "0"], "--workspace 0 must be at least 1"),
    ],
)
def test_wrong_use_is_said(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert compile_to(tmp_path, bundle, *options) == (2, [])
    assert said in capsys.readouterr().err


def test_the_torch_route_asks_for_the_bundles_own_checkpoint(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ReverseDistillation(Teacher("test_efficientnet"))
    about = Checkpoint("rd", "test_efficientnet", "1" * 64, "bottle", bundle.fit, 1, 0, [], [])
    save(tmp_path / "run", about, model)
    assert compile_to(tmp_path, bundle, "--via", "torch-tensorrt", "--run", str(tmp_path / "run")) == (2, [])
    assert "is not the checkpoint that" in capsys.readouterr().err


def test_compile_and_verify_import_no_torch(bundle: Bundle, tmp_path: Path) -> None:
    """On a box without TensorRT, compile says what is missing; it does so without torch too."""
    code = """
import sys
for name in ("torch", "torchvision", "timm", "onnx", "scipy", "tqdm", "models", "train", "tensorrt"):
    sys.modules[name] = None
from edge_inspect.calibrate.cli import main
bundle, cache = sys.argv[1:]
assert main(["verify", bundle]) == 0
sys.exit(main(["compile", bundle, "--cache", cache]))
"""
    command = [sys.executable, "-c", code, str(bundle.path), str(tmp_path / "engines")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "TensorRT is not installed" in done.stderr and "apt install python3-libnvinfer" in done.stderr
    assert "Traceback" not in done.stderr
