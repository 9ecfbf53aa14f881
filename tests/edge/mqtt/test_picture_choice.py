from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_parts import verdict

from edge_inspect.edge.configuration.picture_settings import PictureSettings
from edge_inspect.edge.mqtt.picture_choice import PictureChoice

GOOD, BAD = 0.3, 0.9


@pytest.mark.parametrize("share", [0.01, 0.07, 0.25, 0.5, 0.9, 1.0])
def test_the_share_is_spread_evenly(share: float) -> None:
    choice = PictureChoice(PictureSettings(share=share))
    chosen = [at for at in range(2000) if choice.wants(verdict(GOOD))]
    assert abs(len(chosen) - 2000 * share) <= 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(chosen)]
    assert max(gaps) <= 2 / share + 1  # blocks are whole numbers of parts


def test_every_mould_of_a_line_is_seen() -> None:
    choice = PictureChoice(PictureSettings(share=0.05))
    assert {at % 10 for at in range(20_000) if choice.wants(verdict(GOOD))} == set(range(10))


@pytest.mark.parametrize("shadow", [False, True])
def test_rejects_are_chosen_also_those_that_shadow_lets_pass(shadow: bool) -> None:
    choice = PictureChoice(PictureSettings(share=0))
    wanted = [choice.wants(verdict(score, shadow=shadow)) for score in (GOOD, BAD, BAD, GOOD)]
    assert wanted == [False, True, True, False]
    assert choice.wants(verdict(0.0, not_found="absent", shadow=shadow))


def test_without_rejects_they_count_as_any_other_part() -> None:
    choice = PictureChoice(PictureSettings(rejects=False, share=0.1))
    assert sum(choice.wants(verdict(BAD)) for _ in range(100)) in (9, 10, 11)


@given(
    st.floats(0.05, 50),
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_no_window_of_time_has_more_pictures_than_the_bound_allows(per_second: float, pauses: list[float]) -> None:
    now = [0.0]
    choice = PictureChoice(PictureSettings(per_second=per_second), clock=lambda: now[0])
    taken = []
    for pause in pauses:
        now[0] += pause
        if choice.has_room():
            taken.append(now[0])
    for number, start in enumerate(taken):
        within = [at for at in taken[number:] if at < start + max(1.0, 1 / per_second) - 1e-9]
        assert len(within) <= max(1, per_second + 1)
        if per_second >= 1 and per_second == int(per_second):
            assert len(within) <= per_second
    assert taken[0] == pauses[0]


def test_two_a_second_are_two_a_second() -> None:
    now = [100.0]
    choice = PictureChoice(PictureSettings(per_second=2), clock=lambda: now[0])
    taken = []
    for tick in range(1000):
        now[0] = 100 + tick / 100
        if choice.has_room():
            taken.append(now[0])
    assert len(taken) == 20
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in zip(taken, taken[2:], strict=False))
