"""The watchdog, with a clock of its own: any course of events that gets on is fed, and no hang is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.health.stage import Stage
from edge_inspect.edge.health.watchdog import LADDER, Step, Watchdog

LIMIT = 10.0
NAMES = st.sampled_from(["camera", "engine", "outbox"])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(name: str, failures: int | None = None) -> tuple[Clock, Stage, Watchdog]:
    clock = Clock()
    stage = Stage("a", name, LIMIT, failures, clock)
    return clock, stage, Watchdog([stage], clock)


# Quarters of a second add up exactly; other sums may exceed the limit by rounding.
SECONDS = st.integers(0, int(4 * LIMIT)).map(lambda quarters: quarters / 4)
EVENTS = st.tuples(st.sampled_from(["work", "advance", "idle", "fail"]), SECONDS)


@given(NAMES, st.lists(EVENTS, max_size=40))
def test_a_stage_that_says_something_within_its_limit_is_never_stuck(
    name: str, events: list[tuple[str, float]]
) -> None:
    clock, stage, watchdog = make(name)
    for event, seconds in events:
        stage.idle("nothing to do")  # so that `work` begins a new piece
        getattr(stage, event)(*(["why"] if event in ("idle", "fail") else []))
        clock.now += seconds
        assert watchdog.look() == [] and watchdog.stuck == []


@given(NAMES, st.lists(st.floats(0.01, 3 * LIMIT), min_size=1, max_size=40))
def test_a_hang_is_never_fed_and_climbs_the_ladder_one_step_a_limit(name: str, waits: list[float]) -> None:
    clock, stage, watchdog = make(name)
    stage.work()
    began, taken = clock.now, []
    for wait in waits:
        before = clock.now
        clock.now += wait
        stage.work()  # said again, it is no progress
        steps = watchdog.look()
        assert len(steps) <= 1
        if clock.now - began > LIMIT:
            assert watchdog.stuck == [stage]
        else:
            assert steps == []
        for due in steps:
            assert clock.now - (taken[-1][0] if taken else began) > LIMIT
            taken.append((clock.now, due.step))
        assert before < clock.now
    assert [step for _, step in taken] == list(LADDER[stage.name])[: len(taken)]


@given(NAMES, st.floats(1, 1e7))
def test_a_declared_idleness_may_last(name: str, seconds: float) -> None:
    clock, stage, watchdog = make(name)
    stage.idle("paused")
    clock.now += seconds
    assert watchdog.look() == [] and watchdog.stuck == []
    stage.work()
    clock.now += LIMIT
    assert watchdog.look() == []
    clock.now += 0.1
    assert [due.step for due in watchdog.look()] == [LADDER[stage.name][0]]


def test_every_ladder_ends_with_the_process() -> None:
    assert all(ladder[-1] is Step.EXIT for ladder in LADDER.values())
    assert LADDER["camera"][0] is Step.REOPEN and LADDER["engine"][0] is Step.REBUILD


def test_progress_begins_the_ladder_anew() -> None:
    clock, stage, watchdog = make("camera")
    stage.work()
    clock.now += LIMIT + 1
    assert [due.step for due in watchdog.look()] == [Step.REOPEN]
    clock.now += LIMIT / 2
    assert watchdog.look() == [] and watchdog.stuck == [stage]
    stage.advance()
    assert watchdog.look() == [] and watchdog.stuck == []
    clock.now += LIMIT + 1
    assert [due.step for due in watchdog.look()] == [Step.REOPEN]


def test_a_camera_that_only_answers_is_left_alone_but_not_after_it_hung() -> None:
    clock, stage, watchdog = make("camera")
    for _ in range(100):  # unplugged
        stage.work()
        stage.fail("no such device")
        clock.now += LIMIT / 2
        assert watchdog.look() == [] and watchdog.stuck == []
    stage.work()
    clock.now += LIMIT + 1
    assert [due.step for due in watchdog.look()] == [Step.REOPEN]
    said = []
    for _ in range(5):  # the driver that hangs still holds it
        stage.work()
        stage.fail("device or resource busy")
        clock.now += LIMIT / 2
        said += [due.step for due in watchdog.look()]
        assert watchdog.stuck == [stage]
    assert said == [Step.EXIT]


def test_an_engine_that_fails_on_every_part_is_built_again() -> None:
    clock, stage, watchdog = make("engine", failures=3)
    for count in range(1, 4):
        stage.work()
        stage.fail("device lost")
        clock.now += 0.1
        assert [due.step for due in watchdog.look()] == ([Step.REBUILD] if count == 3 else [])
    clock.now += LIMIT + 1
    assert [due.step for due in watchdog.look()] == [Step.EXIT]


def test_one_failure_among_parts_is_none() -> None:
    clock, stage, watchdog = make("engine", failures=3)
    for i in range(20):
        stage.work()
        if i % 3:
            stage.advance()
        else:
            stage.fail("a map is not finite")
        assert watchdog.look() == []


def test_a_thread_that_died_at_its_work_is_found() -> None:
    clock, stage, watchdog = make("camera")
    try:
        with stage.idling("waits"):
            raise KeyError("a mistake")
    except KeyError:
        pass
    clock.now += LIMIT + 1
    assert [due.step for due in watchdog.look()] == [Step.REOPEN]
    assert stage.health().state == "stuck"


def test_one_stage_that_hangs_does_not_hide_another() -> None:
    clock = Clock()
    stages = [Stage("a", "camera", LIMIT, clock=clock), Stage("b", "engine", LIMIT, clock=clock)]
    watchdog = Watchdog(stages, clock)
    for stage in stages:
        stage.work()
    clock.now += LIMIT + 1
    assert [(str(due.stage), due.step) for due in watchdog.look()] == [
        ("a: camera", Step.REOPEN),
        ("b: engine", Step.REBUILD),
    ]
    stages[0].advance()
    watchdog.look()
    assert watchdog.stuck == [stages[1]]
