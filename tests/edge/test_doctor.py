from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_inspect.edge.cli import main
from edge_inspect.edge.doctor import examine
from edge_inspect.edge.engines.tensorrt.needs import driver, pycuda_remedy, tensorrt_remedy, toolkit_remedy


def test_every_finding_says_what_is_there_or_what_brings_it() -> None:
    findings = {finding.what: finding for finding in examine()}
    assert findings["python"].detail.startswith(platform.python_version())
    assert findings["cv2"].found
    for finding in findings.values():
        assert finding.found or finding.detail, finding
    for what in ("gstreamer", "aravis"):
        assert findings[what].found or "apt install python3-gi" in findings[what].detail
    assert {"gpiod", "harvesters"} <= findings.keys()
    wanted = {"int8 units", "openvino", "paho", "gpu", "tensorrt", "pycuda", "nvcc", "mosquitto", "systemctl"}
    assert wanted <= findings.keys()
    assert findings["onnx"].found


def broken(folder: Path, name: str, statement: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "raise OSError('libnvinfer.so.10: cannot open shared object file')",
        "raise RuntimeError('no driver')",
        "raise ImportError('undefined symbol')",
        "import a_library_that_is_not_there",
    ],
)
def test_a_package_that_is_there_but_broken_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    broken(tmp_path, "tensorrt", statement)
    monkeypatch.syspath_prepend(tmp_path)
    found = {finding.what: finding for finding in examine()}["tensorrt"]
    assert not found.found
    assert "pip install 'edge-inspect[tensorrt-cu1" in found.detail


def test_a_bare_box_gets_every_remedy(tmp_path: Path) -> None:
    """A box without packages and programs: only the standard library can be imported."""
    for name in ("openvino", "cv2", "paho", "cryptography", "tensorrt", "onnx", "pycuda", "gpiod"):
        broken(tmp_path, name, f"raise ModuleNotFoundError('No module named {name}')")
    code = """
import json
from edge_inspect.edge.doctor import examine
print(json.dumps({f.what: [f.found, f.detail] for f in examine()}))
"""
    environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["openvino"] == [False, "No module named openvino; pip install 'openvino>=2025.0'"]
    assert found["paho"] == [False, "No module named paho; pip install 'paho-mqtt>=2.1'"]
    assert found["engine"] == [False, "no engine runs until the missing packages above are installed"]
    assert "opencv-python" in found["cv2"][1] and not found["cv2"][0]
    assert "pip install pycuda" in found["pycuda"][1]
    assert "pip install 'cryptography>=3.4'" in found["cryptography"][1]
    assert not found["gstreamer"][0] and not found["aravis"][0]
    assert found["gpiod"][1].startswith("pip install 'edge-inspect[gpio]'")
    assert found["systemctl"] == [False, "the service needs systemd to start with the box"]


def test_the_layers_that_run_as_int8_are_counted() -> None:
    found = {finding.what: finding for finding in examine()}["int8 layers"]
    counted = re.match(r"OpenVINO runs (\d+) of the self-test's (\d+) convolutions as INT8", found.detail)
    assert counted is not None, found.detail
    fast, all_of_them = map(int, counted.groups())
    assert 0 <= fast <= all_of_them and all_of_them >= 30
    assert found.found == (2 * fast >= all_of_them)
    assert found.found or "edge-inspect bench" in found.detail


def test_the_remedies_are_those_of_the_jetpack() -> None:
    assert "python3-libnvinfer" in tensorrt_remedy(6, None) and "--system-site-packages" in tensorrt_remedy(7, 580)
    assert "cuda-toolkit-12-6" in toolkit_remedy(6) and "cuda-toolkit-13-0" in toolkit_remedy(7)
    assert "pip install pycuda " in pycuda_remedy(6) and "'pycuda>=2026.1'" in pycuda_remedy(7)


@pytest.mark.parametrize(
    ("module", "version", "extra"),
    [
        ("NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024", 535, "tensorrt-cu12"),
        ("NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)", 580, "tensorrt-cu13"),
        ("NVIDIA UNIX Open Kernel Module for aarch64  590.44.01  Release Build", 590, "tensorrt-cu13"),
    ],
)
def test_the_driver_decides_for_which_cuda_tensorrt_must_be(
    tmp_path: Path, module: str, version: int, extra: str
) -> None:
    path = tmp_path / "version"
    path.write_text(f"NVRM version: {module}\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n")
    assert driver(path) == version
    assert f"pip install 'edge-inspect[{extra}]'" in tensorrt_remedy(None, driver(path))
    assert driver(tmp_path / "none") is None and "tensorrt-cu12" in tensorrt_remedy(None, None)


def test_the_engine_that_the_service_would_run_is_said() -> None:
    found = {finding.what: finding for finding in examine()}
    assert found["engine"].detail.startswith("tensorrt" if found["tensorrt"].found and found["pycuda"].found else "op")


def test_nvcc_says_its_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvcc"
    program.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.6, V12.6.68'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert {f.what: f.detail for f in examine()}["nvcc"] == f"CUDA 12.6, {program}"


def test_a_box_with_all_that_is_needed_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "MISSING" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("openvino", "__version__ = '2024.6.0'", "pip install 'openvino>=2025.0'"),
        ("cv2", "raise ImportError('libglib-2.0.so.0: cannot open shared object file')", "apt-get install libgl1"),
        ("cv2", "raise ImportError('numpy.core.multiarray failed to import')", "pip install 'numpy<2'"),
        ("yaml", "import os, signal; os.kill(os.getpid(), signal.SIGILL)", "killed by SIGILL"),
        ("pydantic", "VERSION = '2.5.3'; BaseModel = object", "2.5.3 is too old: pip install 'pydantic>=2.8'"),
        ("paho", "raise SystemExit(3)", "status 3"),
    ],
)
def test_a_needed_package_that_does_not_load_or_is_too_old_ends_with_1(
    tmp_path: Path, module: str, source: str, said: str
) -> None:
    broken(tmp_path, module, source)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "edge_inspect.edge.cli", "doctor", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert found[module]["needed"] and not found[module]["found"] and said in found[module]["detail"]
    assert not found["engine"]["found"] and found["python"]["found"]
    assert f"missing: {module}, engine" in done.stderr


def test_what_is_there_is_found_from_any_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-m", "edge_inspect.edge.cli", "doctor"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "MISSING" not in done.stderr
