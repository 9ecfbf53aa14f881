"""Run the self-test with the oldest and the newest allowed version of each package that a box needs, on every Python.

    python tests/benchmarks/versions.py                  # on each of Python 3.10 to 3.13 in the path or of pyenv
    python tests/benchmarks/versions.py --python /opt/python3.13/bin/python3
    python tests/benchmarks/versions.py --extras         # the packages of the extras instead

For each Python, uv (extra [dev]) installs these sets of packages from wheels into an environment that is thrown away:

    newest       the newest of each that pyproject.toml allows
    pinned       those of constraints.txt
    oldest       the oldest of each that has a wheel for this Python
    oldest NAME  the oldest of this one, and the newest of the others that go with it

In each of them `edge-inspect selftest` must reproduce the golden frames in every precision, and tests/pixel_digests.py
must find the pixels that every box has. Exit status 0 if they do. A Python that is not here is resolved and not run.
Writes results/versions.csv. Needs PyPI, and 1 GB in the temporary folder.

With `--extras`, each extra of a box is installed with the newest and with the oldest of its packages, beside the newest
others and the extras [dev] and [page], and tests that use the packages must pass (`TESTS`). Writes
results/versions_extras.csv.
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
from importlib.metadata import requires
from pathlib import Path
from tempfile import TemporaryDirectory

from table import RESULTS, Row, processor, write

from edge_inspect.edge.dependencies import NEEDED

ROOT = Path(__file__).parents[2]
MINORS = range(10, 14)
PACKAGES = [requirement.partition(">=")[0] for requirement in NEEDED.values()]
OPENCV, HEADLESS = "opencv-python", "opencv-python-headless"
WHEELS = ("--only-binary", ":all:")
TESTS = {
    "page": "page/test_server.py page/test_guard.py page/test_event_stream.py page/test_live_routes.py "
    "page/test_login_routes.py page/test_service.py",
    "opcua": "opcua/test_with_asyncua.py opcua/test_service.py opcua/test_guarded.py opcua/test_stations.py",
    "archive": "archive/test_archive.py archive/test_migrations.py archive/test_months.py archive/test_writer.py",
    "parquet": "archive/test_export.py",
    "sparkplug": "mqtt/test_sparkplug.py mqtt/test_sparkplug_payload.py mqtt/test_sparkplug_service.py",
    "gpio": "triggers",
    "genicam": "cameras/test_genicam.py",
    "demo": "mqtt/test_reconnection.py",
}
"""The extras that come from PyPI as wheels alone, and tests of what they are for."""


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


def packages_of(extra: str) -> list[str]:
    """Return the names of an extra's packages."""
    ends = f'extra == "{extra}"', f"extra == '{extra}'"
    return [re.split(r"[^\w.-]", each)[0].lower() for each in requires("edge-inspect") or [] if each.endswith(ends)]


def oldest_of(extra: str, version: str) -> list[str]:
    """Return the oldest versions of an extra's packages that a Python such as `3.13` can have, as `NAME==VERSION`."""
    chosen = ("--extra", extra, "--python-version", version, "--resolution", "lowest-direct")
    said = uv("pip", "compile", ROOT / "pyproject.toml", *chosen, *WHEELS)
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", said, re.MULTILINE)
    return [f"{name}=={found}" for name, found in pins if name in packages_of(extra)]


def tried_extra(wheel: Path, python: str, extra: str, pins: Sequence[str]) -> Row:
    """Install an extra, with its packages as `pins` says, run its tests, and return the result."""
    with TemporaryDirectory(prefix="versions-") as folder:
        program = Path(folder, "bin/python")
        uv("venv", "--python", python, folder)
        install = ("pip", "install", "--python", program)
        try:
            extras = (word for name in (extra, "dev", "page") for word in ("--extra", name))
            uv(*install, *WHEELS, "--requirements", ROOT / "pyproject.toml", *extras, *pins)
            uv(*install, "--no-deps", wheel)
            listed = json.loads(uv("pip", "list", "--python", program, "--format", "json"))
            versions = {each["name"].lower(): each["version"] for each in listed}
            take_an_opencv_that_loads(program, versions[OPENCV])
        except Failed as failed:
            return {"result": f"not installed: {failed}"}
        row = {"versions": " ".join(f"{name} {versions[name]}" for name in packages_of(extra))}
        try:
            tests = [ROOT / "tests/edge" / name for name in TESTS[extra].split()]
            # An old package may use what a newer Python deprecates.
            options = ("-W", "ignore::DeprecationWarning", "-p", "no:cacheprovider")
            run(program, "-m", "pytest", "-q", *options, *tests)
        except Failed as failed:
            return {"result": f"FAILED: {failed}", **row}
        return {"result": "ok", **row}


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


def extra_sets(wheel: Path, python: str, version: str) -> list[Row]:
    """Test the newest and the oldest packages of every extra on one Python."""
    rows: list[Row] = []
    for extra in TESTS:
        for name, pins in (("newest", []), ("oldest", oldest_of(extra, version.rpartition(".")[0]))):
            rows.append({"extra": extra, "packages": name, **tried_extra(wheel, python, extra, pins)})
            print(f"{python}  {' '.join(map(str, rows[-1].values()))}", flush=True)
    return rows


def main() -> int:
    """Test every set on every Python, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", metavar="PROGRAM", help="a Python to test; repeatable")
    parser.add_argument("--extras", action="store_true", help="test the packages of the extras, for half an hour")
    parser.add_argument(
        "--out", type=Path, help="table to write (default: versions.csv or versions_extras.csv in results)"
    )
    arguments = parser.parse_args()
    out = arguments.out or RESULTS / ("versions_extras.csv" if arguments.extras else "versions.csv")
    rows: list[Row] = []
    with TemporaryDirectory(prefix="versions-wheel-") as folder:
        uv("build", "--wheel", "--out-dir", folder, ROOT)
        wheel = next(Path(folder).glob("*.whl"))
        for python in arguments.python or pythons():
            version = run(python, "-c", "import platform; print(platform.python_version())").strip()
            found = extra_sets(wheel, python, version) if arguments.extras else sets(wheel, python)
            rows += [{"python": version, **row} for row in found]
    machine = processor()
    if arguments.extras:
        columns: tuple[str, ...] = ("python", "extra", "packages", "result", "versions")
    else:
        rows += not_run(rows) if not arguments.python else []
        columns = ("python", "packages", "result", "fp32", "fp16", "int8", *PACKAGES)
    write(out, [{name: row.get(name, "") for name in columns} | {"machine": machine} for row in rows])
    wrong = [row for row in rows if row["result"] not in ("ok", "not run")]
    print(f"{len(rows) - len(wrong)} of {len(rows)} sets of packages are as they should be; {out}")
    return min(len(wrong), 1)


def not_run(rows: Sequence[Row]) -> list[Row]:
    """Return rows of the Pythons that are not here: what would be installed on them."""
    ran = {".".join(str(row["python"]).split(".")[:2]) for row in rows}
    return [
        {"python": version, "packages": name, "result": "not run", **resolved(version, resolution)}
        for version in (f"3.{minor}" for minor in MINORS if f"3.{minor}" not in ran)
        for name, resolution in (("newest", "highest"), ("oldest", "lowest-direct"))
    ]


if __name__ == "__main__":
    sys.exit(main())
