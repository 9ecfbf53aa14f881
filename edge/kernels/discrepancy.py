"""The launches of discrepancy.cu: tables, buffers and arguments.

The head's matrices (edge/discrepancy.py) are banded: an output pixel depends only on the low-resolution pixels within
reach of the Gaussian. `head_tables` leaves out the zeros. If a frame is cut into tiles, their merging
(edge/frame/tiles.py) is part of the same matrices, which then refer to the maps of all tiles side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.discrepancy import head_matrix
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.tiles import Grid, Merger
from edge_inspect.edge.kernels.launch import Launch, blocks, structure

Layout = Literal["nchw", "nhwc"]
Kind = Literal["float32", "float16"]

SCALES = 4
"""Largest number of scales of the features, as SCALES in numbers.cuh."""

_THREADS, _LANES, _NHWC_TILE = 256, 8, 32  # as in distance.cuh
_NARROW = 64  # channels that distance.cuh reads with two loads for each group of lanes
_STRIP, _ACROSS = 8, 128  # as in head.cuh

_SCALE = structure(
    [("teacher", "u8"), ("student", "u8"), ("map", "u8")]
    + [(name, "i4") for name in ("channels", "height", "width", "first")]
)
_DISTANCE = structure([("scales", _SCALE, (SCALES,)), ("count", "i4"), ("columns", "i4")])
_ARRANGE = structure([("from", "u8"), ("to", "u8"), ("height", "i4"), ("width", "i4"), ("columns", "i4")])
_LAYER = structure(
    [(name, "u8") for name in ("map", "rows", "rows_from", "columns", "columns_from")]
    + [(name, "i4") for name in ("height", "width", "depth", "taps", "span")]
)
_HEAD = structure(
    [("layers", _LAYER, (SCALES,))]
    + [(name, "u8") for name in ("map", "mask", "score", "peaks", "done", "weights")]
    + [(name, "i4") for name in ("count", "height", "width", "x0", "y0", "x1", "y1", "top")]
    + [("threshold", "f4")]
)


@dataclass(frozen=True)
class FeaturePair:
    """Addresses of one scale of the features on the GPU, and of the map to compute from them.

    Attributes:
        teacher: Address of the teacher's features, (images, channels, height, width), or with channels last. An image
            is a tile of a frame, or a whole frame.
        student: Address of the student's features, likewise.
        map: Address of the map, (frames, rows * height, columns * width) float32.
        channels: Number of channels.
        height: Height of the features.
        width: Width of the features.
    """

    teacher: int
    student: int
    map: int
    channels: int
    height: int
    width: int


def distance(
    scales: Sequence[FeaturePair], images: int, *, kind: Kind = "float32", layout: Layout = "nchw", columns: int = 1
) -> Launch:
    """Return the launch that computes the low-resolution maps of all scales and images.

    Args:
        scales: Features of one to four scales.
        images: Number of images in the batch.
        kind: Type of the features.
        layout: Layout of the features.
        columns: Number of columns in the grid of tiles.
    """
    parameters = np.zeros(1, _DISTANCE)
    parameters["count"], parameters["columns"] = _counted(len(scales)), columns
    tile = _NHWC_TILE if layout == "nhwc" else _LANES * 16 // np.dtype(kind).itemsize
    first = 0
    # Scales with the most channels come first, because their blocks take longest.
    for entry, scale in zip(parameters["scales"][0], sorted(scales, key=lambda s: -s.channels), strict=False):
        for name, value in vars(scale).items():
            entry[name] = value
        entry["first"] = first
        first += blocks(scale.height * scale.width, tile)
    largest = max(scales, key=lambda s: s.height * s.width)
    narrow = "_narrow" if (layout, kind) == ("nchw", "float16") and largest.channels <= _NARROW else ""
    return Launch(f"distance_{layout}_{kind}{narrow}", (first, images, 1), (_THREADS, 1, 1), parameters)


def arrange(from_: int, to: int, size: tuple[int, int], images: int, *, kind: Kind, columns: int) -> Launch:
    """Return the launch that copies the network's maps, (images, height, width), side by side as float32.

    Args:
        from_: Address of the network's maps.
        to: Address of the result, (frames, rows * height, columns * width) float32.
        size: Height and width of each map.
        images: Number of images in the batch.
        kind: Type of the network's maps.
        columns: Number of columns in the grid of tiles.
    """
    parameters = np.zeros(1, _ARRANGE)
    parameters[0] = (from_, to, *size, columns)
    return Launch(f"arrange_{kind}", (blocks(size[0] * size[1], _THREADS), images, 1), (_THREADS, 1, 1), parameters)


@dataclass(frozen=True)
class Band:
    """The head's banded matrices for one scale, without their zeros.

    Attributes:
        size: Height and width of the maps of all tiles side by side.
        arrays: `rows` (strips, depth, 8) float32, `rows_from` (strips,) int32, `columns` (taps, canvas width) float32,
            `columns_from` (canvas width,) int32.
        span: Largest number of low-resolution columns that a block of 128 output columns needs.
    """

    size: tuple[int, int]
    arrays: dict[str, NDArray[Any]]
    span: int


def head_tables(sizes: Sequence[tuple[int, int]], grid: Grid, sigma: float) -> list[Band]:
    """Return the head's matrices for each scale, without their zeros.

    Args:
        sizes: Height and width of the map of one tile, for each scale.
        grid: Grid of tiles.
        sigma: Standard deviation of the Gaussian in canvas pixels.
    """
    return [_band(size, grid, sigma) for size in sizes]


def head_launch(
    tables: Sequence[Band],
    addresses: Sequence[dict[str, int]],
    outputs: dict[str, int],
    grid: Grid,
    frames: int,
    *,
    valid: tuple[int, int, int, int],
    top: int,
    threshold: float,
    counted: int | None = None,
) -> Launch:
    """Return the launch that computes the anomaly map, its score and its mask.

    Args:
        tables: Result of `head_tables`.
        addresses: Addresses of each table's `arrays`, and of its `map`, (frames, *size) float32.
        outputs: Addresses of `map` and `mask`, (frames, canvas height, canvas width) float32 and uint8; `score`,
            (frames,) float32; `peaks`, (frames, `patches(grid)`) uint32; `done`, (frames,) uint32, all 0; and, if the
            fit has areas, `weights`, `Fit.weights`.
        grid: Grid of tiles.
        frames: Number of frames in the batch.
        valid: x0, y0, x1, y1 of the area that shows the frame, in canvas pixels.
        top: Number of largest pixels whose mean is the score.
        threshold: Threshold of the mask, which is 1 where the map is above it.
        counted: Number of pixels that count; by default all of the valid area.

    Raises:
        EngineError: Fewer pixels count than `top`.
    """
    width, height = grid.canvas
    x0, y0, x1, y1 = valid
    counted = (x1 - x0) * (y1 - y0) if counted is None else counted
    if not 1 <= top <= counted:
        raise EngineError(
            f"the score is the mean of {top} pixels, and {counted} of the map count; make the bundle with a smaller top"
        )
    parameters = np.zeros(1, _HEAD)
    fields = {"count": _counted(len(tables)), "height": height, "width": width, "top": top, "threshold": threshold}
    for name, value in (fields | outputs | dict(zip(("x0", "y0", "x1", "y1"), valid, strict=True))).items():
        parameters[name] = value
    for entry, band, places in zip(parameters["layers"][0], tables, addresses, strict=False):
        for name, address in places.items():
            entry[name] = address
        entry["height"], entry["width"] = band.size
        entry["depth"], entry["taps"] = band.arrays["rows"].shape[1], band.arrays["columns"].shape[0]
        entry["span"] = band.span
    shared = sum(band.span for band in tables) * _STRIP * 4
    size = blocks(width, _ACROSS), blocks(height, _STRIP), frames
    return Launch("head", size, (_ACROSS, 1, 1), parameters, shared)


def patches(grid: Grid) -> int:
    """Return the number of peaks that the head writes for a frame: one for each 32x8 pixels, in whole blocks."""
    width, height = grid.canvas
    return blocks(height, _STRIP) * blocks(width, _ACROSS) * (_ACROSS // 32)


def _counted(scales: int) -> int:
    if not 1 <= scales <= SCALES:
        raise EngineError(
            f"the kernels support 1 to {SCALES} scales, not {scales}; the openvino engine supports any number"
        )
    return scales


def _band(size: tuple[int, int], grid: Grid, sigma: float) -> Band:
    down = _merging_matrix(size[0], grid.height, grid.rows, grid.overlap, sigma)
    across = _merging_matrix(size[1], grid.width, grid.columns, grid.overlap, sigma)
    rows, rows_from = _strips(down)
    columns, columns_from = _taps(across)
    starts = columns_from[::_ACROSS]
    ends = [columns_from[i : i + _ACROSS].max() + len(columns) for i in range(0, len(columns_from), _ACROSS)]
    arrays = {"rows": rows, "rows_from": rows_from, "columns": columns, "columns_from": columns_from}
    return Band((down.shape[1], across.shape[1]), arrays, int((ends - starts).max()))


def _merging_matrix(size: int, side: int, count: int, overlap: int, sigma: float) -> NDArray[np.float32]:
    """Return the head's matrix of `count` tiles in a row, weighted as in `Merger`: (canvas, count * size)."""
    merger = Merger(Grid(side, 1, count, 1, overlap))
    one, other = np.ones((1, side), np.float32), np.zeros((1, side), np.float32)
    matrix = head_matrix(size, side, sigma)
    step = side - overlap
    merged = np.zeros((side + (count - 1) * step, count * size), np.float32)
    for tile in range(count):
        weights = merger.merge([one if i == tile else other for i in range(count)])[0]
        place = slice(tile * step, tile * step + side)
        merged[place, tile * size : (tile + 1) * size] = weights[place, None] * matrix
    return merged


def _reach(matrix: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for each row, its first column that is not 0 and the column after its last one that is not 0."""
    filled = matrix != 0
    return filled.argmax(1), matrix.shape[1] - filled[:, ::-1].argmax(1)


def _strips(matrix: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the weights of eight output rows at a time, (strips, depth, 8), and the first input row of each strip."""
    output, size = matrix.shape
    starts, ends = _reach(matrix)
    first = np.minimum.reduceat(starts, np.arange(0, output, _STRIP))
    last = np.maximum.reduceat(ends, np.arange(0, output, _STRIP))
    depth = int((last - first).max())
    first = np.minimum(first, size - depth).astype(np.int32)
    strips = np.zeros((len(first), depth, _STRIP), np.float32)
    for i, start in enumerate(first):
        rows = matrix[i * _STRIP : (i + 1) * _STRIP, start : start + depth]
        strips[i, :, : len(rows)] = rows.T
    return strips, first


def _taps(matrix: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the weights of each output column, (taps, output), and the first input column of each."""
    output, size = matrix.shape
    starts, ends = _reach(matrix)
    # A block reads from the start of its first column on, so no later column may start before that.
    first = np.minimum.accumulate(starts[::-1])[::-1]
    taps = int((ends - first).max())
    first = np.minimum(first, size - taps).astype(np.int32)
    places = first + np.arange(taps)[:, None]
    return np.ascontiguousarray(matrix[np.arange(output), places]), first
