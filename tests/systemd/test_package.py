"""`make deb`, and its package installed, upgraded, removed and purged in a root of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from overlay_root import LENT, PYTHON, REPOSITORY, OverlayRoot
from package_index import needs_package_index

if shutil.which("dpkg-deb") is None:
    pytest.skip("needs dpkg-deb", allow_module_level=True)

PROGRAMS = ("", "-bridge", "-opcua", "-views", "-webhook", "-page", "-archive")
UNITS = tuple(f"edge-inspect{program}.service" for program in PROGRAMS)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package without the dependencies in it, which the environment of the tests lends."""
    needs_package_index()
    folder = tmp_path_factory.mktemp("package")
    variables = {"PYTHON": sys.executable, "BOX_PYTHON": PYTHON, "DIST": str(folder), "OPENCV": "desktop"}
    made = subprocess.run(
        ["make", "-C", str(REPOSITORY), "deb", "PIP_OPTIONS=--no-deps", *(f"{k}={v}" for k, v in variables.items())],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    (path,) = folder.iterdir()
    return path


def field(package: Path, name: str) -> str:
    asked = subprocess.run(["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def test_the_package_says_which_python_and_c_library_it_needs(package: Path) -> None:
    glibc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    assert field(package, "Depends").startswith(f"{Path(PYTHON).name}, libc6 (>= {glibc})")
    assert "@" not in field(package, "Description") and int(field(package, "Installed-Size")) > 1000
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=5) for line in listed.splitlines()]
    assert {row[1] for row in rows} == {"root/root"}
    assert {row[5].split("/")[1] for row in rows} == {"", "opt", "usr"}  # nothing that a purge could delete from /etc


def test_installed_upgraded_removed_and_purged(package: Path, tmp_path: Path) -> None:
    root = OverlayRoot(tmp_path)
    binds = {package.parent: "/package"}

    def dpkg(action: str) -> str:
        # The Python of the tests need not be one of Debian's packages.
        done = root.run(f"dpkg --force-depends --force-unsafe-io {action}", network=False, binds=binds)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = dpkg(f"--install /package/{package.name}")
    assert "then start the service: systemctl enable --now edge-inspect" in told
    started = root.run("/opt/edge-inspect/bin/edge-inspect --version; id -un edge-inspect", **LENT)
    assert started.returncode == 0 and started.stdout.startswith("edge-inspect "), started.stderr
    assert root.run("dpkg --verify edge-inspect").stdout == ""
    enabled = root.run("systemctl enable edge-inspect") if shutil.which("systemctl") else None
    link = root / "/etc/systemd/system/multi-user.target.wants/edge-inspect.service"
    assert enabled is None or link.is_symlink()

    config, data = root / "/etc/edge-inspect/config.yaml", root / "/var/lib/edge-inspect/outbox.db"
    config.write_text("site: kept\n")
    data.parent.mkdir(parents=True)
    data.write_text("parts that wait\n")
    added = root / f"/opt/edge-inspect/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/added.py"
    added.touch()
    assert "then start" not in dpkg(f"--install /package/{package.name}")  # as an upgrade does
    assert added.exists() and config.read_text() == "site: kept\n"

    dpkg("--remove edge-inspect")
    for purge in (False, True):
        told = dpkg("--purge edge-inspect") if purge else ""
        left = root.run("ls -d /opt/edge-inspect /usr/lib/systemd/system/edge-inspect* || id -un edge-inspect")
        assert left.stdout == "edge-inspect\n"  # the user alone
        assert not link.is_symlink()
        assert config.read_text() == "site: kept\n" and data.exists()
    assert "Not removed: /etc/edge-inspect, /var/lib/edge-inspect" in told


def test_it_does_not_mix_with_what_make_has_installed(package: Path, tmp_path: Path) -> None:
    root = OverlayRoot(tmp_path)
    place = root / "/opt/edge-inspect"
    place.mkdir(parents=True)
    (place / "pyvenv.cfg").touch()
    command = f"dpkg --force-depends --install /package/{package.name}"
    done = root.run(command, network=False, binds={package.parent: "/package"})
    assert done.returncode != 0 and "run make uninstall first" in done.stderr
    assert [path.name for path in place.iterdir()] == ["pyvenv.cfg"]
