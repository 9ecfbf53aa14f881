"""Parts that do not lie still: found exactly, or refused with the cause; and the matrices there and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moved_parts import (
    BRACKET,
    FLANGE,
    MIDDLE,
    Frame,
    Part,
    bracket,
    defocused,
    drawn,
    errors,
    flanges,
    glare,
    noisy,
    other_product,
    slanted,
)

from edge_inspect.edge.demo.defects import DEFECTS
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.alignment import Aligner, Alignment
from edge_inspect.edge.frame.pose import Pose

PIXELS, DEGREES = 0.5, 0.3


@pytest.fixture(scope="module")
def flange() -> Aligner:
    return Aligner(Alignment("rigid", flanges(0), FLANGE))


def assert_found(aligner: Aligner, frame: Frame, part: Part) -> Pose:
    pose = aligner.find(frame)
    pixels, degrees = errors(pose, part)
    assert pose.found and pose.detail is None, pose
    assert pixels <= PIXELS and degrees <= DEGREES, (pose, part)
    return pose


def assert_refused(aligner: Aligner, frame: Frame, *details: str) -> None:
    pose = aligner.find(frame)
    assert not pose.found and pose.detail in details, pose


@pytest.mark.parametrize("defect", [None, *DEFECTS])
def test_a_part_is_found_with_and_without_a_defect_wherever_it_may_lie(flange: Aligner, defect: str | None) -> None:
    rng = np.random.default_rng(7)
    for seed in range(8):
        part = drawn(rng, defect=defect)
        assert_found(flange, flanges(100 + seed, (part,)), part)


@pytest.mark.parametrize(
    "part", [Part((95, 71), 4), Part((-95, -71), -4), Part((95, -60), 19.9), Part((-90, 0), -19.9), Part((0, 0), 0)]
)
def test_a_part_is_found_at_the_limits(flange: Aligner, part: Part) -> None:
    assert_found(flange, flanges(3, (part,)), part)


@pytest.mark.parametrize("lamp", [0.5, 0.8, 1.3, 1.6])
def test_the_light_does_not_move_a_part(flange: Aligner, lamp: float) -> None:
    part = Part((-31.3, 22.8), 9.4)
    assert_found(flange, flanges(4, (part,), lamp), part)
    assert_found(flange, slanted(flanges(4, (part,), lamp), 0.6, -0.5), part)
    assert_found(flange, noisy(flanges(4, (part,), lamp), 15, 1), part)


def test_the_reference_lies_where_it_lies(flange: Aligner) -> None:
    pose = assert_found(flange, flanges(0), Part())
    assert np.hypot(*pose.shift) < 0.1 and abs(pose.angle) < 0.02 and pose.confidence > 0.95


def test_an_aligned_frame_looks_like_one_that_was_not_moved(flange: Aligner) -> None:
    still = Aligner(Alignment("rigid", flanges(0), FLANGE))
    for seed, part in enumerate((Part((60, -40), 15), Part((-80, 20), -18), Part((5.5, 6.25), 1))):
        moved = flanges(500 + seed, (part,))
        aligned = flange.align(moved, flange.find(moved))
        assert aligned.shape == moved.shape and aligned.dtype == np.uint8
        assert_found(still, aligned, Part())


def test_what_the_frame_does_not_show_is_the_references(flange: Aligner) -> None:
    reference = flange.alignment.reference
    part = Part((60.0, 75.0), -15.0)
    aligned = flange.align(flanges(5, [part]), part_pose := flange.find(flanges(5, [part])), FLANGE)
    x, y, width, height = FLANGE
    at = np.stack(np.meshgrid(np.arange(x, x + width), np.arange(y, y + height), [1.0]), axis=-1)[:, :, 0]
    across, down = np.moveaxis(at @ part_pose.to_frame.T, -1, 0)
    outside = (across < 0) | (across > 639) | (down < 0) | (down > 479)
    inside = (across > 0.5) & (across < 638.5) & (down > 0.5) & (down < 478.5)
    assert outside.any() and inside.mean() > 0.9
    seen, wanted = aligned[y : y + height, x : x + width], reference[y : y + height, x : x + width]
    assert (seen[outside] == wanted[outside]).all()
    assert (seen[inside] != wanted[inside]).mean() > 0.5


@pytest.mark.parametrize("region", [(140, 60, 360, 360), (0, 0, 640, 480), (600, 440, 40, 40)])
def test_a_region_alone_is_aligned_as_the_whole_frame_is(flange: Aligner, region: tuple[int, int, int, int]) -> None:
    frame = flanges(3, (Part((50, -20), 7),))
    pose = flange.find(frame)
    whole, part = flange.align(frame, pose), flange.align(frame, pose, region)
    x, y, width, height = region
    inside = np.zeros(frame.shape[:2], bool)
    inside[y : y + height, x : x + width] = True
    assert np.abs(whole[inside].astype(int) - part[inside]).max() <= 1 and not part[~inside].any()


def test_an_empty_belt_has_no_part(flange: Aligner) -> None:
    for seed in range(6):
        assert_refused(flange, flanges(seed, ()), "absent")
    assert_refused(flange, np.zeros((480, 640, 3), np.uint8), "absent")
    assert_refused(flange, np.full((480, 640, 3), 127, np.uint8), "absent")
    assert_refused(flange, np.full((480, 640, 3), 255, np.uint8), "glare")
    assert_refused(flange, noisy(np.full((480, 640, 3), 127, np.uint8), 40, 2), "absent")


@pytest.mark.parametrize("kind", ["disc", "plate", "small", "narrow", "ring"])
def test_another_product_is_not_the_part(flange: Aligner, kind: str) -> None:
    for seed, part in enumerate((Part(), Part((30, -20), 12), Part((-60, 40), -7))):
        assert_refused(flange, other_product(seed, kind, part), "absent", "unclear", "outside")


@pytest.mark.parametrize("angle", [180, 175, -163, 195])
def test_a_part_upside_down_is_told_by_its_label(flange: Aligner, angle: float) -> None:
    for seed, lamp in ((1, 1.0), (2, 0.6), (3, 1.5)):
        assert_refused(flange, flanges(seed, (Part((20, -30), angle),), lamp), "upside_down")


@pytest.mark.parametrize("angle", [90, -85, 24, -30, 45, 60])
def test_a_part_that_is_turned_too_far_is_refused(flange: Aligner, angle: float) -> None:
    assert_refused(flange, flanges(5, (Part((-25, 15), angle),)), "turned")


@pytest.mark.parametrize("shift", [(250, 0), (-260, 30), (0, 175), (20, -190), (120, 0), (0, -85)])
def test_a_part_outside_is_refused(flange: Aligner, shift: tuple[float, float]) -> None:
    assert_refused(flange, flanges(6, (Part(shift, 8),)), "outside")


@pytest.mark.parametrize("second", [(-240, 20), (-255, -50), (-228, 60)])
def test_two_parts_are_refused(flange: Aligner, second: tuple[float, float]) -> None:
    assert_refused(flange, flanges(7, (Part((80, -10), 5), Part(second, -12))), "several")


def test_a_part_under_glare_is_found_rightly_or_refused(flange: Aligner) -> None:
    details = set()
    for seed, radius in enumerate((20, 50, 80, 110, 140)):
        part = Part((20, -10), 6)
        pose = flange.find(glare(flanges(seed, (part,)), (350, 220), radius))
        details.add(pose.detail)
        assert not pose.found or max(errors(pose, part)) <= 2 * PIXELS
    assert details <= {None, "glare", "unclear"} and "glare" in details


def test_a_part_out_of_focus_is_found_rightly_or_refused(flange: Aligner) -> None:
    for sigma in (2, 4, 8, 16):
        part = Part((-40, 25), -11)
        pose = flange.find(defocused(flanges(8, (part,)), sigma))
        assert not pose.found or max(errors(pose, part)) <= 4 * PIXELS
        assert pose.found or sigma > 2


def test_a_part_upside_down_with_its_label_hidden_is_refused(flange: Aligner) -> None:
    for number, at in enumerate(((320, 362), (320, 118))):  # the labels of a flange that was turned by half a turn
        frame = glare(flanges(9, (Part((0, 0), 180),)), at, 40)
        assert not flange.find(frame).found, number


def test_where_two_poses_are_allowed_the_label_decides() -> None:
    aligner = Aligner(Alignment("rigid", flanges(0), FLANGE, turn=45))
    for seed, angle in enumerate((44, -44, 38, -35, 10)):
        part = Part((20, -15), angle)
        pose = aligner.find(flanges(40 + seed, (part,)))
        assert pose.found and max(errors(pose, part)) <= 2 * PIXELS, (pose, angle)


@pytest.mark.parametrize("part", [Part(), Part((60, 45), 14), Part((-70, -50), -19)])
def test_an_asymmetric_part_of_low_contrast_is_found(part: Part) -> None:
    aligner = Aligner(Alignment("rigid", bracket(1, Part(), contrast=40), BRACKET))
    assert_found(aligner, bracket(2, part, contrast=30), part)
    assert_refused(aligner, bracket(3), "absent", "unclear")
    assert_refused(aligner, bracket(4, part._replace(angle=part.angle + 180), contrast=30), "upside_down")


def test_mode_shift_finds_a_shift_and_no_turn() -> None:
    aligner = Aligner(Alignment("shift", flanges(0), FLANGE))
    for seed, shift in enumerate(((90, 60), (-55.5, 20.25), (0, -70))):
        pose = assert_found(aligner, flanges(20 + seed, (Part(shift),)), Part(shift))
        assert pose.angle == 0
    assert_refused(aligner, flanges(23, (Part((10, 10), 180),)), "upside_down")
    assert_refused(aligner, flanges(24, (Part((10, 10), 12),)), "turned")
    assert_refused(aligner, flanges(25, ()), "absent")


@pytest.mark.parametrize("shape", [(480, 641, 3), (481, 640, 3), (240, 320, 3)])
def test_a_frame_of_another_size_is_refused(flange: Aligner, shape: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match=f"{shape[1]}x{shape[0]} pixels cannot be aligned.*640x480"):
        flange.find(np.zeros(shape, np.uint8))
    with pytest.raises(UsageError, match="cannot be aligned"):
        flange.align(np.zeros(shape, np.uint8), Pose(shift=(1.0, 2.0)))


@pytest.mark.parametrize("size", [(321, 243), (1280, 961), (150, 113)])
def test_frames_of_any_size_are_aligned(size: tuple[int, int]) -> None:
    factors = np.array([size[0] / 640, size[1] / 480])
    part = Part((40, -24), 0)
    still, moved = (
        cv2.resize(flanges(n, (p,)), size, interpolation=cv2.INTER_AREA) for n, p in ((0, Part()), (1, part))
    )
    x, y = (np.array(FLANGE[:2]) * factors).astype(int).tolist()
    width, height = (np.array(FLANGE[2:]) * factors).astype(int).tolist()
    pose = Aligner(Alignment("rigid", still, (x, y, width, height))).find(moved)
    assert pose.found and np.hypot(*(np.array(pose.shift) - factors * part.shift)) <= max(PIXELS, 0.5 * factors[0])


def test_a_part_without_edges_or_with_edges_of_one_direction_is_refused() -> None:
    plain = np.full((240, 320, 3), 90, np.uint8)
    with pytest.raises(UsageError, match="part: only 0 pixels.*edges"):
        Aligner(Alignment("rigid", plain, (40, 40, 100, 100)))
    striped = plain.copy()
    striped[:, 150:170] = 200
    with pytest.raises(UsageError, match="one direction"):
        Aligner(Alignment("shift", striped, (100, 0, 120, 240)))
    disc = plain.copy()
    cv2.circle(disc, (160 * 16 - 8, 120 * 16 - 8), 60 * 16, (220, 220, 220), cv2.FILLED, cv2.LINE_AA, 4)
    with pytest.raises(UsageError, match="however it is turned; use --align shift"):
        Aligner(Alignment("rigid", disc, (90, 50, 140, 140)))
    assert Aligner(Alignment("shift", disc, (90, 50, 140, 140))).find(disc).found


@given(
    st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
    st.floats(-180, 180),
    st.tuples(st.floats(0, 640), st.floats(0, 480)),
)
@settings(max_examples=50, deadline=None)
def test_the_parts_middle_is_shifted(shift: tuple[float, float], angle: float, centre: tuple[float, float]) -> None:
    pose = Pose(shift=shift, angle=angle, centre=centre)
    assert pose.to_frame @ (*centre, 1.0) == pytest.approx(np.add(centre, shift), abs=1e-9)


def test_angles_are_counted_as_opencv_counts_them() -> None:
    pose = Pose(angle=30.0, centre=MIDDLE)
    assert pose.to_frame == pytest.approx(cv2.getRotationMatrix2D(MIDDLE, 30.0, 1.0), abs=1e-6)


def test_an_alignment_comes_back_from_plain_values_and_a_png() -> None:
    alignment = Alignment("rigid", flanges(11), FLANGE, shift=0.1, turn=12.5, least_confidence=0.7, least_seen=0.8)
    values, png = alignment.as_dict(), alignment.png()
    assert png and all(isinstance(v, str | int | float | list) for v in values.values())
    back = Alignment.from_dict(values, png)
    assert back == alignment and hash(back) == hash(alignment)
    assert back.reference is not None and np.array_equal(back.reference, flanges(11))
    assert back != replace(alignment, turn=13.0) and back != replace(alignment, reference=flanges(12))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "affine"}, "mode 'affine' is unknown; there are shift, rigid"),
        ({"shift": 0.6}, "shift 0.6 must be a share of the frame between 0 and 0.5"),
        ({"shift": "far"}, "shift 'far' must be"),
        ({"shift": float("nan")}, "shift nan must be"),
        ({"turn": -1}, "turn -1 must be degrees between 0 and 45"),
        ({"turn": True}, "turn True must be"),
        ({"least_confidence": 0}, "least_confidence 0 must be"),
        ({"least_seen": 1.01}, "least_seen 1.01 must be"),
        ({"part": None}, "part None must be four whole numbers"),
        ({"part": (1, 2, 3)}, "must be four whole numbers"),
        ({"part": (1.5, 2, 30, 40)}, "must be four whole numbers"),
        ({"part": (-1, 0, 100, 100)}, "lies outside a reference of 640x480"),
        ({"part": (600, 0, 100, 100)}, "lies outside"),
        ({"part": (0, 0, 10, 100)}, "at least 24 pixels"),
        ({"reference": np.zeros((480, 640), np.uint8)}, "reference must be"),
        ({"mode": "none"}, "alignment mode 'none' is unknown"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"mode": "rigid", "reference": np.zeros((480, 640, 3), np.uint8), "part": FLANGE}
    with pytest.raises(UsageError, match=message):
        Alignment(**(right | fields))


def test_wrong_plain_values_are_named() -> None:
    alignment = Alignment("shift", flanges(0), FLANGE)
    with pytest.raises(UsageError, match="alignment rotate is unknown; there are"):
        Alignment.from_dict(alignment.as_dict() | {"rotate": 3}, alignment.png())
    with pytest.raises(UsageError, match="PNG is damaged"):
        Alignment.from_dict(alignment.as_dict(), b"not a PNG")
    with pytest.raises(UsageError, match="PNG is damaged"):
        Alignment.from_dict(alignment.as_dict(), b"")
    with pytest.raises(UsageError, match="alignment part is missing"):
        Alignment.from_dict({"mode": "rigid"}, alignment.png())
