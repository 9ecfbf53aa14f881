"""Run the self-test with the oldest and the newest allowed version of each package that a box needs, on every Python.

    python tests/benchmarks/versions.py                  # on each of Python 3.10 to 3.13 in the path or of pyenv
    python tests/benchmarks/versions.py --python /opt/python3.13/bin/python3

For each Python, uv (extra [dev]) installs these sets of packages from wheels into an environment that is thrown away:

    newest       the newest of each that pyproject.toml allows
    pinned       those of constraints.txt
    oldest       the oldest of each that has a wheel for this Python
    oldest NAME  the oldest of this one, and the newest of the others that go with it

In each of them `edge-inspect selftest` must reproduce the golden frames in every precision, and tests/pixel_digests.py
must find the pixels that every box has. Exit status 0 if they do. A Python that is not here is resolved and not run.
Writes results/versions.csv. Needs PyPI, and 1 GB in the temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from table import RESULTS, Row, processor, write

from edge_inspect.edge.dependencies import NEEDED

ROOT = Path(__file__).parents[2]
MINORS = range(10, 14)
PACKAGES = [requirement.partition(">=")[0] for requirement in NEEDED.values()]
OPENCV, HEADLESS = "opencv-python", "opencv-python-headless"
WHEELS = ("--only-binary", ":all:")


class Failed(Exception):
    """A command failed; the message is the end of what it said."""


def run(*command: str | Path) -> str:
    """Return what a command writes to its standard output.

    Raises:
        Failed: Its exit status is not 0.
    """
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("PYTHONPATH", None)
    if "PIP_CERT" in environment:  # where pip is told of certificates of its own, uv needs the same
        environment.setdefault("SSL_CERT_FILE", environment["PIP_CERT"])
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise Failed(" ".join((done.stderr + done.stdout).split())[-600:])
    return done.stdout


def pythons() -> list[str]:
    """Return a program for each Python 3.10 to 3.13 that is in the path or that pyenv has installed."""
    found = []
    for name in (f"python3.{minor}" for minor in MINORS):
        of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{name[6:]}.*/bin/{name}"))
        for program in [shutil.which(name), *map(str, of_pyenv)]:
            with contextlib.suppress(Failed):  # pyenv puts programs into the path that only say where another one is
                if program is not None:
                    run(program, "-c", "")
                    found.append(program)
                    break
    return found


def uv(*arguments: str | Path) -> str:
    """Return what uv writes."""
    return run(sys.executable, "-m", "uv", "--quiet", *arguments)


def resolved(version: str, resolution: str) -> dict[str, str]:
    """Return the versions of the packages that uv would install on a Python such as `3.13`."""
    said = uv(
        "pip", "compile", ROOT / "pyproject.toml", "--python-version", version, "--resolution", resolution, *WHEELS
    )
    return {name: found for name, found in re.findall(r"^([\w-]+)==(\S+)", said, re.MULTILINE) if name in PACKAGES}


def tried(wheel: Path, python: str, options: Sequence[str | Path]) -> Row:
    """Install a set of packages and the wheel, test them, and return the result."""
    with TemporaryDirectory(prefix="versions-") as folder:
        program = Path(folder, "bin/python")
        uv("venv", "--python", python, folder)
        install = ("pip", "install", "--python", program)
        try:
            uv(*install, *WHEELS, "--requirements", ROOT / "pyproject.toml", *options)
            uv(*install, "--no-deps", wheel)
            listed = json.loads(uv("pip", "list", "--python", program, "--format", "json"))
            versions = {each["name"]: each["version"] for each in listed if each["name"] in PACKAGES}
            take_an_opencv_that_loads(program, versions[OPENCV])
        except Failed as failed:
            return {"result": f"not installed: {failed}"}
        return {"result": "ok", **checked(program), **versions}


def take_an_opencv_that_loads(program: Path, version: str) -> None:
    """Put opencv-python-headless in the place of an OpenCV that lacks libraries of a desktop, as by `make install`."""
    try:
        run(program, "-c", "import cv2")
    except Failed:
        uv("pip", "uninstall", "--python", program, OPENCV)
        uv("pip", "install", "--python", program, "--no-deps", *WHEELS, f"{HEADLESS}=={version}")


def checked(program: Path) -> Row:
    """Return the largest difference to the golden maps by precision; `result` where something is wrong."""
    try:
        said = run(program, program.with_name("edge-inspect"), "selftest", "--json")
        run(program, ROOT / "tests/pixel_digests.py")
    except Failed as failed:
        return {"result": f"FAILED: {failed}"}
    trials = json.loads(said)["trials"]
    return {each["precision"]: re.search(r"differ by (\S+)", each["detail"])[1] for each in trials}  # type: ignore[index]


def sets(wheel: Path, python: str) -> list[Row]:
    """Test all sets of packages on one Python."""
    rows: list[Row] = []

    def add(name: str, *options: str | Path) -> Row:
        rows.append({"packages": name, **tried(wheel, python, options)})
        print(
            f"{python}  {name:24}  {' '.join(f'{k} {v}' for k, v in rows[-1].items() if k != 'packages')}", flush=True
        )
        return rows[-1]

    newest = add("newest")
    add("pinned", "--constraints", ROOT / "constraints.txt")
    oldest = add("oldest", "--resolution", "lowest-direct")
    for name in PACKAGES:
        if name in oldest and oldest[name] != newest.get(name):
            add(f"oldest {name}", f"{name}=={oldest[name]}")
    return rows


def main() -> int:
    """Test every set on every Python, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", metavar="PROGRAM", help="a Python to test; repeatable")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "versions.csv", help="table to write (default: %(default)s)"
    )
    arguments = parser.parse_args()
    rows: list[Row] = []
    with TemporaryDirectory(prefix="versions-wheel-") as folder:
        uv("build", "--wheel", "--out-dir", folder, ROOT)
        wheel = next(Path(folder).glob("*.whl"))
        for python in arguments.python or pythons():
            version = run(python, "-c", "import platform; print(platform.python_version())").strip()
            rows += [{"python": version, **row} for row in sets(wheel, python)]
    ran = {".".join(str(row["python"]).split(".")[:2]) for row in rows}
    for version in (f"3.{minor}" for minor in MINORS if not arguments.python and f"3.{minor}" not in ran):
        for name, resolution in (("newest", "highest"), ("oldest", "lowest-direct")):
            rows.append({"python": version, "packages": name, "result": "not run", **resolved(version, resolution)})
    columns = ("python", "packages", "result", "fp32", "fp16", "int8", *PACKAGES)
    machine = processor()
    write(arguments.out, [{name: row.get(name, "") for name in columns} | {"machine": machine} for row in rows])
    wrong = [row for row in rows if row["result"] not in ("ok", "not run")]
    print(f"{len(rows) - len(wrong)} of {len(rows)} sets of packages are as they should be; {arguments.out}")
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
