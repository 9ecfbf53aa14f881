"""`make wheelhouse`, and `make install` from it where there is no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from overlay_root import PYTHON, REPOSITORY, OverlayRoot
from package_index import needs_package_index

SCRIPT = REPOSITORY / "systemd" / "download_wheels.py"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The unpacked archive of a wheelhouse for this machine and this Python."""
    needs_package_index()
    made = subprocess.run(
        ["make", "-C", str(REPOSITORY), "wheelhouse", f"PYTHON={sys.executable}", f"DIST={tmp_path}/dist"],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    (archive,) = (tmp_path / "dist").glob("*.tar")
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", tmp_path], check=True)
    assert [path.name for path in (tmp_path / "dist").iterdir() if path.is_dir()] == [archive.stem]
    return tmp_path / archive.stem


def test_a_box_without_a_network_installs_from_it_and_inspects(house: Path, tmp_path: Path) -> None:
    root = OverlayRoot(tmp_path / "root")
    isolated = {"PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
    asked = root.run(f"{PYTHON} -m pip download --dest /tmp/none hatchling", network=False, **isolated)
    assert asked.returncode != 0  # there is no index
    install = f"cd /box && make install PYTHON={PYTHON}"
    done = root.run(install, network=False, binds={house: "/box"}, **isolated, PIP_NO_COMPILE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "this box can run fp32 on openvino" in done.stderr
    assert (root / "/etc/edge-inspect/config.yaml").is_file()
    assert "\nedge-inspect:" in (root / "/etc/passwd").read_text()
    assert (root / "/opt/edge-inspect/share/doc/edge-inspect/docs/install.md").is_file()


def download(folder: Path, python: str, machine: str, *wanted: str) -> subprocess.CompletedProcess[str]:
    box = ["--python", python, "--machine", machine, "--glibc", "2.35"]
    command = [sys.executable, SCRIPT, *box, "--to", folder, "--", *wanted]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_another_box_gets_what_its_own_python_and_architecture_need(tmp_path: Path) -> None:
    """Hatchling requires tomli on Python 3.10 only; markupsafe is compiled."""
    needs_package_index()
    machine = "aarch64"
    for python, has_tomli in (("3.10", True), ("3.12", False)):
        folder = tmp_path / python
        done = download(folder, python, machine, "hatchling", "markupsafe")
        assert done.returncode == 0, done.stderr
        names = [path.name for path in folder.iterdir()]
        assert any(name.startswith("tomli-") for name in names) is has_tomli
        (compiled,) = [name for name in names if name.startswith("markupsafe-")]
        assert f"cp{python.replace('.', '')}" in compiled and compiled.endswith(f"_{machine}.whl")


def test_a_requirement_that_is_not_there_is_named(tmp_path: Path) -> None:
    needs_package_index()
    done = download(tmp_path / "wheels", "3.10", "x86_64", "--no-deps", "hatchling")
    assert done.returncode == 1 and "not there: " in done.stderr and "tomli" in done.stderr
