"""The units as systemd-analyze sees it, and `make install` into a folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from package_index import needs_package_index

ROOT = Path(__file__).parents[2]
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze: apt-get install systemd")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *arguments, "--no-pager"], capture_output=True, text=True, check=False)


PROGRAMS = ("", "-bridge", "-opcua", "-views", "-webhook", "-page", "-archive")
UNITS = [f"edge-inspect{program}.service" for program in PROGRAMS]


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit, of a program that is there."""
    path: Path = tmp_path / request.param
    text = (ROOT / "systemd" / path.name).read_text()
    path.write_text(text.replace("/opt/edge-inspect/bin/edge-inspect", "/bin/true"))
    return path


@needs_systemd
@pytest.mark.parametrize("devices", [False, True])
def test_systemd_finds_no_mistake_in_a_unit(unit: Path, devices: bool) -> None:
    if devices:
        more = unit.with_name(f"{unit.name}.d")
        more.mkdir()
        shutil.copy(ROOT / "systemd" / "devices.conf", more)
    checked = analyze("verify", "--man=no", str(unit))
    assert checked.returncode == 0 and checked.stderr == "", checked.stderr


@needs_systemd
def test_a_units_exposure_is_at_most_2_5(unit: Path) -> None:
    checked = analyze("security", "--offline=true", "--threshold=25", str(unit))
    assert checked.returncode == 0, checked.stdout
    exposure = re.search(r"Overall exposure level for .*: ([\d.]+)", checked.stdout)
    assert exposure is not None and float(exposure[1]) <= 2.5


def test_what_cameras_and_gpus_need_is_not_taken_away() -> None:
    text = (ROOT / "systemd" / "edge-inspect.service").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for never in ("PrivateDevices", "MemoryDenyWriteExecute", "ProtectClock", "DevicePolicy", "PrivateNetwork"):
        assert not any(line.startswith(never) for line in lines), never


def make(target: str, destination: Path, **variables: str) -> None:
    command = ["make", "-C", str(ROOT), target, f"DESTDIR={destination}", *(f"{k}={v}" for k, v in variables.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr


def test_make_installs_into_a_folder_and_uninstalls_all_but_the_configuration(tmp_path: Path) -> None:
    needs_package_index()
    destination = tmp_path / "box"
    base = os.path.realpath(sys.executable)
    variables = {"PREFIX": "/usr/lib/edge", "PYTHON": sys.executable, "PIP_OPTIONS": "--no-deps", "BOX_PYTHON": base}
    make("install", destination, **variables)
    place = destination / "usr/lib/edge"
    unit = destination / "etc/systemd/system/edge-inspect.service"
    assert "ExecStart=/usr/lib/edge/bin/edge-inspect run" in unit.read_text()
    units = [unit.with_name(name) for name in UNITS]
    for each in units:
        assert "/opt/" not in each.read_text()
        documentation = next(line for line in each.read_text().splitlines() if line.startswith("Documentation=file://"))
        assert (destination / documentation.removeprefix("Documentation=file:///")).is_file()
    for name in ("bridge.yaml", "opcua.yaml", "views.yaml", "webhook.yaml", "page.yaml", "archive.yaml"):
        assert (destination / "etc/edge-inspect" / name).is_file()
    config = destination / "etc/edge-inspect/config.yaml"
    config.write_text("site: kept\n")
    # What it installed is what runs; its dependencies are lent by this environment.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    command = [
        str(place / "bin/python"),
        "-c",
        "import edge_inspect.edge.cli, sys; sys.exit(edge_inspect.edge.cli.main(['--version']))",
    ]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.stdout.startswith("edge-inspect "), ran.stderr
    make("install", destination, **{**variables, "BOX_PYTHON": "/usr/bin/python3.10"})
    assert config.read_text() == "site: kept\n"
    assert (place / "bin/python3").readlink() == Path("/usr/bin/python3.10")
    assert "home = /usr/bin\n" in (place / "pyvenv.cfg").read_text()
    scripts = [path for path in (place / "bin").iterdir() if not path.is_symlink()]
    texts = [path.read_text() for path in scripts if path.read_text().startswith("#!")]
    assert len(texts) > 3 and all("/usr/lib/edge/bin/python" in text for text in texts)
    # Neither the folder DESTDIR, nor the Python that made the environment, nor the repository is in any file.
    builders = [str(destination), os.path.dirname(base), f"file://{ROOT}"]
    naming = ["grep", "-rlF", *(f"--regexp={each}" for each in builders), str(destination)]
    assert subprocess.run(naming, capture_output=True, text=True, check=False).stdout == ""
    make("uninstall", destination, PREFIX="/usr/lib/edge")
    assert not place.exists() and not any(each.exists() for each in units) and config.exists()


@pytest.mark.parametrize("target", ["install", "uninstall"])
def test_make_leaves_a_folder_that_holds_other_things(tmp_path: Path, target: str) -> None:
    other = tmp_path / "usr/local/bin/other"
    other.parent.mkdir(parents=True)
    other.touch()
    command = ["make", "-C", str(ROOT), target, f"DESTDIR={tmp_path}", "PREFIX=/usr/local", "PYTHON=false"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0 and "PREFIX=/usr/local: " in done.stdout
    assert other.exists() and not (tmp_path / "etc").exists()
