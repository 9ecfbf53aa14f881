"""What sysfs tells: trees as a PC, a Jetson and a virtual machine have them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_inspect.edge.health import machine
from edge_inspect.edge.health.machine import Machine, MachineState


@pytest.fixture(autouse=True)
def always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "FRESH_S", -1.0)


def put(sys: Path, **files: str) -> None:
    for name, text in files.items():
        path = sys / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def thermal(sys: Path, kind: str, number: int, type_: str, value: str) -> None:
    name = {"thermal_zone": "temp", "cooling_device": "cur_state"}[kind]
    put(sys, **{f"class__thermal__{kind}{number}__type": type_, f"class__thermal__{kind}{number}__{name}": value})


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    state = Machine(tmp_path, 0, tmp_path / "sys").look()
    assert state.temperature_c is None and state.throttled is None and state.warnings == ()
    assert state.free_bytes is not None and state.free_bytes > 0


def test_a_jetson(tmp_path: Path) -> None:
    thermal(tmp_path, "thermal_zone", 0, "cpu-thermal", "48500")
    thermal(tmp_path, "thermal_zone", 1, "gpu-thermal", "51250")
    thermal(tmp_path, "thermal_zone", 2, "PMIC-Die", "100000")
    (tmp_path / "class/thermal/thermal_zone3/temp").mkdir(parents=True)  # cannot be read, as one that sleeps
    thermal(tmp_path, "cooling_device", 0, "pwm-fan", "3")
    thermal(tmp_path, "cooling_device", 1, "devfreq-gpu-gpc-0", "18")
    thermal(tmp_path, "cooling_device", 2, "cpu-throttle-alert", "0")
    put(tmp_path, class__hwmon__hwmon3__oc3_event_cnt="27")
    box = Machine(tmp_path, 0, tmp_path)
    assert box.look()[:2] == (51.25, False)
    thermal(tmp_path, "cooling_device", 2, "cpu-throttle-alert", "1")
    assert box.look().warnings == ("throttled",)
    thermal(tmp_path, "cooling_device", 2, "cpu-throttle-alert", "0")
    assert box.look().throttled is False
    put(tmp_path, class__hwmon__hwmon3__oc3_event_cnt="28")
    assert box.look().throttled is True
    assert box.look().throttled is False


def test_a_pc(tmp_path: Path) -> None:
    thermal(tmp_path, "cooling_device", 0, "Processor", "0")
    thermal(tmp_path, "cooling_device", 1, "intel_powerclamp", "-1")
    box = Machine(tmp_path, 0, tmp_path)
    assert box.look().throttled is False
    thermal(tmp_path, "cooling_device", 0, "Processor", "3")
    assert box.look().throttled is True


def test_too_little_room_is_a_warning_and_no_disk_is_unknown(tmp_path: Path) -> None:
    assert Machine(tmp_path, 2**70, tmp_path).look().warnings == ("disk",)
    assert Machine(tmp_path / "gone", 2**70, tmp_path).look() == MachineState(None, None, None, ())


def test_stations_may_ask_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "FRESH_S", 1.0)
    put(tmp_path, class__hwmon__hwmon0__oc1_event_cnt="0")
    box, reading, read_text = Machine(tmp_path, 0, tmp_path), threading.Barrier(2), Path.read_text

    def read_slowly(path: Path) -> str:
        if path.name == "oc1_event_cnt":
            reading.wait(20)
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", read_slowly)
    with ThreadPoolExecutor(2) as pool:
        states = list(pool.map(lambda _: box.look(), range(2)))
    assert states[0].throttled is states[1].throttled is False
