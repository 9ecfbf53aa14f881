"""The alignment learnt from good pictures: its reference, its rectangle and its least confidence."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from moved_parts import BRACKET, FLANGE, MIDDLE, Frame, Part, bracket, drawn, errors, flanges

from edge_inspect.edge.demo.flange import HALF, part_geometry
from edge_inspect.edge.demo.line import HEIGHT, WIDTH, render_part
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.alignment import Aligner, Alignment
from edge_inspect.train.alignment import FIRST_CONFIDENCE, learnt_alignment, part_of, part_outline


@pytest.fixture(scope="module")
def good() -> list[Frame]:
    return [render_part(seed).frame for seed in range(9)]


@pytest.fixture(scope="module")
def learnt(good: list[Frame]) -> Alignment:
    return learnt_alignment(good, "rigid")


def test_the_rectangle_found_is_that_round_the_part(good: list[Frame], learnt: Alignment) -> None:
    x, y, width, height = learnt.part
    left, top, wide, high = FLANGE
    assert abs(x + width / 2 - left - wide / 2) < 15 and abs(y + height / 2 - top - high / 2) < 15
    assert 316 <= width <= 365 and 316 <= height <= 365
    with pytest.raises(UsageError, match="no part stands out.*name the rectangle"):
        part_of(flanges(0, ()))


def test_the_reference_lies_in_the_middle_of_the_good_parts(good: list[Frame], learnt: Alignment) -> None:
    aligner = Aligner(learnt)
    poses = [aligner.find(frame) for frame in good]
    assert all(pose.found for pose in poses)
    shifts = np.array([pose.shift for pose in poses])
    assert np.abs(np.median(shifts, axis=0)).max() < 4 and abs(np.median([pose.angle for pose in poses])) < 1.5


@pytest.mark.parametrize("angle", [0.0, 20.0])
def test_the_outline_holds_the_whole_part_and_little_else(angle: float) -> None:
    reference = flanges(1, [Part(angle=angle)])
    alignment = Alignment("rigid", reference, part_of(reference))
    outline = part_outline(alignment)
    assert outline is not None
    inside = outline.mask((WIDTH, HEIGHT)) > 0
    turn = cv2.getRotationMatrix2D((HALF - 0.5, HALF - 0.5), angle, 1.0)
    turn[:, 2] += (WIDTH / 2 - HALF, HEIGHT / 2 - HALF)
    metal = cv2.warpAffine(part_geometry(None).albedo, turn, (WIDTH, HEIGHT)) > 0.3
    assert not (metal & ~inside).any()
    solid = cv2.morphologyEx(metal.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((99, 99)))
    assert not (inside & (cv2.dilate(solid, np.ones((51, 51))) == 0)).any()
    assert inside[240, 320], "the belt seen through the bore belongs to the part: something may lie in it"


def test_the_outline_of_a_faint_part_has_no_dents() -> None:
    outline = part_outline(Alignment("rigid", bracket(1, Part()), BRACKET))
    assert outline is not None
    rows, columns = np.nonzero(bracket(1, Part()).astype(int).sum(2) - bracket(1).astype(int).sum(2) > 20)
    assert (outline.mask((WIDTH, HEIGHT))[rows, columns] > 0).all()


def test_what_does_not_stand_out_has_no_outline() -> None:
    assert part_outline(Alignment("rigid", bracket(1, Part(), contrast=3), BRACKET)) is None
    reference = flanges(1)
    assert part_outline(Alignment("rigid", reference, (0, 0, 60, 60))) is None, "nothing is in the rectangle"
    assert part_outline(Alignment("rigid", reference, (100, 20, 440, 440))) is None, "a half is not the part"


def test_moved_parts_are_found_with_a_learnt_reference(good: list[Frame]) -> None:
    aligner = Aligner(learnt_alignment(good, "rigid", reference=flanges(1), shift=0.15, turn=20.0))
    rng = np.random.default_rng(2)
    for seed in range(6):
        part = drawn(rng)
        pose = aligner.find(flanges(60 + seed, (part,)))
        pixels, degrees = errors(pose, part, MIDDLE)
        assert pose.found and pixels <= 0.5 and degrees <= 0.3
    assert aligner.find(flanges(80, (Part((0, 0), 180),))).detail == "upside_down"
    assert aligner.find(flanges(81, (Part((0, 0), 90),))).detail == "turned"


def test_the_least_confidence_lies_between_empty_frames_and_good_parts(good: list[Frame], learnt: Alignment) -> None:
    loose = Aligner(replace(learnt, least_confidence=FIRST_CONFIDENCE))
    parts = [loose.find(frame).confidence for frame in good]
    without = [loose.find(flanges(seed, ())).confidence for seed in range(5)]
    assert max(without) < learnt.least_confidence < min(parts)
    assert learnt.least_confidence == pytest.approx(0.8 * min(parts), abs=0.02)


def test_the_median_makes_a_faint_part_on_a_cloudy_background_sure() -> None:
    rng = np.random.default_rng(1)
    pictures = [bracket(seed, drawn(rng, 0.02, 4)) for seed in range(16)]
    one = Aligner(Alignment("rigid", bracket(50, Part()), BRACKET, least_confidence=FIRST_CONFIDENCE))
    aligner = Aligner(
        learnt_alignment(pictures, "rigid", part=BRACKET, reference=bracket(50, Part()), shift=0.15, turn=20.0)
    )
    for seed in range(4):
        part = drawn(rng)
        frame = bracket(60 + seed, part)
        pose = aligner.find(frame)
        pixels, degrees = errors(pose, part)
        assert pose.found and pixels <= 0.5 and degrees <= 0.3
        assert pose.confidence > one.find(frame).confidence
        assert not aligner.find(bracket(70 + seed)).found


def test_parts_that_are_seldom_found_are_refused(good: list[Frame]) -> None:
    with pytest.raises(UsageError, match=r"found in \d of 9 good pictures only"):
        learnt_alignment([*good[:3], *(flanges(seed, ()) for seed in range(6))], "rigid", part=FLANGE)


def test_pictures_of_two_sizes_and_of_none_are_refused(good: list[Frame]) -> None:
    with pytest.raises(UsageError, match="640x480 and of 320x240"):
        learnt_alignment([*good, np.zeros((240, 320, 3), np.uint8)], "rigid")
    with pytest.raises(UsageError, match="there is none"):
        learnt_alignment([], "rigid")
    with pytest.raises(UsageError, match="turn 60 must be"):
        learnt_alignment(good, "rigid", turn=60)


def test_limits_are_kept_and_mode_shift_is_learnt(good: list[Frame]) -> None:
    still = [flanges(seed, (Part((3.0 * seed - 12, 8 - 2.0 * seed)),)) for seed in range(9)]
    alignment = learnt_alignment(still, "shift", shift=0.1, least_seen=0.95)
    assert (alignment.mode, alignment.shift, alignment.least_seen) == ("shift", 0.1, 0.95)
    assert Aligner(alignment).find(flanges(30, (Part((60, -40)),))).found
    assert Aligner(alignment).find(flanges(30, (Part((90, 0)),))).detail == "outside"


def test_limits_are_learnt_a_little_beyond_the_good_pictures(learnt: Alignment, good: list[Frame]) -> None:
    poses = [Aligner(learnt).find(frame) for frame in good]
    turned = max(abs(pose.angle) for pose in poses)
    shifted = max(max(abs(pose.shift[0]) / WIDTH, abs(pose.shift[1]) / HEIGHT) for pose in poses)
    assert turned < learnt.turn < 1.3 * turned + 3 and shifted < learnt.shift < 1.3 * shifted + 0.03
