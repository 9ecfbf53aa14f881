from __future__ import annotations

from datetime import datetime, timedelta, timezone

from bridge_parts import part
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.bridge.plc_parts import PlcParts, Tally
from edge_inspect.edge.bridge.received_messages import ReceivedRegion
from edge_inspect.edge.bridge.registers import RING
from edge_inspect.edge.bridge.reorder_buffer import OrderedPart
from edge_inspect.edge.bridge.settings import DefectClass

CLASSES = [
    DefectClass(name="many", min_regions=3),
    DefectClass(name="large", min_area_px=500),
    DefectClass(name="small"),
]


def plc_parts(*, acknowledge: bool = False, tally: Tally | None = None) -> PlcParts:
    return PlcParts(tally or Tally(), CLASSES, acknowledge=acknowledge)


def add(one: PlcParts, *sequences: int) -> None:
    for sequence in sequences:
        one.add(OrderedPart(part(sequence), late=False))


def shown(one: PlcParts) -> list[int]:
    return [each.sequence for each in one.tally.ring]


def test_counts_and_classes() -> None:
    one = plc_parts()
    for regions in ((10,), (10, 600), (1, 2, 3), (), None):
        one.add(OrderedPart(part(1, ok=False, regions=regions), late=False))
    add(one, 2, 3)
    assert (one.tally.parts, one.tally.accepted, one.tally.rejected) == (7, 2, 5)
    assert one.tally.classes == [2, 1, 1, 1, 0, 0, 0, 0]
    assert [each.defect_class for each in one.tally.ring] == [3, 2, 1, 0, 0, 0, 0]
    assert [each.number for each in one.tally.ring] == list(range(1, 8))


def test_a_class_may_be_of_one_area() -> None:
    pins, many = (
        DefectClass(name="pins", area="pins", min_area_px=50),
        DefectClass(name="two", area="pins", min_regions=2),
    )
    regions = [ReceivedRegion(area_px=size, area_name=name) for size, name in ((900, "lid"), (60, "pins"), (9, None))]
    assert pins.holds(regions, 3) and not pins.holds(regions[:1] + regions[2:], 2)
    assert not many.holds(regions, 3) and many.holds([*regions, ReceivedRegion(area_px=1, area_name="pins")], 4)


def test_parts_that_were_not_found_are_a_class_of_their_own() -> None:
    lost, small = DefectClass(name="lost", reason="not_found"), DefectClass(name="small", min_regions=0)
    assert lost.holds((), 0, "not_found") and not lost.holds((), 0, "defect") and not lost.holds((), 3)
    assert small.holds((), 0, "defect") and not small.holds((), 0, "not_found")
    assert small.holds((), 0, None), "an older station sends no reason"


def test_without_acknowledgements_the_ring_has_the_newest() -> None:
    one = plc_parts()
    add(one, *range(1, 41))
    assert shown(one) == list(range(25, 41)) and one.waiting == 0


def test_with_acknowledgements_no_part_is_overwritten_before_its_time() -> None:
    one = plc_parts(acknowledge=True)
    add(one, *range(1, 41))
    assert shown(one) == list(range(1, 17)) and (one.tally.parts, one.waiting) == (16, 24)
    assert one.acknowledge(5)
    assert shown(one) == list(range(6, 22))
    assert not one.acknowledge(4) and not one.acknowledge(22) and one.acknowledge(5)
    again = plc_parts(acknowledge=True, tally=Tally.model_validate_json(one.saved().model_dump_json()))
    assert again.acknowledge(21) and again.acknowledge(37)
    assert shown(again) == list(range(25, 41)) and again.waiting == 0
    # Without acknowledgements what had waited is shown.
    rest = plc_parts(tally=Tally.model_validate_json(one.saved().model_dump_json()))
    assert shown(rest)[-1] == 40


def test_a_plc_that_never_acknowledges_costs_the_oldest() -> None:
    one = plc_parts(acknowledge=True)
    add(one, *range(1, 10_019))
    assert (one.waiting, one.tally.overruns, one.tally.parts) == (10_000, 2, 16)


@settings(deadline=None)
@given(st.integers(0, 4_000_000_000_000), st.sampled_from([0, 1, 999]))
def test_the_time_of_the_decision_is_cut_to_whole_milliseconds(milliseconds: int, more: int) -> None:
    at = datetime.fromtimestamp(0, timezone.utc) + timedelta(milliseconds=milliseconds, microseconds=more)
    one = plc_parts()
    one.add(OrderedPart(part(1).model_copy(update={"decided_at": at}), late=False))
    values = one.tally.ring[0].values()
    assert (values["decided"], values["decided_ms"]) == divmod(milliseconds, 1000)


@settings(deadline=None)
@given(st.integers(0, 200_000), st.lists(st.integers(0, 40), max_size=12))
def test_acknowledgements_survive_the_low_half_s_end(start: int, steps: list[int]) -> None:
    one = plc_parts(acknowledge=True, tally=Tally(parts=start, accepted=start, acknowledged=start))
    for step in steps:
        add(one, *range(1, step + 1))
        for _ in range(step):
            newest = one.tally.parts
            assert one.acknowledge(newest % 0x10000) and one.tally.acknowledged == newest
    assert one.waiting == 0 and one.tally.parts == start + sum(steps) == one.tally.accepted
    assert len(one.tally.ring) <= RING
