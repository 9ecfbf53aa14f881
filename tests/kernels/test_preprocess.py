"""The kernels that turn a frame into the network's input, compared with edge/frame/fit.py and OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from kernels.host import Runner, runner

from edge_inspect.edge.frame.fit import MEAN, STD, Fit
from edge_inspect.edge.kernels.launch import Launch
from edge_inspect.edge.kernels.preprocess import plan

FITS = {
    "stretch": Fit(64, 96),
    "grey": Fit(64, 96, grey=True),
    "pad": Fit(96, 64, "pad"),
    "crop": Fit(64, 64, "crop"),
    "region": Fit(64, 64, "pad", region=(11, 7, 60, 41)),
    "tile": Fit(64, 64, "tile", tiles=(2, 3), overlap=16),
}
FRAMES = {"larger": (75, 123), "much larger": (301, 401), "smaller": (49, 72), "the size": (96, 96)}


def frame_of(height: int, width: int, pitch: int) -> np.ndarray:
    """A smooth picture with noise, its rows `pitch` bytes apart."""
    rng = np.random.default_rng(height)
    memory = rng.integers(0, 256, (height, pitch), np.uint8)
    frame = np.lib.stride_tricks.as_strided(memory, (height, width, 3), (pitch, 3, 1))
    frame[:] = cv2.GaussianBlur(frame, (3, 3), 0)
    return frame


def preprocess(host: Runner, fit: Fit, frame: np.ndarray, kind: str = "float32") -> np.ndarray:
    made = plan(fit, frame.shape[1], frame.shape[0])
    between = [np.full((h, w, 3), 99, np.uint8) for w, h in made.steps]
    result = np.full((fit.grid.count, 3, fit.height, fit.width), 99, kind)
    addresses = [host.address(picture) for picture in between]
    x, y, _, _ = made.view
    launches: list[Launch] = made.launches(
        host.address(frame[y:, x:]), frame.strides[0], addresses, host.address(result), mean=MEAN, std=STD, kind=kind
    )
    for launch in launches:
        host.run(launch)
    return result


def levels(inputs: np.ndarray) -> np.ndarray:
    """Return (tiles, 3, h, w) RGB as (tiles, h, w, 3) BGR in levels of 255."""
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in (MEAN, STD))
    return (255 * (inputs.astype(np.float32) * std + mean)).transpose(0, 2, 3, 1)[..., ::-1]


@pytest.mark.parametrize("size", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_the_input_is_the_fits(library: Path, fit: Fit, size: tuple[int, int]) -> None:
    frame = frame_of(*size, pitch=3 * size[1] + 13)
    wanted = fit.cut(fit.apply(frame)[0]).astype(np.float32)
    np.testing.assert_allclose(levels(preprocess(runner(library, 1), fit, frame)), wanted, atol=1e-3)


@pytest.mark.parametrize("size", [(37, 53), (64, 64), (41, 95), (2, 3), (1, 1), (95, 31)])
def test_one_step_is_opencvs_exact_bilinear(library: Path, size: tuple[int, int]) -> None:
    frame, fit = frame_of(*size, pitch=3 * size[1]), Fit(64, 64)
    assert not plan(fit, size[1], size[0]).steps
    wanted = cv2.resize(frame, (64, 64), interpolation=cv2.INTER_LINEAR_EXACT)
    np.testing.assert_allclose(levels(preprocess(runner(library), fit, frame))[0], wanted, atol=1e-3)


@pytest.mark.parametrize("to", [256, 768])
@pytest.mark.parametrize("side", [49, 131, 257, 333, 375])
def test_shares_just_between_two_units_are_rounded_as_by_opencv(library: Path, side: int, to: int) -> None:
    """From an odd side to 256 pixels every share is such a one, to 768 every third."""
    frame = frame_of(3, side, pitch=3 * side)
    wanted = cv2.resize(frame, (to, 32), interpolation=cv2.INTER_LINEAR_EXACT)
    np.testing.assert_allclose(levels(preprocess(runner(library), Fit(to, 32), frame))[0], wanted, atol=1e-3)


def test_halving_is_exact(library: Path) -> None:
    frame = frame_of(128, 192, pitch=600)
    fit = Fit(96, 64)
    wanted = fit.apply(frame)[0]
    np.testing.assert_allclose(levels(preprocess(runner(library), fit, frame))[0], wanted, atol=1e-3)


def test_halves_are_the_floats_rounded(host: Runner) -> None:
    frame = frame_of(70, 70, pitch=210)
    fit = Fit(64, 64)
    single, half = (preprocess(host, fit, frame, kind) for kind in ("float32", "float16"))
    np.testing.assert_array_equal(half, single.astype(np.float16))
