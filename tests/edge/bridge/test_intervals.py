from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.bridge.intervals import Intervals

SPAN = st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), SPAN), max_size=20), SPAN)
def test_as_a_set_of_numbers(steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]) -> None:
    intervals, numbers = Intervals(), set[int]()
    for add, (first, last) in steps:
        span = set(range(first, last + 1))
        if add:
            intervals.add(first, last)
            numbers |= span
        else:
            assert intervals.remove(first, last) == len(numbers & span)
            numbers -= span
    assert [number for first, last in intervals for number in range(first, last + 1)] == sorted(numbers)
    assert all(later > last + 1 for (_, last), (later, _) in zip(intervals, list(intervals)[1:], strict=False))
    assert intervals.total() == len(numbers)
    assert intervals.count(*asked) == len(numbers & set(range(asked[0], asked[1] + 1)))
    assert all((number in intervals) == (number in numbers) for number in range(55))
    assert list(Intervals(list(intervals))) == list(intervals)
    if numbers:
        assert intervals.last() == max(numbers)
        assert intervals.from_(min(numbers)) == min(numbers)
