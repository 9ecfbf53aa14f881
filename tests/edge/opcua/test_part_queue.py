"""A rejected part waits for its regions, and everything behind it waits too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opcua_parts import part

from edge_inspect.edge.opcua.part_queue import HOLD_S, PartQueue


def test_an_accepted_part_is_released_at_once() -> None:
    queue = PartQueue()
    queue.take(part(1), 0.0)
    assert [each.sequence for each in queue.release(0.0)] == [1]
    assert queue.release(9.0) == []


def test_a_rejected_part_gets_its_regions() -> None:
    queue = PartQueue()
    whole = part(1, ok=False, areas=(100, 50))
    alone = whole.model_copy(update={"regions": None, "region_count": None})
    queue.take(alone, 0.0)
    queue.take(part(2), 0.0)
    assert queue.release(0.1) == []
    queue.take(whole, 0.1)
    released = queue.release(0.1)
    assert [each.sequence for each in released] == [1, 2]
    assert [region.area_px for region in released[0].regions or ()] == [100, 50]


def test_a_defect_that_never_comes_is_not_waited_for() -> None:
    queue = PartQueue()
    queue.take(part(1, ok=False, areas=None), 0.0)
    assert queue.release(HOLD_S / 2) == []
    assert [each.regions for each in queue.release(HOLD_S)] == [None]


def test_a_defect_without_its_verdict_is_a_part_of_its_own() -> None:
    queue = PartQueue()
    queue.take(part(7, ok=False), 0.0)
    assert [each.sequence for each in queue.release(0.0)] == [7]


def test_a_flood_of_rejects_without_defects_takes_bounded_memory() -> None:
    queue = PartQueue()
    for number in range(1, 1500):
        queue.take(part(number, ok=False, areas=None), 0.0)
    released = [each.sequence for each in queue.release(0.0)]
    assert released == list(range(1, len(released) + 1)) and len(released) >= 499


@given(st.lists(st.booleans(), max_size=12), st.lists(st.integers(0, 11), max_size=12))
def test_every_part_comes_out_once_and_in_order(ok: list[bool], defects: list[int]) -> None:
    queue = PartQueue()
    whole = [part(number, ok=good) for number, good in enumerate(ok, 1)]
    out = []
    for each in whole:
        queue.take(each if each.ok else each.model_copy(update={"regions": None}), 0.0)
    for at in defects:
        if at < len(whole) and not whole[at].ok and whole[at].id not in {each.id for each in out}:
            queue.take(whole[at], 0.0)
        out += queue.release(0.0)
    out += queue.release(HOLD_S)
    assert [each.id for each in out] == [each.id for each in whole]
