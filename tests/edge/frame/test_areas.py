"""Areas of the frame, and the pixels that they mean."""

from __future__ import annotations

import numpy as np
import pytest

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.areas import Area, Areas

SQUARE = ((10, 10), (29, 10), (29, 29), (10, 29))
SIZE = (64, 48)


def test_a_polygon_holds_the_pixels_on_its_line() -> None:
    mask = Area(name="a", rings=(SQUARE,)).mask(SIZE)
    assert mask.shape == (48, 64) and mask.dtype == np.uint8
    expected = np.zeros((48, 64), bool)
    expected[10:30, 10:30] = True
    assert np.array_equal(mask > 0, expected)


def test_a_ring_inside_another_is_a_hole() -> None:
    hole = ((15, 15), (24, 15), (24, 24), (15, 24))
    mask = Area(name="a", rings=(SQUARE, hole)).mask(SIZE) > 0
    assert mask[12, 12] and not mask[20, 20] and mask[15, 15], "a hole's line belongs to what surrounds it"


def test_areas_come_back_from_plain_values() -> None:
    areas = Areas(size=SIZE, look=(Area(name="a", rings=(SQUARE,), scale=1.5),))
    assert Areas.from_dict(areas.as_dict()) == areas


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": [0, 48]}, "areas: size.0"),
        ({"size": [10**6, 48]}, "areas: size.0"),
        ({"look": [{"name": "a", "rings": [[[1, 1], [2, 2]]]}]}, "areas: look.0.rings.0"),
        ({"look": [{"name": "a", "rings": [SQUARE], "scale": 0}]}, "areas: look.0.scale"),
        ({"ignore": [{"name": "a", "rings": [SQUARE]}]}, "a: two areas have this name"),
        ({"ignore": [{"name": "b", "rings": [[[100, 100], [120, 100], [120, 120]]]}]}, "b: lies outside a picture"),
        ({"ignore": [{"name": "b", "rings": [SQUARE]}]}, "nothing is left to look at"),
    ],
)
def test_wrong_plain_values_are_named(change: dict[str, object], told: str) -> None:
    fields = {"size": list(SIZE), "look": [{"name": "a", "rings": [SQUARE]}]}
    with pytest.raises(UsageError, match=told):
        Areas.from_dict(fields | change)
