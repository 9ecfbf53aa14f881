from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit import MODES, Fit, parse_size
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.placement import Placement

sides = st.integers(24, 400)
network_sides = st.integers(1, 4).map(lambda n: 32 * n)
modes = st.sampled_from(MODES)
share = st.floats(0, 1)
few = settings(max_examples=30, deadline=None)


@st.composite
def tiled(draw: st.DrawFn) -> Fit:
    """A fit of several tiles."""
    width, height = draw(network_sides), draw(network_sides)
    tiles = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)).filter(lambda tiles: tiles != (1, 1)))
    return Fit(width, height, "tile", tiles=tiles, overlap=draw(st.integers(0, min(width, height) // 2)))


def black(width: int, height: int) -> Frame:
    return np.zeros((height, width, 3), np.uint8)


def centroid(values: np.ndarray) -> tuple[float, float]:
    """Return x and y of the centre of gravity. Pixel edges are at whole numbers."""
    total = values.sum(dtype=np.float64)
    y, x = np.indices(values.shape) + 0.5
    return float((x * values).sum() / total), float((y * values).sum() / total)


def seen(placement: Placement) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the area of the frame that the network sees."""
    x0, y0, x1, y1 = placement.valid
    left, top = placement.to_frame(x0, y0)
    right, bottom = placement.to_frame(x1, y1)
    return round(left), round(top), round(right), round(bottom)


def rectangle(placement: Placement, shares: tuple[float, float], least: float) -> tuple[int, int, int, int]:
    """Draw a rectangle in frame pixels, well inside the area that the network sees.

    Its sides have `least` network pixels or more.
    """
    left, top, right, bottom = seen(placement)
    w, h = int(np.ceil(least * placement.scale_x)), int(np.ceil(least * placement.scale_y))
    margin_x, margin_y = int(np.ceil(2 * placement.scale_x)) + 1, int(np.ceil(2 * placement.scale_y)) + 1
    room_x, room_y = right - left - w - 2 * margin_x, bottom - top - h - 2 * margin_y
    assume(room_x >= 0 and room_y >= 0)
    return left + margin_x + round(shares[0] * room_x), top + margin_y + round(shares[1] * room_y), w, h


@given(sides, sides, network_sides, network_sides, modes, st.booleans())
@few
def test_every_frame_comes_out_at_the_networks_size(w: int, h: int, nw: int, nh: int, mode: str, grey: bool) -> None:
    fitted, placement = Fit(nw, nh, mode, grey=grey).apply(np.full((h, w, 3), (10, 120, 240), np.uint8))
    assert fitted.shape == (nh, nw, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags.c_contiguous
    assert (fitted == fitted[0, 0]).all(), "a plain frame stays plain, padding included"
    left, top, right, bottom = seen(placement)
    assert 0 <= left < right <= w
    assert 0 <= top < bottom <= h
    if mode != "crop":
        assert (left, top, right, bottom) == (0, 0, w, h)


@given(st.integers(1, 9), st.integers(1, 3000), modes, st.booleans())
@few
def test_frames_of_extreme_shapes_come_out_too(short: int, long: int, mode: str, upright: bool) -> None:
    w, h = (short, long) if upright else (long, short)
    for nw, nh in ((32, 32), (32, 1024), (1024, 32)):
        fitted, placement = Fit(nw, nh, mode).apply(black(w, h))
        assert fitted.shape == (nh, nw, 3)
        placement.map_to_frame(np.ones((nh, nw), np.float32), w, h)


@given(sides, sides, network_sides, network_sides, modes, st.tuples(share, share))
@few
def test_a_bright_dot_lands_where_the_placement_says(
    w: int, h: int, nw: int, nh: int, mode: str, at: tuple[float, float]
) -> None:
    fit = Fit(nw, nh, mode)
    frame = black(w, h)
    placement = fit.apply(frame)[1]
    x, y, dot_w, dot_h = rectangle(placement, at, 2)
    frame[y : y + dot_h, x : x + dot_w] = 255
    fitted = fit.apply(frame)[0]
    found_x, found_y = placement.to_frame(*centroid(fitted[:, :, 0]))
    assert abs(found_x - (x + dot_w / 2)) <= placement.scale_x
    assert abs(found_y - (y + dot_h / 2)) <= placement.scale_y


@given(sides, sides, network_sides, network_sides, modes, st.tuples(share, share))
@few
def test_a_map_is_brought_back_to_its_place(
    w: int, h: int, nw: int, nh: int, mode: str, at: tuple[float, float]
) -> None:
    placement = Fit(nw, nh, mode).apply(black(w, h))[1]
    x0, y0, x1, y1 = placement.valid
    # A blob of at least two pixels a side in the frame, too.
    block_w, block_h = (max(4, int(np.ceil(2 / scale))) for scale in (placement.scale_x, placement.scale_y))
    room_x, room_y = x1 - x0 - 3 * block_w, y1 - y0 - 3 * block_h
    assume(room_x >= 0 and room_y >= 0)
    u, v = x0 + block_w + round(at[0] * room_x), y0 + block_h + round(at[1] * room_y)
    values = np.zeros((nh, nw), np.float32)
    values[v : v + block_h, u : u + block_w] = 1
    whole = placement.map_to_frame(values, w, h)
    assert whole.shape == (h, w)
    assert whole.dtype == np.float32
    x, y = centroid(whole)
    expected_x, expected_y = placement.to_frame(u + block_w / 2, v + block_h / 2)
    assert abs(x - expected_x) <= max(1, placement.scale_x)
    assert abs(y - expected_y) <= max(1, placement.scale_y)


@given(sides, sides, network_sides, network_sides, modes)
@few
def test_a_map_is_zero_where_the_network_saw_nothing(w: int, h: int, nw: int, nh: int, mode: str) -> None:
    region = (w // 5, h // 7, w // 2, h // 2)
    placement = Fit(nw, nh, mode, region).apply(black(w, h))[1]
    left, top, right, bottom = seen(placement)
    expected = np.zeros((h, w), np.float32)
    expected[top:bottom, left:right] = 0.75
    whole = placement.map_to_frame(np.full((nh, nw), 0.75, np.float32), w, h)
    np.testing.assert_allclose(whole, expected, atol=1e-6)


@given(tiled(), sides, sides, st.booleans())
@few
def test_a_tiled_frame_fills_its_canvas(fit: Fit, w: int, h: int, inside: bool) -> None:
    fit = replace(fit, region=(w // 5, h // 7, w // 2, h // 2)) if inside else fit
    frame = np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)
    fitted, placement = fit.apply(frame)
    (columns, rows), (width, height) = fit.tiles, fit.canvas
    assert width == columns * fit.width - (columns - 1) * fit.overlap
    assert height == rows * fit.height - (rows - 1) * fit.overlap
    assert fitted.shape == (height, width, 3)
    assert placement.valid == (0, 0, width, height)
    assert seen(placement) == ((w // 5, h // 7, w // 5 + w // 2, h // 7 + h // 2) if inside else (0, 0, w, h))
    tiles = fit.cut(fitted)
    assert tiles.shape == (columns * rows, fit.height, fit.width, 3)
    assert tiles.flags.c_contiguous
    grey = tiles[..., 0].astype(np.float32)
    np.testing.assert_allclose(fit.merge(grey), fitted[:, :, 0], atol=1e-3)


@given(tiled(), sides, sides, st.tuples(share, share))
@few
def test_a_dot_comes_back_from_its_tiles(fit: Fit, w: int, h: int, at: tuple[float, float]) -> None:
    """The whole way: frame, canvas, tiles, a network that returns their brightness, merged map, frame."""
    frame = black(w, h)
    placement = fit.apply(frame)[1]
    x, y, dot_w, dot_h = rectangle(placement, at, 3)
    dot_w, dot_h = max(3, dot_w), max(3, dot_h)
    assume(x + dot_w < w and y + dot_h < h)
    frame[y : y + dot_h, x : x + dot_w] = 255
    fitted = fit.apply(frame)[0]
    merged = fit.merge(fit.cut(fitted)[..., 0].astype(np.float32))
    for found_x, found_y in (
        placement.to_frame(*centroid(merged)),
        centroid(placement.map_to_frame(merged, w, h)),
    ):
        assert abs(found_x - (x + dot_w / 2)) <= max(1, placement.scale_x)
        assert abs(found_y - (y + dot_h / 2)) <= max(1, placement.scale_y)


def test_stretching_fills_the_network() -> None:
    placement = Fit(64, 32).apply(black(128, 128))[1]
    assert placement == Placement(2.0, 4.0, 0, 0, (0, 0, 64, 32))


def test_padding_keeps_proportions_and_replicates_the_edges() -> None:
    frame = np.zeros((64, 128, 3), np.uint8)
    frame[:32] = 40
    frame[32:] = 200
    fitted, placement = Fit(64, 64, "pad").apply(frame)
    assert placement == Placement(2.0, 2.0, 0.0, -32.0, (0, 16, 64, 48))
    assert (fitted[:32] == 40).all()
    assert (fitted[32:] == 200).all()


def test_cropping_takes_the_middle() -> None:
    frame = black(128, 64)
    frame[:, 32:96] = 100
    fitted, placement = Fit(64, 64, "crop").apply(frame)
    assert placement == Placement(1.0, 1.0, 32, 0, (0, 0, 64, 64))
    assert (fitted == 100).all()


@pytest.mark.parametrize("mode", MODES)
def test_only_the_region_of_interest_is_seen(mode: str) -> None:
    frame = np.full((90, 120, 3), 255, np.uint8)
    frame[20:84, 10:74] = 50
    fitted, placement = Fit(32, 32, mode, (10, 20, 64, 64)).apply(frame)
    assert (fitted == 50).all()
    assert seen(placement) == (10, 20, 74, 84)


@pytest.mark.parametrize(
    "region", [(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0), (60, 0, 5, 5), (0, 44, 5, 5)]
)
def test_a_region_outside_the_frame_is_refused(region: tuple[int, int, int, int]) -> None:
    said = rf"region of interest {','.join(map(str, region))} lies outside a frame of 64x48 pixels"
    with pytest.raises(UsageError, match=said):
        Fit(32, 32, region=region).apply(black(64, 48))


def test_grey_removes_colour_and_keeps_brightness() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    fitted, _ = Fit(32, 32, grey=True).apply(frame)
    np.testing.assert_array_equal(fitted[:, :, 0], cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    np.testing.assert_array_equal(fitted[:, :, 0], fitted[:, :, 2])


def test_a_frame_of_the_networks_size_is_not_touched() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    for mode in MODES:
        fitted, placement = Fit(96, 64, mode).apply(frame)
        np.testing.assert_array_equal(fitted, frame)
        assert placement == Placement(1.0, 1.0, 0, 0, (0, 0, 96, 64))


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_a_line_of_one_pixel_keeps_its_share_of_the_light(factor: int) -> None:
    """At no position does it fall between two samples."""
    side = 32 * factor
    for at in range(side):
        for frame in (black(side, side), black(side, side)[:, :32]):
            frame[at] = 255
            fitted = Fit(32, 32).apply(frame)[0]
            assert abs(int(fitted[at // factor, 16, 0]) - 255 / factor) <= 2


@pytest.mark.parametrize("side", [120, 125, 127, 160, 168, 225, 250, 255, 320, 336, 640])
def test_a_line_of_one_pixel_is_not_lost_at_other_scales(side: int) -> None:
    """Such scales occur from 640 or 672 pixels to 256."""
    for at in range(side):
        frame = black(side, 64)
        frame[:, at] = 255
        assert Fit(64, 64).apply(frame)[0].max() >= 0.3 * 255 * 64 / side


@pytest.mark.parametrize(("text", "size"), [("256", (256, 256)), ("320x192", (320, 192)), ("0", (0, 0))])
def test_a_size_is_parsed(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "256x", "x256", "256X256", "2.5", "-256", "256x256x3", " 256", "256\n", "wide"]
)
def test_a_wrong_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is neither a number like 256 nor WIDTHxHEIGHT like 320x192"):
        parse_size(text)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_wrong_use(text: str) -> None:
    try:
        width, height = parse_size(text)
    except UsageError as error:
        assert repr(text) in str(error)
    else:
        assert width >= 0 and height >= 0


@pytest.mark.parametrize("side", [0, -32, 31, 33, 100, 255])
def test_sides_are_multiples_of_32(side: int) -> None:
    with pytest.raises(UsageError, match=f"input width {side} must be a positive multiple of 32"):
        Fit(side, 256)
    with pytest.raises(UsageError, match=f"input height {side} must be a positive multiple of 32"):
        Fit(256, side)


def test_an_unknown_mode_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="fit 'squash' is unknown; there are stretch, pad, crop"):
        Fit.from_dict({"mode": "squash"})


@pytest.mark.parametrize("region", [[1, 2], [0, 0, 8, 8, 8], [0, 0, 8.5, 8], ["0", "0", "8", "8"]])
def test_a_region_is_four_whole_numbers(region: list[object]) -> None:
    with pytest.raises(UsageError, match="must be four whole numbers: x, y, width, height"):
        Fit.from_dict({"region": region})


@given(
    network_sides,
    network_sides,
    modes,
    st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99), st.integers(1, 99)),
    st.booleans(),
)
def test_a_fit_survives_as_plain_values(
    width: int, height: int, mode: str, region: tuple[int, int, int, int] | None, grey: bool
) -> None:
    fit = Fit(width, height, mode, region, grey)
    plain = fit.as_dict()
    assert all(value is None or type(value) in (int, str, bool, list) for value in plain.values())
    assert Fit.from_dict(plain) == fit


@given(tiled())
def test_a_tiled_fit_survives_as_plain_values(fit: Fit) -> None:
    plain = fit.as_dict()
    assert all(value is None or type(value) in (int, str, bool, list) for value in plain.values())
    assert Fit.from_dict(plain) == fit


@pytest.mark.parametrize("bits", [None, 10, 12, 14, 16])
def test_bits_are_kept_where_they_are_said(bits: int | None) -> None:
    fields = Fit(64, 64, bits=bits).as_dict()
    assert ("bits" in fields) == (bits is not None)  # older programs know no such key
    assert Fit.from_dict(fields) == Fit(64, 64, bits=bits)


@pytest.mark.parametrize("bits", [0, 8, 13, True])
def test_other_bits_are_refused(bits: int) -> None:
    with pytest.raises(UsageError, match=f"bits {bits} must be one of 10, 12, 14, 16"):
        Fit(64, 64, bits=bits)
