"""A camera, a trigger, an engine or a system is a file or two and an entry in a registry: shown by adding one of each.

The program is copied, the files and the entries are written into the copy, and the copy is run as its user would: what
is not fed by the registries shows. docs/architecture.md has the table that this holds to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle
from cloth import write_cloth
from mosquitto import Broker, Subscriber, wait_until
from service_process import PATIENCE, Launch, write_settings

ROOT = Path(__file__).parents[2]
PACKAGES = ("edge", "calibrate", "models", "train")

CAMERA = '''
from __future__ import annotations

import numpy as np

from edge_inspect.edge.cameras import Capture, Place
from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.contract.fields import utc_now


class PatternCamera:
    """So many frames of noise, at the camera's own seed."""

    live = False

    def __init__(self, address: Address, place: Place) -> None:
        self._left, self._place = int(address.path), place
        self._random = np.random.default_rng(int(address.others.get("seed", 0)))

    def read(self, buffer, after=0.0):
        if not self._left:
            return None
        self._left -= 1
        return Capture(self._random.integers(0, 256, (48, 80, 3), np.uint8), utc_now(), f"noise {self._left}")

    def close(self) -> None:
        pass
'''
CAMERA_ENTRY = """
        CameraKind(
            "pattern",
            "frames of noise",
            "pattern:PatternCamera",
            {"seed": number},
            recorded=True,
            look=lambda: [look_for_package("noise_maker", "pip install noise-maker; only for pattern: cameras")],
        ),
"""

TRIGGER = '''
from __future__ import annotations

import re

from edge_inspect.edge.errors import TriggerError
from edge_inspect.edge.finding import Finding
from edge_inspect.edge.triggers.kind import TriggerKind
from edge_inspect.edge.triggers.thread import TriggerThread


class BurstTrigger(TriggerThread):
    """Fires so many times, and then no more."""

    def __init__(self, count, fire, say, name):
        self._count = count
        super().__init__(fire, name)

    def _run(self) -> None:
        for _ in range(self._count):
            self._fire()


def parse(text: str):
    match = re.fullmatch(r"burst of (\\d+)", text)
    if match and int(match[1]) > 99:
        raise TriggerError(f"trigger {text!r}: must be a burst of 99 at most")
    return int(match[1]) if match else None


KIND = TriggerKind(
    "burst of N", "so many times at the start", parse, BurstTrigger, can_wait=True,
    look=lambda: [Finding("burst", True, "is there")],
)
'''
TRIGGER_ENTRY = "    burst.KIND,\n"

ENGINE = '''
from __future__ import annotations

import numpy as np

from edge_inspect.edge.engines.base import FittedEngine
from edge_inspect.edge.errors import EngineError


class PlainEngine(FittedEngine):
    """The golden frames' maps, by heart; another frame's is its brightness."""

    name = "plain"

    def __init__(self, bundle, precision):
        super().__init__(bundle, precision)
        known = [(bundle.fit.apply(golden.frame)[0], golden.map_of(precision)) for golden in bundle.golden()]
        self._known = {frame.tobytes(): values for frame, values in known}

    @classmethod
    def unsupported(cls, precision):
        return "" if precision == "fp32" else "plain computes in fp32 alone"

    def _maps(self, tiles):
        for tile in tiles:
            yield self._known.get(tile.tobytes(), tile.mean(2, dtype=np.float32) / 255)

    def _release(self):
        del self._known
'''
ENGINE_ENTRY = """
        EngineKind(
            "plain",
            "anything",
            "plain:PlainEngine",
            look=lambda: [Finding("plainness", False, "pip install plainness")],
        ),
"""


NETWORK = '''
from edge_inspect.models.memory import Memory


class Shelf(Memory):
    """A memory by another name."""

    name = "shelf"
'''
SYSTEM = """
import dataclasses

from edge_inspect.models.shelf import Shelf
from edge_inspect.train.systems import memory
from edge_inspect.train.systems.system import choice

BOARDS = choice("boards", ("oak", "pine"), "what the shelf is made of", builds=False)
SYSTEM = dataclasses.replace(memory.SYSTEM, network=Shelf, summary="prototypes on a shelf", options=(BOARDS,))
"""


def insert(file: Path, before: str, entry: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, file
    file.write_text(text.replace(before, entry + before), encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with a camera, a trigger, an engine and a system more: the folder for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("copy")
    package = folder / "edge_inspect"
    package.mkdir()
    shutil.copy(ROOT / "src" / "edge_inspect" / "__init__.py", package)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
    edge = package / "edge"
    (edge / "cameras" / "pattern.py").write_text(CAMERA)
    insert(edge / "cameras" / "registry.py", "    )\n}", CAMERA_ENTRY)
    (edge / "triggers" / "burst.py").write_text(TRIGGER)
    insert(edge / "triggers" / "__init__.py", ')\n"""The first is the default', TRIGGER_ENTRY)
    insert(edge / "triggers" / "__init__.py", "from edge_inspect.edge.triggers.kind", IMPORT)
    (edge / "engines" / "plain.py").write_text(ENGINE)
    insert(edge / "engines" / "registry.py", "    )\n}", ENGINE_ENTRY)
    (package / "models" / "shelf.py").write_text(NETWORK)
    systems = package / "train" / "systems"
    (systems / "shelf.py").write_text(SYSTEM)
    insert(systems / "__init__.py", "\nfrom edge_inspect.train.systems.system", ", shelf")
    insert(systems / "__init__.py", ")}\n", ", shelf.SYSTEM")
    return folder


IMPORT = "from edge_inspect.edge.triggers import burst\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write(tmp_path_factory.mktemp("tiny") / "bundle", threshold=0.6).path


def run(copy: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "500"}
    command = [sys.executable, "-m", f"edge_inspect.{module}", *arguments]
    return subprocess.run(command, env=environment, cwd=copy, capture_output=True, text=True, check=False)


def asked(copy: Path, code: str) -> Any:
    """What the copy's Python prints as JSON."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("edge.cli", "run"), ["pattern: (frames of noise)", "burst of N", "plain (anything)"]),
        (("edge.cli", "check"), ["pattern: (frames of noise)", "burst of N", "plain (anything)"]),
        (("edge.cli", "bench"), ["--engine {openvino,tensorrt,plain}", "plain or tensorrt if it can run here"]),
        (("calibrate.cli", "verify"), ["--engine {openvino,tensorrt,plain}"]),
        (("train.cli", "fit"), ["shelf", "prototypes on a shelf", "--boards oak|pine", "what the shelf is made of"]),
    ],
)
def test_help_names_them(copy: Path, command: tuple[str, str], said: list[str]) -> None:
    done = run(copy, *command, "--help")
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert [text for text in said if text not in shown] == []


def test_doctor_names_them_and_what_they_need(copy: Path, tmp_path: Path) -> None:
    done = run(copy, "edge.cli", "doctor", "--json", str(tmp_path / "found.json"))
    assert "Traceback" not in done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["cameras"]["detail"].endswith(", pattern:")
    assert found["triggers"]["detail"].endswith(", burst of N")
    assert found["engines"]["detail"].endswith(", plain (anything)")
    assert found["engine"]["detail"].startswith("plain is the engine that the service uses here")
    assert found["noise_maker"]["detail"] == "pip install noise-maker; only for pattern: cameras"
    assert found["burst"] == {"found": True, "needed": False, "detail": "is there"}
    assert not found["plainness"]["found"]


def test_the_configurations_schema_names_them(copy: Path) -> None:
    code = """
import json
from edge_inspect.edge.configuration import settings
print(json.dumps(settings.Settings.model_json_schema()))
"""
    parts = asked(copy, code)["$defs"]
    station = parts["StationSettings"]["properties"]
    assert "pattern:" in station["camera"]["description"]
    assert "burst of N: so many times at the start" in station["trigger"]["description"]
    engine = parts["EngineSettings"]["properties"]["name"]
    assert ["openvino", "tensorrt", "plain"] in [each.get("enum") for each in engine["anyOf"]]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"camera": "pattern:3?seed=x"}, "camera option seed=x is not a number"),
        ({"camera": "pattern:3?fps=5"}, "unknown option fps; there are seed"),
        ({"camera": "pattern:"}, "names no path"),
        ({"camera": "noise:3"}, "aravis:, genicam:, pattern:"),
        ({"trigger": "burst of 100"}, "must be a burst of 99 at most"),
        ({"trigger": "burst of x"}, "must be camera, command, every N ms, gpio:/dev/gpiochipN/LINE, or burst of N"),
    ],
)
def test_their_mistakes_are_told_with_the_key(
    copy: Path, bundle: Path, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    station = {"camera": "pattern:3", "trigger": "burst of 3", "bundle": str(bundle), **changed}
    done = run(copy, "edge.cli", "check", "--config", str(write_settings(tmp_path, 1883, station)))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "stations.0." in line]
    assert f"stations.0.{next(iter(changed))}: " in line and said in line


def test_an_engine_that_is_not_there_is_told_with_those_that_are(copy: Path, bundle: Path, tmp_path: Path) -> None:
    config = write_settings(tmp_path, 1883, {"camera": "pattern:3", "bundle": str(bundle)}, engine={"name": "fancy"})
    done = run(copy, "edge.cli", "check", "--config", str(config))
    assert (
        done.returncode == 2
        and "engine.name: 'fancy' is not an engine; there are openvino, tensorrt, plain" in done.stderr
    )


def test_a_station_judges_with_all_three(
    copy: Path, bundle: Path, tmp_path: Path, broker: Broker, subscriber: Subscriber, launch: Launch
) -> None:
    station = {"camera": "pattern:5?seed=7", "trigger": "burst of 5", "policy": "every", "bundle": str(bundle)}
    config = write_settings(tmp_path, broker.port, station)
    assert run(copy, "edge.cli", "check", "--config", str(config)).returncode == 0
    service = launch(config, PYTHONPATH=str(copy))
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 5, PATIENCE)
    verdicts = subscriber.payloads("verdict")
    assert [verdict["part_id"] for verdict in verdicts] == [f"noise {left}" for left in (4, 3, 2, 1, 0)]
    assert {(verdict["engine"], verdict["precision"]) for verdict in verdicts} == {("plain", "fp32")}
    brightest = np.random.default_rng(7).integers(0, 256, (48, 80, 3), np.uint8)
    assert 0.3 < verdicts[0]["score"] <= brightest.max() / 255
    assert {verdict["ok"] for verdict in verdicts} == {False}  # noise has bright spots
    assert service.end() == 0, service.said()


@pytest.mark.parametrize(
    "command",
    [
        ("edge.cli", "bench"),
        ("edge.cli", "bench", "--engine", "plain"),
        ("calibrate.cli", "verify", "--engine", "plain"),
    ],
)
def test_commands_run_the_engine(copy: Path, bundle: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    more = ["--frames", "3"] if "bench" in command else []
    module, name, *options = command
    done = run(copy, module, name, str(bundle), *options, *more, "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    if name == "bench":
        assert (result["engine"], result["precision"]) == ("plain", "fp32") and result["raw_ms_p50"] > 0
    else:
        checks = {check["what"]: check["detail"] for check in result["checks"]}
        assert checks["golden int8"].startswith("not run: plain computes in fp32 alone")
        assert result["golden"] == {"fp32": 0.0}


def test_selftest_and_compile_know_it(copy: Path, bundle: Path) -> None:
    done = run(copy, "edge.cli", "selftest")
    assert "ok        plain     fp32  golden maps differ by 0.00e+00" in done.stderr
    done = run(copy, "calibrate.cli", "compile", "--help")
    assert "--via {tensorrt,torch-tensorrt}" in done.stdout  # nothing of it is built and kept


def test_a_system_is_trained_and_becomes_a_bundle(copy: Path, tmp_path: Path) -> None:
    write_cloth(tmp_path)
    fit = ("--model", "shelf", "--boards", "pine", "--teacher", "embedded", "--memory", "16", "--size", "64x64")
    done = run(copy, "train.cli", "fit", "--data", str(tmp_path), *fit, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    made = run(
        copy, "calibrate.cli", "bundle", str(tmp_path / "run"), "--good", str(tmp_path / "good"),
        "--search-seconds", "0", "--calibration-images", "8", "--out", str(tmp_path / "bundle"),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    shown = run(copy, "calibrate.cli", "show", str(tmp_path / "bundle"))
    assert "shelf" in shown.stdout + shown.stderr
    wrong = run(copy, "train.cli", "fit", "--data", str(tmp_path), *fit[:2], "--boards", "ash", "--out", str(tmp_path))
    assert wrong.returncode == 2 and "there are oak, pine" in wrong.stderr
