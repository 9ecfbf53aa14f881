"""requirements.sh, with programs in the place of apt-get, sudo and id."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements.sh"
NO_LIBRARIES = "exit 0"
ALL_LIBRARIES = "echo 'libGL.so.1 (libc6) libglib-2.0.so.0 (libc6) libxcb.so.1 (libc6)'"


class Machine:
    """A machine whose programs are these, each a line of shell; what apt-get is asked for is written down."""

    def __init__(self, folder: Path, **programs: str) -> None:
        self.folder = folder
        for name in ("grep", "sed", "xargs", "echo", "env", "sh", "touch", "true", "chmod"):
            (folder / name).symlink_to(shutil.which(name) or "")
        self.log = folder / "asked"
        apt = f'echo "$@" >> {self.log}; for each; do touch {folder}/"$each"; chmod +x {folder}/"$each"; done'
        python = f'case "$*" in *cv2*) exit 1;; esac; exec {sys.executable} "$@"'
        usual = {"id": "echo 1000", "sudo": "exit 1", "apt-get": apt, "dpkg": "exit 1", "ldconfig": ALL_LIBRARIES}
        for name, line in {**usual, "python3": python, **programs}.items():
            (folder / name).write_text(f"#!/bin/sh\n{line}\n")
            (folder / name).chmod(0o755)

    def run(self, what: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.folder)}
        return subprocess.run(
            ["/bin/sh", str(SCRIPT), what], env=environment, capture_output=True, text=True, check=False
        )

    def asked(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def test_where_nothing_may_be_installed_the_one_command_is_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    done = machine.run("test")
    assert done.returncode == 1 and machine.asked() == ""
    (command,) = [line for line in done.stderr.splitlines() if "sudo apt-get update && sudo apt-get install" in line]
    for package in ("g++", "openssl", "aravis-tools", "gir1.2-gst-rtsp-server-1.0", "chromium"):
        assert f" {package}" in command
    assert "libgl1" not in command


@pytest.mark.parametrize("programs", [{"id": "echo 0"}, {"sudo": '[ "$1" = -n ] && shift; exec "$@"'}])
def test_as_root_or_with_sudo_it_is_installed(tmp_path: Path, programs: dict[str, str]) -> None:
    machine = Machine(tmp_path, **programs)
    assert machine.run("test").returncode == 0
    asked = machine.asked()
    assert "update" in asked and " g++" in asked and " openssl" in asked and " aravis-tools" in asked


def test_one_package_that_is_not_to_be_had_keeps_no_other_away(tmp_path: Path) -> None:
    apt = f'echo "$@" >> {tmp_path}/asked; case "$*" in *aravis-tools*) exit 100;; esac'
    machine = Machine(tmp_path, **{"id": "echo 0", "apt-get": apt, "g++": "", "openssl": "", "mosquitto": ""})
    assert machine.run("test").returncode == 0
    assert any(line.endswith(" gir1.2-aravis-0.8") for line in machine.asked().splitlines() if "tools" not in line)


@pytest.mark.parametrize("library", ["libGL.so.1", "libglib-2.0.so.0", "libxcb.so.1"])
def test_a_library_of_opencv_is_named_and_nothing_stops_for_it(tmp_path: Path, library: str) -> None:
    there = ALL_LIBRARIES.replace(library, "libother.so.1")
    done = Machine(tmp_path, ldconfig=there).run("run")
    package = {"libGL.so.1": "libgl1", "libglib-2.0.so.0": "libglib2.0-0", "libxcb.so.1": "libxcb1"}[library]
    assert done.returncode == 0 and f"install -y --no-install-recommends {package}\n" in done.stderr.replace("  ", " ")


def test_where_opencv_loads_no_library_is_asked_for(tmp_path: Path) -> None:
    done = Machine(tmp_path, ldconfig=NO_LIBRARIES, python3="exit 0").run("run")
    assert done.returncode == 0 and done.stderr == ""


def test_a_python_without_venv_is_told_what_brings_it(tmp_path: Path) -> None:
    python = f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    done = Machine(tmp_path, python3=python).run("run")
    assert done.returncode == 1 and "python3-venv" in done.stderr


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    python = 'case "$*" in *version_info*) exit 1;; --version) echo Python 3.9.18;; esac'
    done = Machine(tmp_path, python3=python).run("run")
    assert done.returncode == 1 and "Python 3.9.18 is too old" in done.stderr


@pytest.mark.parametrize("wrong", ["", "everything", "--help"])
def test_wrong_use_says_the_right_one(tmp_path: Path, wrong: str) -> None:
    done = Machine(tmp_path).run(wrong)
    assert done.returncode == 2 and "./requirements.sh run" in done.stdout
    assert os.access(SCRIPT, os.X_OK)


@pytest.mark.parametrize("loads", [True, False])
def test_make_takes_the_headless_opencv_where_the_other_does_not_load(tmp_path: Path, loads: bool) -> None:
    """With a Python that writes down what it is asked, and imports cv2 once the headless one is there."""
    asked, headless = tmp_path / "asked", tmp_path / "headless"
    if loads:
        headless.touch()
    python = tmp_path / "python"
    answers = f"-c*) test -e {headless}; exit;; *headless*) touch {headless};;"
    python.write_text(f'#!/bin/sh\ncase "$*" in {answers} esac\necho "$@" >> {asked}\n')
    python.chmod(0o755)
    rule = f"opencv:\n\t@$(call WITH_OPENCV,{python})\n"
    (tmp_path / "Makefile").write_text(f"include {SCRIPT.with_name('Makefile')}\n{rule}")
    done = subprocess.run(["make", "-C", str(tmp_path), "opencv"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = asked.read_text().splitlines() if asked.exists() else []
    assert ("takes its place" in done.stdout) is not loads
    assert [step.split()[2] for step in steps] == ([] if loads else ["uninstall", "install"])


def test_an_extra_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    """With a Python that writes down what pip is asked to install, and fails for one extra."""
    asked, python = tmp_path / "asked", tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {asked}\ncase "$*" in *aravis*) exit 1;; esac\n')
    python.chmod(0o755)
    rules = f"extras:\n\t@$(call WITH_EXTRAS,{python})\n\t@$(SAY_LACKING)\n"
    (tmp_path / "Makefile").write_text(f"include {SCRIPT.with_name('Makefile')}\n{rules}")

    def make(extras: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-C", str(tmp_path), "extras", f"EXTRAS={extras}", f"PREFIX={tmp_path}", "CONSTRAINTS="]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = make("gpio,aravis,page")
    assert done.returncode != 0 and "these extras" in done.stdout and "above: aravis\n" in done.stdout
    assert [line.split()[-1] for line in asked.read_text().splitlines()] == [".[gpio]", ".[aravis]", ".[page]"]
    assert make("gpio,page").returncode == 0
    assert make("").returncode == 0
