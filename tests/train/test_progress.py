"""Progress of long steps: plain lines now and then, a bar on a terminal, and a time left that can be believed."""

from __future__ import annotations

import sys

import pytest

from edge_inspect.train import progress
from edge_inspect.train.progress import LINE_EVERY_S, Progress, tracked


class Clock:
    """A monotonic clock that goes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def test_a_line_comes_now_and_then_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(25, "bolts", "steps") as shown:
        for _ in range(25):
            clock.now += 1.0
            shown.step(note="loss 0.5")
    assert LINE_EVERY_S == 10.0
    assert capsys.readouterr().err.splitlines() == [
        "bolts: 10/25 steps, 15 s left, loss 0.5",
        "bolts: 20/25 steps, 5 s left, loss 0.5",
        "bolts: 25/25 steps, 0 s left, loss 0.5",
    ]


def test_steps_done_before_count_as_done_but_not_for_the_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Progress(100, "bolts", "steps", done=90)
    clock.now += 20.0
    shown.step()  # 20 s a step: nine more take 180 s
    assert capsys.readouterr().err == "bolts: 91/100 steps, 180 s left\n"


def test_several_steps_at_once_count_as_many(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(8, "bolts", "images")
    clock.now += 12.0
    shown.step(6)
    assert capsys.readouterr().err == "bolts: 6/8 images, 4 s left\n"


def test_a_terminal_has_a_bar_that_begins_where_the_work_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress(10, "bolts", "steps", done=7) as shown:
        shown.step(3, note="loss 0.5")
    said = capsys.readouterr().err
    assert "7/10" in said and "10/10" in said and "loss 0.5" in said


def test_tracked_gives_the_items_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(iter("abc"), 3, "letters", "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "letters: 3/3 letters, 0 s left\n"
