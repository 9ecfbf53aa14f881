from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.fleet.waves import plan_waves


def shape(stations: int, canary: int, share: float) -> list[tuple[str, int]]:
    waves = plan_waves([f"p/l/{i}" for i in range(stations)], canary, share)
    return [(wave.name, len(wave.stations)) for wave in waves]


def test_the_waves_grow() -> None:
    assert shape(20, 1, 0.3) == [("canary", 1), ("share", 6), ("rest", 13)]
    assert shape(60, 3, 0.25) == [("canary", 3), ("share", 15), ("rest", 42)]
    assert shape(1, 1, 0.3) == [("canary", 1)]
    assert shape(2, 1, 0.3) == [("canary", 1), ("share", 1)]
    assert shape(5, 9, 0.3) == [("canary", 5)]
    assert shape(4, 1, 0.0) == [("canary", 1), ("rest", 3)]
    assert shape(4, 1, 1.0) == [("canary", 1), ("share", 3)]


@given(st.lists(st.integers(0, 99), max_size=40, unique=True), st.integers(1, 50), st.floats(0, 1))
def test_every_station_is_in_one_wave(numbers: list[int], canary: int, share: float) -> None:
    stations = [f"p/l/{number}" for number in numbers]
    waves = plan_waves(stations, canary, share)
    assert [each for wave in waves for each in wave.stations] == stations
    assert all(wave.stations for wave in waves)
