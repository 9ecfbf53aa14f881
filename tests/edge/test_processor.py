"""The processor in words: equal on boxes of one kind, different where speed may differ."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_inspect.edge import processor

XEON = """processor\t: {number}
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
cpu MHz\t\t: {mhz}
flags\t\t: {flags}
"""
CORTEX = """processor\t: {number}
BogoMIPS\t: {mhz}
Features\t: {flags}
CPU implementer\t: 0x41
CPU variant\t: 0x0
CPU part\t: 0xd42
"""


@pytest.fixture
def describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def of(text: str, flags: str, mhz: float = 2700.0) -> str:
        file = tmp_path / "cpuinfo"
        file.write_text("\n".join(text.format(number=i, mhz=mhz, flags=flags) for i in range(2)))
        monkeypatch.setattr(processor, "INFORMATION", file)
        return processor.describe()

    return of


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (XEON, "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"),
        (CORTEX, "CPU implementer 0x41, CPU variant 0x0, CPU part 0xd42"),
    ],
)
def test_it_names_the_model_and_what_it_can_do(describe, text: str, model: str) -> None:
    said = describe(text, "fpu asimddp")
    assert said.startswith(f"{model}, {len(os.sched_getaffinity(0))} processors, features ")
    assert describe(text, "asimddp fpu", 800.0) == said, "neither the clock nor the order of the flags counts"
    assert describe(text, "fpu") != said


def test_a_box_without_that_file_still_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "INFORMATION", tmp_path / "none")
    assert processor.describe().startswith(f"{os.uname().machine}, ") and processor.features() == set()
