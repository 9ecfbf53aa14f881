"""The parts of tests/benchmarks/runtime.py that decide what its tables say: intervals, pairing by round, and turns."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
with patch.object(sys, "path", [str(BENCHMARKS), *sys.path]):
    import rounds
    import runtime_report
    import runtime_turns


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng, draws = np.random.default_rng(3), 2000
    for count in (5, 9, 20):
        inside = 0
        for _ in range(draws):
            found = rounds.median(rng.exponential(size=count).tolist())
            inside += found.low <= np.log(2) <= found.high
        assert inside / draws >= rounds.CONFIDENCE - 0.02, count
    assert rounds.median([5.0, 1, 2, 4, 3]) == (3, 1, 5)
    assert rounds.median([9.0, 1, 2, 3, 4, 5, 6, 7, 8]) == (5, 2, 8), "narrower than all values where that is enough"


def test_ratios_are_of_the_same_round() -> None:
    """A machine that is half as fast in one round changes no ratio."""
    assert rounds.ratios([2.0, 4, 2, 2, 2], [8.0, 16, 8, 8, 8]) == (0.25, 0.25, 0.25)


def turn(system: str, number: int, task: str, **fields: Any) -> dict[str, Any]:
    return {"size": 256, "round": number, "system": system, "task": task, **fields}


@pytest.fixture
def turns() -> list[dict[str, Any]]:
    """Five rounds, of which the third is on a machine that is half as fast."""
    made = []
    for number in range(5):
        slow = 2.0 if number == 2 else 1.0
        for system, ms in (("anomalib", 12.0), ("edge int8", 4.0), ("bare int8", 3.75)):
            made.append(turn(system, number, "latency", ms=[ms * slow] * 10, cpu_s=ms * slow / 50))
            for count in (1, 2, 4):
                fps = 1000 / ms / slow * (1.5 if count > 1 else 1)
                made.append(turn(system, number, "throughput", in_flight=count, fps=fps, cpu_s_per_1000=ms))
        made.append(turn("streams int8", number, "throughput", in_flight=4, fps=500 / slow, cpu_s_per_1000=3))
        made.append(turn("anomalib", number, "start", first_s=4.0 * slow, peak_mb=1000.0))
        made.append(turn("edge int8", number, "start", first_s=0.8 * slow, peak_mb=250.0))
        served = {
            "fps": 450 / slow,
            "cpu_s_per_1000": 4.0,
            "peak_mb": 200.0,
            "paced_mb": 150.0,
            "first_s": 1.0 * slow,
            "with_trial_s": 4.0 * slow,
        }
        made.append(turn("service", number, "stations", stations=2, precision="int8", **served))
    return made


def test_a_row_compares_with_the_peer_and_with_the_floor(turns: list[dict[str, Any]]) -> None:
    rows = {row["system"]: row for row in runtime_report.system_rows(turns)}
    ours = rows["edge int8"]
    assert (ours["frames"], ours["rounds"], ours["p50_ms"], ours["p99_ms"]) == (50, 5, 4, 8)
    assert [ours[f"p50_ratio{end}"] for end in ("", "_low", "_high")] == [0.333] * 3
    assert (ours["over_floor_ms"], ours["over_floor_ms_high"], ours["over_floor"]) == (0.25, 0.5, 1.07)
    assert (ours["fps_1"], ours["fps_2"], ours["fps_ratio"]) == (250, 375, 3)
    assert (ours["peak_mb_ratio"], ours["first_s_ratio"], ours["cpu_s_per_1000"]) == (0.25, 0.2, 8)
    assert "p50_ratio" not in rows["anomalib"] and "p50_ms" not in rows["streams int8"]


def test_the_service_is_compared_with_the_best_of_the_floor(turns: list[dict[str, Any]]) -> None:
    (row,) = runtime_report.station_rows(turns)
    assert (row["stations"], row["fps"], row["of_floor"], row["of_floor_low"]) == (2, 450, 0.9, 0.9)
    assert (row["fps_ratio"], row["peak_mb_ratio"], row["first_s_ratio"]) == (3.6, 0.2, 0.25)


def test_tables_and_picture_are_written_and_shown(
    turns: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, file in (("TABLE", "a.csv"), ("STATIONS", "b.csv"), ("PICTURE", "c.svg")):
        monkeypatch.setattr(runtime_report, name, tmp_path / file)
    runtime_report.report({"about": {"processor": "some"}, "turns": turns})
    said = capsys.readouterr().out.splitlines()
    assert len({line.count("|") for line in said[:6]}) == 1, "every line of the first table has all its columns"
    assert "| 256 | edge int8 | 4.0 | 8.0 | 8.0 | 0.333 (0.333 to 0.333) | 0.25 (0.25 to 0.5) |" in said[3]
    assert "some" in (tmp_path / "a.csv").read_text() and "0.9,0.9,0.9" in (tmp_path / "b.csv").read_text()
    drawn = ElementTree.parse(tmp_path / "c.svg").getroot()
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))) == 3 + 3 + 2 + 2


class Counted:
    """A system that says which frames it was given, and with how many under way."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.in_flight: set[int] = set()

    def read(self, path: Path) -> Any:
        return path.stem

    def judge(self, frame: Any) -> bool:
        self.given.append(frame)
        return True

    def stream(self, frames: Iterable[Any], in_flight: int) -> Iterator[bool]:
        self.in_flight.add(in_flight)
        return map(self.judge, frames)


def test_a_turn_has_at_least_its_frames_and_times_each() -> None:
    system, frames = Counted(), list("abcd")
    latency = runtime_turns.latency(system, frames, 0.0)
    assert len(latency["ms"]) == runtime_turns.LEAST and min(latency["ms"]) >= 0 and latency["cpu_s"] >= 0
    assert system.given == [*"abc", *"abcdabcdab"], "some to warm up, then all pictures in turn"
    done = runtime_turns.throughput(system, frames, 0.0, in_flight=2)
    assert done["fps"] > 0 and system.in_flight == {2}
    assert runtime_turns.memory(system, frames, 2)["peak_mb"] > 10
