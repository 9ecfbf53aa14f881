"""The joiner against a model that knows everything: random delays, repeats of ids, missed triggers, late views."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from views_parts import BEGIN, seen

from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.views import joiner as joiner_module
from edge_inspect.edge.views.joiner import Joiner, JoinerState
from edge_inspect.edge.views.part import Part

TIMEOUT = 50
"""Milliseconds; the tests count whole milliseconds."""
WINDOW = 0.004


def make(views: int = 2, window_s: float | None = None, required: list[str] | None = None, **more: object) -> Joiner:
    names = [f"v{number}" for number in range(views)]
    state = more.pop("state", None) or JoinerState()
    assert isinstance(state, JoinerState)
    by_position = bool(more.pop("by_position", window_s is not None))
    delays = dict.fromkeys(names, 0.0)
    return Joiner(delays, required or names, by_position, window_s, TIMEOUT, state, **more)


@dataclass
class Seen:
    """A part as one view sees it: the part's number, when the verdict arrives, and what it says."""

    part: int
    view: str
    arrival: int
    message: Verdict


@dataclass
class Outcome:
    """A decided part: its views, and when it was decided."""

    part: Part
    at: int
    views: dict[str, Verdict] = field(default_factory=dict)


def run(joiner: Joiner, events: list[Seen]) -> list[Outcome]:
    """Hand over what arrives in each millisecond, then release; until nothing waits."""
    outcomes: list[Outcome] = []
    end = max((event.arrival for event in events), default=0) + 3 * TIMEOUT
    for now in range(end):
        for event in events:
            if event.arrival == now:
                joiner.take(event.view, event.message, now)
        for part, _ in joiner.release(now):
            outcomes.append(Outcome(part, now, {name: each.verdict for name, each in part.seen.items()}))
    assert joiner.waiting == 0
    return outcomes


@st.composite
def lines(draw: st.DrawFn, *, by_time: bool) -> tuple[int, int, list[Seen]]:
    """Parts on a line with some views: each view sees a part or misses it, and its verdicts arrive in its order."""
    views, parts = draw(st.integers(2, 4)), draw(st.integers(1, 12))
    pitch = draw(st.integers(12, 60))
    events: list[Seen] = []
    for number in range(views):
        arrival, sequence = 0, 0
        lag = draw(st.integers(0, 20))
        for part in range(parts):
            if not draw(st.integers(0, 5)):
                continue  # the trigger was missed, and the station does not count the part
            sequence += 1
            arrival = max(arrival, part * pitch + lag + draw(st.sampled_from((0, 0, 1, 3, 30, 70))))
            jitter = draw(st.integers(0, 3)) / 1000
            events.append(
                Seen(
                    part,
                    f"v{number}",
                    arrival,
                    seen(
                        sequence,
                        ok=draw(st.booleans()),
                        part_id=None if by_time else f"P{part}",
                        at=part * pitch / 1000 + jitter,
                    ),
                )
            )
    return views, parts, sorted(events, key=lambda event: event.arrival)


def expected_by_id(views: int, events: list[Seen]) -> list[tuple[str, dict[str, str]]]:
    """The parts in their order, each with the views that came in time and the ids of their verdicts: brute force."""
    order: list[int] = []
    for event in events:
        if event.part not in order:
            order.append(event.part)
    found: list[tuple[str, dict[str, str]]] = []
    before = -1
    for part in order:
        arrivals = {event.view: event.arrival for event in events if event.part == part}
        opened = min(arrivals.values())
        complete = max(arrivals.values()) if len(arrivals) == views else math.inf
        decided = max(before, min(complete, opened + TIMEOUT))
        before = int(decided)
        found.append((f"P{part}", {e.view: e.message.id for e in events if e.part == part and e.arrival <= decided}))
    return found


@given(lines(by_time=False))
@settings(deadline=None, max_examples=200)
def test_by_part_id_it_does_what_the_model_does(line: tuple[int, int, list[Seen]]) -> None:
    views, _, events = line
    found = run(make(views), events)
    told = [(one.part.part_id, {name: verdict.id for name, verdict in one.views.items()}) for one in found]
    assert told == expected_by_id(views, events)


@given(lines(by_time=True))
@settings(deadline=None, max_examples=200)
def test_by_position_no_wrong_views_meet_and_each_part_is_decided_once(line: tuple[int, int, list[Seen]]) -> None:
    views, _, events = line
    of = {event.message.id: event for event in events}
    found = run(make(views, WINDOW), events)
    parts = [{of[verdict.id].part for verdict in one.views.values()} for one in found]
    assert all(len(each) == 1 for each in parts), "views of two parts were joined"
    numbers = [each.pop() for each in parts]
    assert sorted(numbers) == sorted({event.part for event in events}), "a part was lost, or decided twice"
    for one, number in zip(found, numbers, strict=True):
        in_time = {e.view for e in events if e.part == number and e.arrival <= one.at}
        assert one.views.keys() == in_time and one.part.problem is None
        opened = min(e.arrival for e in events if e.part == number)
        assert one.at <= opened + TIMEOUT and (len(in_time) == views or one.at == opened + TIMEOUT)
    # A part comes after a later one only if that one could wait no longer, or was decided before the part was known.
    begun = [min(e.arrival for e in events if e.part == number) for number in numbers]
    for i, one in enumerate(found):
        for j, other in enumerate(found[:i]):
            if other.part.at > one.part.at:
                assert begun[i] > other.at or other.at == begun[j] + TIMEOUT


@given(lines(by_time=False), st.integers(0, 200))
@settings(deadline=None, max_examples=60)
def test_a_restart_goes_on_with_the_parts_that_waited(line: tuple[int, int, list[Seen]], cut: int) -> None:
    """Stored and read again at any moment: nothing is lost, nothing decided twice, and only waiting begins anew."""
    views, _, events = line
    joiner = make(views)
    stored: dict[int, str] = {}
    decided: list[str | None] = []
    for now in range(max(event.arrival for event in events) + 3 * TIMEOUT if events else 1):
        if now == cut:
            state = JoinerState.model_validate_json(joiner.state.model_dump_json())
            parts = [Part.model_validate_json(body) for body in stored.values()]
            joiner = make(views, state=state, parts=parts, now=now)
        for event in events:
            if event.arrival == now:
                joiner.take(event.view, event.message, now)
        decided += [part.part_id for part, _ in joiner.release(now)]
        for number, changed in joiner.changed.items():
            if changed is None:
                stored.pop(number, None)
            else:
                stored[number] = changed.model_dump_json()
        joiner.changed = {}
    for part, _ in joiner.release(math.inf):
        decided.append(part.part_id)
    assert sorted(decided, key=str) == sorted({f"P{event.part}" for event in events})


def test_the_second_pass_of_a_part_is_a_part_of_its_own() -> None:
    joiner = make()
    events = [
        Seen(0, "v0", 0, seen(1, part_id="A")),
        Seen(0, "v0", 1, seen(2, part_id="A")),
        Seen(0, "v1", 2, seen(1, part_id="A", ok=False)),
        Seen(0, "v1", 3, seen(2, part_id="A")),
    ]
    found = run(joiner, events)
    assert [{name: each.sequence for name, each in one.views.items()} for one in found] == [
        {"v0": 1, "v1": 1},
        {"v0": 2, "v1": 2},
    ]


def test_a_late_view_is_never_taken_for_one_of_the_next_pass() -> None:
    joiner = make()
    joiner.take("v0", seen(1, part_id="A"), 0)
    assert [sorted(part.seen) for part, _ in joiner.release(TIMEOUT)] == [["v0"]]
    joiner.take("v0", seen(2, part_id="A"), TIMEOUT + 1)
    joiner.take("v1", seen(1, part_id="A"), TIMEOUT + 2)
    assert (joiner.late, joiner.release(TIMEOUT + 3)) == (1, [])
    joiner.take("v1", seen(2, part_id="A"), TIMEOUT + 4)
    assert [sorted(part.seen) for part, _ in joiner.release(TIMEOUT + 5)] == [["v0", "v1"]]


def test_carriers_come_again_and_again() -> None:
    """A view that missed one pass is right again in the next, and a view that is a pass late joins no other pass."""
    joiner = make(2, 5.0, by_position=False)
    found: list[list[int]] = []

    def see(view: str, sequence: int, at: float, now: int) -> None:
        joiner.take(view, seen(sequence, part_id="carrier", at=at), now)
        found.extend(sorted(each.verdict.sequence for each in part.seen.values()) for part, _ in joiner.release(now))

    see("v0", 1, 0.0, 0)
    see("v0", 2, 60.0, 1000)  # v1 has missed the first pass
    see("v1", 2, 61.0, 1010)
    assert found == [[1], [2, 2]]
    see("v0", 3, 120.0, 2000)
    see("v1", 1, 1.0, 2010)  # the first pass, very late
    see("v1", 3, 121.0, 2020)
    assert (found, joiner.late) == ([[1], [2, 2], [3, 3]], 1)


def test_a_wrong_clock_does_not_keep_a_part_waiting() -> None:
    joiner = make(2, WINDOW)
    feed(joiner, "v1", 1, 3600.0, 0, boot_id="other")
    decided: list[tuple[int, float]] = []
    for number in range(10):
        feed(joiner, "v0", number + 1, 0.05 * number, 20 * number)
        decided += [(number, part.at - BEGIN.timestamp()) for part, _ in joiner.release(20 * number)]
    assert (math.ceil(TIMEOUT / 20), 3600.0) in decided


def test_a_view_without_a_part_id_is_a_part_of_its_own_and_says_why() -> None:
    joiner = make()
    joiner.take("v0", seen(1), 0)
    ((part, _),) = joiner.release(0)
    assert (part.uncertain, part.problem) == ("v0", "its verdict has no part id")
    assert joiner.changed == {1: None}


def test_views_that_need_not_come_are_not_waited_for() -> None:
    joiner = make(3, required=["v1"])
    joiner.take("v0", seen(1, part_id="A"), 0)
    assert joiner.release(1) == []
    joiner.take("v1", seen(1, part_id="A"), 2)
    assert [sorted(part.seen) for part, _ in joiner.release(2)] == [["v0", "v1"]]
    joiner.take("v2", seen(1, part_id="A"), 3)
    # Nothing more can come of it, so it is forgotten.
    assert (joiner.late, joiner.waiting, joiner.changed) == (1, 0, {1: None})
    restored = make(3, required=["v1"], state=joiner.state)
    restored.take("v2", seen(2, part_id="A"), 4)
    assert (restored.late, restored.waiting) == (0, 1)


def test_without_the_broker_no_view_is_late() -> None:
    joiner = make()
    joiner.take("v0", seen(1, part_id="A"), 0)
    joiner.wait_anew(10 * TIMEOUT)
    assert joiner.release(11 * TIMEOUT - 1) == []
    assert len(joiner.release(11 * TIMEOUT)) == 1


def test_a_view_of_a_forgotten_part_is_rejected_as_a_part_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joiner_module, "MOST_REMEMBERED", 2)
    for window, identity in ((None, "P{}"), (WINDOW, None)):
        joiner = make(2, window)
        for number in range(4):
            part_id = identity.format(number) if identity else None
            joiner.take("v0", seen(number + 1, part_id=part_id, at=float(number)), number)
        assert len(joiner.release(10 * TIMEOUT)) == 4
        for number in range(4):
            part_id = identity.format(number) if identity else None
            joiner.take("v1", seen(number + 1, part_id=part_id, at=float(number), boot_id="c"), 10 * TIMEOUT)
        assert [(part.alone, part.uncertain, part.problem) for part, _ in joiner.release(10 * TIMEOUT)] == [
            (True, "v1", "it comes so late that its part may be forgotten")
        ] * 2
        assert (joiner.late, joiner.waiting, joiner.state.out_of_step) == (4, 0, {})


def test_parts_of_a_box_whose_clock_is_behind_are_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joiner_module, "MOST_REMEMBERED", 2)
    joiner = make()
    for number in range(4):
        joiner.take("v0", seen(number + 1, part_id=f"P{number}", at=3600.0 + number), number)
    joiner.release(10 * TIMEOUT)
    joiner = make(state=JoinerState.model_validate_json(joiner.state.model_dump_json()))  # also after a restart
    joiner.take("v0", seen(5, part_id="A", at=3700.0), 10 * TIMEOUT)
    joiner.take("v1", seen(1, part_id="A", at=1.0), 10 * TIMEOUT)  # the part is known, so its clock does not matter
    joiner.take("v1", seen(2, part_id="B", at=2.0), 10 * TIMEOUT)
    found = joiner.release(10 * TIMEOUT)
    assert [(sorted(part.seen), part.alone, part.problem is None) for part, _ in found] == [
        (["v0", "v1"], False, True), (["v1"], True, False),
    ]  # fmt: skip


# By position: what shows that the times of triggers cannot be trusted.


def feed(joiner: Joiner, view: str, sequence: int, at: float, now: float, **more: object) -> None:
    joiner.take(view, seen(sequence, at=at, **more), now)


def problems(joiner: Joiner, now: float) -> list[tuple[str | None, str | None]]:
    return [(part.uncertain, part.problem and part.problem.split(":")[0]) for part, _ in joiner.release(now)]


def test_a_missed_trigger_costs_its_own_part_alone() -> None:
    joiner = make(2, WINDOW)
    sequences = {"v0": 0, "v1": 0}
    for number in range(6):
        for view in ("v0", "v1"):
            if (view, number) != ("v1", 2):
                sequences[view] += 1
                feed(joiner, view, sequences[view], number * 0.02, number * 20)
    found = joiner.release(6 * 20 + TIMEOUT)
    assert [sorted(part.seen) for part, _ in found] == [["v0", "v1"]] * 2 + [["v0"]] + [["v0", "v1"]] * 3
    assert [part.seen["v1"].verdict.sequence for part, _ in found if "v1" in part.seen] == [1, 2, 3, 4, 5]


def test_a_clock_that_was_set_back_rejects_until_a_pause() -> None:
    joiner = make(2, WINDOW)
    for number, back in ((0, 0.0), (1, 0.02), (2, 0.02)):
        feed(joiner, "v0", number + 1, number * 0.02, number)
        feed(joiner, "v1", number + 1, number * 0.02 - back, number, boot_id="other")
    # The second frame of v1 looks as if it were of the first part, and the third as if it were of the second.
    found = joiner.release(2 * TIMEOUT)
    assert {part.problem is not None for part, _ in found[1:]} == {True}
    assert found[1][0].uncertain == "v1" and "clock was set back" in str(found[1][0].problem)
    # After a pause both clocks agree again.
    feed(joiner, "v0", 4, 1.0, 10 * TIMEOUT)
    feed(joiner, "v1", 4, 1.0, 10 * TIMEOUT, boot_id="other")
    assert problems(joiner, 10 * TIMEOUT) == [(None, None)]


def test_after_a_pause_with_a_clock_that_is_still_wrong_parts_are_rejected() -> None:
    joiner = make(2, WINDOW)
    feed(joiner, "v0", 1, 0.0, 0)
    feed(joiner, "v1", 1, 0.0, 0, boot_id="other")
    joiner.leave_step("v1", "its clock was set")
    assert problems(joiner, 0) == [("v1", "it is out of step")]
    feed(joiner, "v0", 2, 5.0, 10 * TIMEOUT)
    feed(joiner, "v1", 2, 4.5, 10 * TIMEOUT, boot_id="other")
    assert problems(joiner, 11 * TIMEOUT) == [("v1", "it is out of step")] * 2


def test_views_of_one_box_share_their_clock_and_stay_in_step() -> None:
    joiner = make(2, WINDOW)
    feed(joiner, "v0", 1, 0.0, 0)
    feed(joiner, "v1", 1, 0.0, 0)
    feed(joiner, "v1", 2, 0.001, 1)  # its trigger bounced
    feed(joiner, "v0", 2, 0.02, 20)
    feed(joiner, "v1", 3, 0.02, 20)
    assert [problem for _, problem in problems(joiner, 20)] == [
        None,
        "it took a frame 0.001000 s after the one before, which is not more than twice the window",
        None,
    ]
    joiner.leave_step("v0", "its clock was set")
    assert joiner.state.out_of_step == {}


def test_a_box_that_was_rebooted_is_out_of_step() -> None:
    joiner = make(2, WINDOW)
    for number, boot, said in ((0, "first", (None, None)), (1, "second", ("v1", "it is out of step"))):
        feed(joiner, "v0", number + 1, float(number), number)
        feed(joiner, "v1", number + 1, float(number), number, boot_id=boot)
        assert problems(joiner, number) == [said]


def test_different_part_ids_show_that_views_do_not_belong_together() -> None:
    joiner = make(2, WINDOW)
    feed(joiner, "v0", 1, 0.0, 0, part_id="A")
    feed(joiner, "v1", 1, 0.001, 0, part_id="B")
    feed(joiner, "v0", 2, 1.0, 1, part_id="C")
    feed(joiner, "v1", 2, 1.001, 1)
    found = joiner.release(2 * TIMEOUT)
    assert [(part.part_id, sorted(part.seen)) for part, _ in found] == [
        ("A", ["v0"]), ("B", ["v1"]), ("C", ["v0", "v1"]),
    ]  # fmt: skip
    assert "part id 'B' differs from 'A'" in str(found[1][0].problem)


def test_a_verdict_that_fits_two_parts_is_not_guessed() -> None:
    joiner = make(3, WINDOW)
    feed(joiner, "v0", 1, 0.0, 0)
    feed(joiner, "v1", 1, 0.006, 0)
    feed(joiner, "v2", 1, 0.003, 0)
    found = joiner.release(2 * TIMEOUT)
    assert [sorted(part.seen) for part, _ in found] == [["v0"], ["v2"], ["v1"]]
    assert "fits 2 parts" in str(found[1][0].problem)


def test_a_delay_is_taken_off_the_time_of_the_frame() -> None:
    joiner = Joiner({"v0": 0.0, "v1": 0.5}, ["v0", "v1"], True, WINDOW, TIMEOUT, JoinerState())
    feed(joiner, "v0", 1, 0.0, 0)
    feed(joiner, "v0", 2, 0.1, 100)
    feed(joiner, "v1", 1, 0.501, 500)
    feed(joiner, "v1", 2, 0.601, 600)
    assert [sorted(part.seen) for part, _ in joiner.release(600)] == [["v0", "v1"]] * 2
    assert joiner.state.newest["v1"].at - BEGIN.timestamp() == pytest.approx(0.101, abs=1e-3)
