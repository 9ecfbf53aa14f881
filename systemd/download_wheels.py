"""Download wheels for another box: `make wheelhouse` calls this with the newest pip.

pip chooses wheels by `--platform` and `--python-version`, but it reads the markers of requirements for the interpreter
that runs pip (https://github.com/pypa/pip/issues/11664). So on Python 3.11 it would leave out what only Python 3.10
needs, such as `tomli; python_version < "3.11"`, and the box would miss it. This program has the markers read for the
box. Afterwards it checks by itself that the folder holds whatever its wheels require.
"""

from __future__ import annotations

import argparse
import re
import runpy
import subprocess
import sys
import zipfile
from email.parser import BytesHeaderParser
from pathlib import Path

from pip._vendor.packaging import markers
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

OLDEST_GLIBC = 5
"""Wheels for glibc 2.5 are the oldest that PyPI has."""
LEGACY = ("manylinux2014", "manylinux2010", "manylinux1")
"""Names of glibc 2.17, 2.12 and 2.5 in the names of older wheels."""
AS_THE_BOX = "--as-the-box"


def main() -> int:
    """Download the wheels; return pip's exit status, or 1 if the folder lacks a requirement of its wheels."""
    parser = argparse.ArgumentParser(description="Downloads wheels for a box with another Python or architecture.")
    parser.add_argument("--python", required=True, metavar="3.10", help="version of Python on the box")
    parser.add_argument("--machine", required=True, metavar="aarch64", help="what uname -m prints on the box")
    parser.add_argument("--glibc", required=True, metavar="2.35", help="release of the C library on the box")
    parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="folder for the wheels")
    parser.add_argument(AS_THE_BOX, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="+", metavar="REQUIREMENT", help="what is wanted, and more options of pip")
    arguments = parser.parse_args()
    box = environment(arguments.python, arguments.machine)
    if arguments.as_the_box:
        markers.default_environment = lambda: box
        sys.argv = ["pip", "download", *arguments.rest]
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    # pip runs in a process of its own, so that the check below reads markers as packaging does.
    newest = int(arguments.glibc.partition(".")[2])
    tags = [*(f"manylinux_2_{minor}" for minor in range(newest, OLDEST_GLIBC - 1, -1)), *LEGACY]
    wanted = [option for tag in tags for option in ("--platform", f"{tag}_{arguments.machine}")]
    wanted += ["--python-version", arguments.python, "--only-binary", ":all:", "--dest", str(arguments.to)]
    box_options = ["--python", arguments.python, "--machine", arguments.machine, "--glibc", arguments.glibc]
    again = [sys.executable, __file__, *box_options, "--to", str(arguments.to), AS_THE_BOX]
    command = [*again, "--", "--quiet", *wanted, *arguments.rest]
    if status := subprocess.run(command, check=False).returncode:
        return status
    if lacking := missing(arguments.to, box):
        print(f"{arguments.to}: required by its wheels, and not there: {', '.join(sorted(lacking))}", file=sys.stderr)
    return int(bool(lacking))


def environment(python: str, machine: str) -> dict[str, str]:
    """Return the values of all markers on a box with Linux and CPython."""
    numbers = [*python.split("."), "0"][:3]
    full, short = ".".join(numbers), ".".join(numbers[:2])
    versions = {"python_full_version": full, "implementation_version": full, "python_version": short}
    system = {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": machine}
    cpython = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return {**versions, **system, **cpython, "platform_release": "", "platform_version": ""}


def missing(folder: Path, box: dict[str, str]) -> set[str]:
    """Return what the wheels of a folder require on the box without extras, and the folder does not have."""
    there, required = set(), set()
    for path in folder.glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            (name,) = [name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            metadata = BytesHeaderParser().parsebytes(wheel.read(name))
        there.add(canonicalize_name(metadata["Name"]))
        for requirement in map(Requirement, metadata.get_all("Requires-Dist", [])):
            if requirement.marker is None or requirement.marker.evaluate({**box, "extra": ""}):
                required.add(canonicalize_name(requirement.name))
    return required - there


if __name__ == "__main__":
    sys.exit(main())
