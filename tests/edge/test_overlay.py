from __future__ import annotations

import numpy as np

from edge_inspect.edge.contract.messages import Region
from edge_inspect.edge.frame.areas import Area, Areas
from edge_inspect.edge.overlay import (
    ACCEPT,
    IGNORE,
    LOOK,
    PART,
    REJECT,
    blend,
    contact_sheet,
    draw_areas,
    draw_cause,
    draw_part,
    draw_regions,
    heat,
)


def test_heat_goes_from_blue_to_red() -> None:
    colours = heat(np.array([[0.0, 0.5, 1.0, 9.0]], np.float32), 0.0, 1.0)[0].astype(int)
    assert colours[0, 0] > colours[0, 2] and colours[2, 2] > colours[2, 0]
    assert (colours[2] == colours[3]).all()


def test_where_the_map_is_low_the_frame_shows_in_grey() -> None:
    frame = np.zeros((4, 6, 3), np.uint8)
    frame[...] = (10, 120, 200)
    values = np.zeros((4, 6), np.float32)
    values[0, 0] = 1.0
    blended = blend(frame, values, 0.0, 1.0)
    assert (blended[1:, :, 0] == blended[1:, :, 2]).all()
    assert (blended[0, 0] != blended[1, 1]).any()


def test_the_border_says_the_verdict_and_the_frame_is_left_alone() -> None:
    frame = np.full((40, 60, 3), 7, np.uint8)
    region = Region(bbox=(10, 12, 8, 6), area_px=48, peak=1.0, centroid=(13.5, 14.5))
    rejected, accepted = draw_regions(frame, [region], ok=False), draw_regions(frame, [], ok=True)
    assert tuple(rejected[0, 0]) == REJECT and tuple(accepted[0, 0]) == ACCEPT
    assert tuple(rejected[12, 10]) == tuple(rejected[17, 17]) == REJECT and tuple(rejected[14, 13]) == (7, 7, 7)
    assert (frame == 7).all()


def test_a_caption_of_any_bytes_is_written() -> None:
    picture = np.full((40, 60, 3), 90, np.uint8)
    sheets = [contact_sheet([(caption, [picture])], height=40) for caption in ("\udcff.png", "\\xff.png", "")]
    assert np.array_equal(sheets[0], sheets[1])
    assert not np.array_equal(sheets[1], sheets[2])


def test_a_contact_sheet_holds_every_picture() -> None:
    pictures = [np.full((30 + i, 50, 3), 40 * i, np.uint8) for i in range(5)]
    sheet = contact_sheet([(str(i), [p, p]) for i, p in enumerate(pictures)], height=60, columns=2)
    found = {int(value) for value in np.unique(sheet)}
    assert {0, 40, 80, 120, 160} <= found
    assert sheet.shape[0] >= 3 * 60 and sheet.shape[1] >= 4 * 80


def test_areas_are_outlined_and_the_rest_is_darker() -> None:
    frame = np.full((120, 160, 3), 100, np.uint8)
    areas = Areas(
        size=(160, 120),
        look=(Area(name="Stift ä", rings=(((20, 20), (120, 20), (120, 100), (20, 100)),)),),
        ignore=(Area(name="lamp", rings=(((60, 50), (80, 50), (80, 70), (60, 70)),)),),
    )
    drawn = draw_areas(frame, areas)
    assert (drawn[5, 5] == 50).all() and (drawn[60, 70] == 50).all() and (drawn[90, 100] == 100).all()
    assert tuple(drawn[60, 20]) == LOOK and tuple(drawn[60, 80]) == IGNORE
    assert (frame == 100).all()
    moved = draw_areas(frame, areas, np.array([[1.0, 0, 15], [0, 1, -5]]))
    assert tuple(moved[55, 35]) == LOOK and tuple(moved[55, 95]) == IGNORE and (moved[5, 5] == 50).all()


def test_the_part_is_outlined_where_it_was_found_and_a_cause_is_written() -> None:
    frame = np.full((120, 160, 3), 100, np.uint8)
    drawn = draw_part(frame, (20, 30, 41, 31), np.array([[0.0, 1, 10], [-1, 0, 110]]))
    assert tuple(drawn[90, 55]) == PART and tuple(drawn[70, 40]) == PART, "turned by a quarter"
    assert (draw_cause(frame, "not found: absent") != frame).any() and (frame == 100).all()
