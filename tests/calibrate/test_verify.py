"""`calibrate verify` on a real bundle, in a folder and as a .zip: whatever is wrong is named, with its numbers."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edge_inspect.calibrate.cli import main
from edge_inspect.calibrate.signing import make_keys
from edge_inspect.edge.bundle.bundle import open_bundle

Pack = Callable[[Path], Path]


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    """One that a test may change."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy"))


@pytest.fixture(params=["folder", "zip"])
def pack(request: pytest.FixtureRequest) -> Pack:
    """Gives the bundle as it is to be verified."""

    def archive(folder: Path) -> Path:
        return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))

    return archive if request.param == "zip" else Path


def keys(folder: Path) -> tuple[str, str]:
    pair = make_keys(folder)
    return str(pair.private), str(pair.public)


def put(folder: Path, name: str, data: bytes) -> None:
    """Puts a file in and makes the manifest agree with it, as somebody would who means to deceive."""
    (folder / name).write_bytes(data)
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))


def change_golden(folder: Path, change: Callable[[Any], Any]) -> None:
    """Changes the golden maps of every precision."""
    with np.load(folder / "golden.npz") as arrays:
        changed = {name: change(values) if name.startswith("maps") else values for name, values in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **changed)
    put(folder, "golden.npz", buffer.getvalue())


def fails(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, dict[str, Any]]:
    """The error's line and the JSON."""
    capsys.readouterr()
    assert main(["verify", str(path), "--json", str(tmp_path / "verified.json"), *options]) == 1
    error = capsys.readouterr().err.splitlines()
    found = json.loads((tmp_path / "verified.json").read_text())
    assert found["ok"] is False
    failed = [check["what"] for check in found["checks"] if not check["ok"]]
    assert [line.split(maxsplit=1)[1] for line in error if line.startswith("FAILED")] == failed
    return error[-1], found


def test_a_good_bundle_passes(copy: Path, pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private, public = keys(tmp_path)
    bundle = pack(copy)
    assert main(["verify", str(bundle)]) == 0
    assert "ok      signature    none; calibrate sign makes one" in capsys.readouterr().err
    assert main(["sign", str(bundle), "--key", private]) == 0
    capsys.readouterr()
    assert main(["verify", str(bundle), "--public-key", public, "--json"]) == 0
    said, heard = capsys.readouterr()
    found = json.loads(said)
    precisions = open_bundle(bundle).manifest.precisions
    assert [check["what"] for check in found["checks"]] == ["signature", "files", *(f"golden {p}" for p in precisions)]
    assert found["ok"] is True and found["signed_by"] in heard and set(found["golden"]) == set(precisions)


@pytest.mark.parametrize("name", ["model.int8.onnx", "model.fp32.onnx"])
def test_one_changed_weight_is_named(
    copy: Path, pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    error, found = fails(pack(copy), tmp_path, capsys)
    digest = hashlib.sha256(data).hexdigest()[:16]
    assert f"{name} was changed after the bundle was made: sha256 {digest}..., the manifest says" in error
    assert [check["what"] for check in found["checks"]] == ["files"]


def test_swapped_files_are_named(copy: Path, pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    int8 = (copy / "model.int8.onnx").read_bytes()
    shutil.copy(copy / "model.fp32.onnx", copy / "model.int8.onnx")
    (copy / "model.fp32.onnx").write_bytes(int8)
    error, _ = fails(pack(copy), tmp_path, capsys)
    assert "model.int8.onnx was changed" in error or "model.fp32.onnx was changed" in error
    assert "(it is model." in error


def test_a_swapped_file_whose_manifest_agrees_is_found_by_the_signature(
    copy: Path, pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = keys(tmp_path)
    assert main(["sign", str(copy), "--key", private]) == 0
    put(copy, "model.int8.onnx", (copy / "model.fp32.onnx").read_bytes())
    bundle = pack(copy)
    error, found = fails(bundle, tmp_path, capsys, "--public-key", public)
    assert f"signature: {bundle}: manifest.yaml or manifest.sig was changed after key" in error
    assert found["signed_by"] is None


def test_a_wrong_signature_and_none_are_named(
    copy: Path, pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, public = keys(tmp_path)
    stranger, _ = keys(tmp_path / "stranger")
    error, _ = fails(pack(copy), tmp_path, capsys, "--public-key", public)
    assert "is not signed, and a signature is required" in error
    assert main(["sign", str(copy), "--key", stranger]) == 0
    error, _ = fails(pack(copy), tmp_path, capsys, "--public-key", public)
    assert "is signed with key" in error and "is trusted" in error and public in error


def test_golden_drift_is_named_with_its_numbers(
    copy: Path, pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_golden(copy, lambda maps: maps + 1.0)
    error, found = fails(pack(copy), tmp_path, capsys)
    assert "golden int8: " in error and "golden fp32: " in error
    assert "the fp32 engine drifts: golden maps differ by 1.00e+00 at most, 0.001 is allowed" in error
    assert found["golden"]["fp32"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_golden_maps_that_are_no_numbers_never_pass(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    change_golden(copy, lambda maps: np.where(np.arange(maps.shape[-1]) == 3, np.float32(value), maps))
    error, found = fails(copy, tmp_path, capsys)
    assert f"golden fp32: {copy}: the fp32 engine drifts: golden maps differ by {value}" in error
    assert found["golden"] == dict.fromkeys(open_bundle(copy).manifest.precisions)


def test_no_golden_frames_never_pass(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, scores=np.zeros(0), maps=np.zeros((0, 96, 96), np.float32))
    put(copy, "golden.npz", buffer.getvalue())
    error, _ = fails(copy, tmp_path, capsys)
    assert "golden.npz does not hold golden frames: there are none" in error


def test_a_model_no_engine_can_be_built_of_is_named(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(copy, "model.int8.onnx", b"no network")
    error, found = fails(copy, tmp_path, capsys)
    assert "golden int8: " in error and "OpenVINO cannot build the int8 model" in error
    assert set(found["golden"]) == set(open_bundle(copy).manifest.precisions) - {"int8"}


def test_what_is_not_there_is_wrong_use(tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "nowhere")]) == 2
    assert main(["verify", str(bundle_path), "--public-key", str(tmp_path / "none.pem")]) == 2
    assert "none.pem: the public key cannot be read" in capsys.readouterr().err


def test_an_archive_with_a_broken_entry_is_named(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "copy.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        for path in sorted(copy.rglob("*")):
            opened.write(path, path.relative_to(copy))
        entry = opened.getinfo("model.int8.onnx")
    data = bytearray(archive.read_bytes())
    data[entry.header_offset + 1000] ^= 1
    archive.write_bytes(data)
    error, _ = fails(archive, tmp_path, capsys)
    assert "model.int8.onnx is damaged: Bad CRC-32" in error


def test_verify_and_sign_run_on_a_box_without_torch(bundle_path: Path, tmp_path: Path) -> None:
    code = """
import sys
for name in ("torch", "torchvision", "timm", "onnx", "scipy", "tqdm"):
    sys.modules[name] = None
from edge_inspect.calibrate.cli import main
copy, keys = sys.argv[1:]
assert main(["keygen", "--out", keys]) == 0
assert main(["sign", copy, "--key", f"{keys}/signing-key.pem"]) == 0
assert main(["show", copy]) == 0
sys.exit(main(["verify", copy, "--public-key", f"{keys}/signing-key.pub.pem"]))
"""
    copy = shutil.copytree(bundle_path, tmp_path / "copy")
    command = [sys.executable, "-c", code, str(copy), str(tmp_path / "keys")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
