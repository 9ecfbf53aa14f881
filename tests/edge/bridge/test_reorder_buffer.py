from __future__ import annotations

import itertools
from typing import Any

from bridge_parts import defect, part, read, verdict
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.bridge.received_messages import ReceivedPart, StatusOrHealth
from edge_inspect.edge.bridge.reorder_buffer import OrderedPart, ReorderBuffer, SequencePosition

HOLD = 1.0


def buffer(**fields: Any) -> ReorderBuffer:
    return ReorderBuffer(SequencePosition(**fields), HOLD)


def numbers(found: list[OrderedPart]) -> list[int]:
    return [delivery.part.sequence for delivery in found]


def take(one: ReorderBuffer, *sequences: int, now: float = 0.0) -> list[int]:
    return [number for sequence in sequences for number in numbers(one.take(part(sequence), now))]


def test_repeats_are_dropped_and_the_first_that_comes_is_the_beginning() -> None:
    one = buffer()
    first, second = part(7), part(8)
    assert [numbers(one.take(taken, 0.0)) for taken in (first, first, second, first)] == [[7], [], [8], []]
    assert (one.repeats, one.resets, one.missing.total()) == (2, 0, 0)


def test_a_gap_that_closes_in_time_keeps_the_order() -> None:
    one = buffer()
    parts = {sequence: part(sequence) for sequence in range(1, 6)}
    assert numbers(one.take(parts[1], 0.0)) == [1]
    assert one.take(parts[4], 0.1) == [] and list(one.missing) == [(2, 3)]
    assert one.take(parts[2], 0.2) == [OrderedPart(parts[2], late=False)]
    assert one.take(parts[3], 0.3) == [OrderedPart(parts[3], late=False), OrderedPart(parts[4], late=False)]


def test_no_part_waits_longer_than_it_may_and_the_missing_come_late() -> None:
    one = buffer()
    parts = {sequence: part(sequence) for sequence in range(1, 10)}
    one.take(parts[1], 0.0)
    one.take(parts[4], 10.0)
    one.take(parts[3], 10.9)
    assert one.release(10.99) == []
    assert numbers(one.release(11.0)) == [3, 4]
    assert one.take(parts[2], 12.0) == [OrderedPart(parts[2], late=True)]
    assert one.take(parts[2], 12.0) == [] and one.missing.total() == 0 and one.repeats == 1


def test_a_rejected_part_waits_for_its_defect_but_not_for_ever() -> None:
    one = buffer()
    bad, worse = verdict(1, ok=False), verdict(2, ok=False)
    assert one.take(read(bad), 0.0) == []
    assert (one.missing.total(), one.absent) == (1, 0)
    assert [len(found.part.regions or ()) for found in one.take(read(defect(bad, 5, 6)), 0.1)] == [2]
    assert one.take(read(worse), 0.2) == []
    assert [found.part.regions for found in one.release(1.2)] == [None]
    assert one.take(read(defect(worse, 5)), 1.3) == []
    assert one.missing.total() == 0


def test_a_defect_alone_is_the_part() -> None:
    one = buffer()
    bad = verdict(1, ok=False)
    assert numbers(one.take(read(defect(bad, 5)), 0.0)) == [1]
    assert one.take(read(bad), 0.0) == [] and one.repeats == 1


def test_a_late_rejected_part_does_not_stop_the_others() -> None:
    one = buffer()
    late, on_time = verdict(2, ok=False), part(4)
    take(one, 1)
    one.take(part(3), 0.0)
    assert numbers(one.release(1.0)) == [3]
    assert one.take(read(late), 1.1) == []
    assert numbers(one.take(on_time, 1.2)) == [4]
    assert one.take(read(defect(late, 3)), 1.3)[0].late


def test_a_count_that_begins_anew_is_followed_from_part_1() -> None:
    one = buffer()
    old = [part(sequence) for sequence in (100, 101, 104)]
    for taken in old:
        one.take(taken, 0.0)
    again = part(3)
    assert numbers(one.take(again, 0.1)) == [104]
    assert (one.resets, one.lost, list(one.missing)) == (1, 2, [(1, 2)])
    assert numbers(one.release(1.1)) == [3]
    # What is left in a broker of the time before is no third count.
    assert one.take(again, 1.2) == [] and one.resets == 1


def test_a_clock_that_was_set_back_is_no_new_count_but_another_boot_is() -> None:
    one = buffer()
    early, late = part(2, boot_id="second"), part(1, boot_id="first")
    assert late.id > early.id
    assert numbers([*one.take(late, 0.0), *one.take(early, 0.0)]) == [1, 2]
    assert take(one, 3) == [3] and one.resets == 0
    stale = ReceivedPart(**{**dict(part(2, boot_id="third")), "id": early.id})
    assert numbers(one.take(stale, 0.0)) == [] and one.resets == 1 and list(one.missing) == [(1, 1)]


def test_a_new_outbox_is_noticed_though_the_clock_was_set_back() -> None:
    one = buffer()
    again = [part(sequence) for sequence in (1, 2)]  # ids of before those that follow, and of the same boot
    take(one, 7, 8, 9)
    one.announce(StatusOrHealth(boot_id="b", sequence=9), retained=False)
    assert [found for message in again for found in one.take(message, 0.0)] == [] and one.resets == 0
    one.announce(StatusOrHealth(boot_id="b", sequence=2), retained=False)
    assert (one.resets, one.next, one.behind) == (1, 1, 2)
    assert [number for message in again for number in numbers(one.take(message, 0.0))] == [1, 2]
    one.announce(StatusOrHealth(boot_id="b", sequence=2), retained=False)
    assert one.resets == 1


def test_a_health_that_is_slower_than_the_parts_is_no_new_count() -> None:
    one = buffer()
    for newest in range(1, 60, 3):
        take(one, newest, newest + 1, newest + 2)
        # Made before the last two parts were, and heard after them.
        one.announce(StatusOrHealth(boot_id="b", sequence=newest), retained=False)
        one.announce(StatusOrHealth(boot_id="b", sequence=newest, state="online"), retained=False)
    assert one.resets == 0


def test_parts_of_many_boots_that_another_subscriber_has_sent_again_are_repeats() -> None:
    one = buffer()
    made = [part(sequence, boot_id=f"boot {sequence // 4}") for sequence in range(1, 200)]
    # It has followed the station since part 40.
    handed = [found for message in made[39:] for found in one.take(message, 0.0)]
    assert numbers(handed) == list(range(40, 200))
    one = ReorderBuffer(SequencePosition.model_validate_json(one.position.model_dump_json()), HOLD)
    assert [found for message in made for found in one.take(message, 1.0)] == []
    assert (one.resets, one.repeats, one.missing.total()) == (0, 199, 0)
    assert numbers(one.take(part(200, boot_id="boot 50"), 2.0)) == [200]


def test_a_station_that_says_less_than_it_has_sent_has_begun_anew() -> None:
    one = buffer()
    take(one, 5, 6)
    one.announce(StatusOrHealth(boot_id="b", sequence=2), retained=False)
    one.announce(StatusOrHealth(boot_id="other", sequence=2), retained=True)
    one.announce(StatusOrHealth(boot_id="other", sequence=6), retained=False)
    assert one.resets == 0
    one.announce(StatusOrHealth(boot_id="third", sequence=0), retained=False)
    assert one.resets == 1 and one.next == 1


def test_a_station_of_which_nothing_has_come_is_followed_from_its_health_on() -> None:
    one = buffer()
    # A retained count, or a status repeated with a new connection, may be of any age.
    one.announce(StatusOrHealth(boot_id="b", sequence=400), retained=True)
    one.announce(StatusOrHealth(boot_id="b", sequence=3, state="online"), retained=False)
    assert one.behind == 0
    one.announce(StatusOrHealth(boot_id="b", sequence=300), retained=False)
    assert one.behind == 0
    one.announce(StatusOrHealth(boot_id="b", sequence=303), retained=False)
    assert one.behind == 3
    one = ReorderBuffer(SequencePosition.model_validate_json(one.position.model_dump_json()), HOLD)
    one.announce(StatusOrHealth(boot_id="b", sequence=303), retained=True)
    assert one.behind == 3
    parts = {sequence: part(sequence) for sequence in (301, 302, 303)}
    assert one.take(parts[302], 0.0) == [] and (one.absent, one.behind) == (1, 1)
    assert numbers([*one.take(parts[301], 0.0), *one.take(parts[303], 0.0)]) == [301, 302, 303]
    assert (one.absent, one.behind, one.resets) == (0, 0, 0)


def test_what_the_outbox_still_held_may_come_before() -> None:
    one = buffer()
    one.announce(StatusOrHealth(boot_id="b", sequence=300), retained=False)
    assert take(one, 298) == [298] and one.behind == 2
    assert take(one, 299, 300, 301) == [299, 300, 301] and (one.absent, one.behind, one.resets) == (0, 0, 0)
    # The retained health of an outbox that was replaced counts until the new one's comes.
    one.announce(StatusOrHealth(boot_id="b", sequence=5000), retained=True)
    assert one.behind == 4699
    one.announce(StatusOrHealth(boot_id="b", sequence=302), retained=False)
    assert one.behind == 1
    # Replaced before anything came.
    one = buffer()
    one.announce(StatusOrHealth(boot_id="b", sequence=300), retained=False)
    one.announce(StatusOrHealth(boot_id="other", sequence=2), retained=False)
    assert (one.behind, one.resets) == (2, 1)


def test_what_is_given_up_stays_so_but_not_what_is_here() -> None:
    one = buffer()
    take(one, 1)
    lost, bad = part(3), verdict(4, ok=False)
    one.take(read(bad), 0.0)
    assert one.give_up(0, 10) == 2 and one.lost == 2
    assert [(found.part.sequence, found.late) for found in one.release(1.0)] == [(4, False)]
    assert one.take(lost, 2.0) == [] and one.missing.total() == 0


def test_a_wild_number_is_bounded() -> None:
    one = buffer()
    any_part = part(1)
    for sequence in (1, *range(3, 21_000, 2)):
        one.take(any_part.model_copy(update={"sequence": sequence}), 0.0)
    assert len(one.missing) <= 10_000
    # The first of the gaps cannot be given up: the part is here, and waits for its defect.
    one = buffer()
    one.take(any_part, 0.0)
    one.take(any_part.model_copy(update={"sequence": 2, "ok": False, "regions": None}), 0.0)
    for sequence in range(4, 20_010, 2):
        one.take(any_part.model_copy(update={"sequence": sequence}), 0.0)
    assert 2 in one.missing
    take(one, 2**53)
    assert one.missing.total() > 2**52


@settings(deadline=None)
@given(st.data())
def test_every_part_is_handed_on_once_whatever_comes_in_which_order(data: st.DataObject) -> None:
    """Parts come shuffled, doubled and cut in two; the bridge restarts; in the end all that was lost is sent again."""
    total = data.draw(st.integers(1, 30))
    made = [verdict(sequence, ok=data.draw(st.booleans())) for sequence in range(1, total + 1)]
    messages = [one for bad in made for one in ([read(bad)] if bad.ok else [read(bad), read(defect(bad, 7))])]
    order = data.draw(st.lists(st.sampled_from(messages), max_size=60))
    one, now, found = buffer(first=1, next=1, boots={"b": 1}, newest_id="z"), 0.0, list[OrderedPart]()
    for message in order:
        now += data.draw(st.sampled_from([0.0, 0.3, 1.5]))
        found += one.take(message, now) + one.release(now)
        if data.draw(st.booleans()) and data.draw(st.booleans()):
            one = ReorderBuffer(SequencePosition.model_validate_json(one.position.model_dump_json()), HOLD)
    for message in messages:
        found += one.take(message, now + 9)
    found += one.release(now + 99)
    assert sorted(numbers(found)) == list(range(1, total + 1))
    assert one.missing.total() == one.lost == one.resets == 0
    seen = 0
    for delivery in found:
        assert delivery.late == (delivery.part.sequence < seen)
        seen = max(seen, delivery.part.sequence)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.4), st.booleans()), min_size=1, max_size=40))
def test_none_waits_longer_than_it_may(steps: list[tuple[float, bool]]) -> None:
    one, came = buffer(first=1, next=1, boots={"b": 1}, newest_id="z"), dict[int, float]()
    handed: dict[int, float] = {}
    times = list(itertools.accumulate(step for step, _ in steps))
    for sequence, (now, (_, comes)) in enumerate(zip(times, steps, strict=True), start=1):
        deliveries = one.release(now)
        if comes:
            came[sequence] = now
            deliveries += one.take(part(sequence), now)
        handed |= {delivery.part.sequence: now for delivery in deliveries}
    handed |= {delivery.part.sequence: times[-1] for delivery in one.release(times[-1] + HOLD)}
    # `release` is called at each step only, so a step may be added.
    assert came.keys() == handed.keys()
    assert all(handed[sequence] - came[sequence] <= HOLD + 0.4 for sequence in came)
