"""The coarse search for a part: where it may lie in a small picture of the frame, at any place and some angles.

The pictures of gradients, each divided by its own size plus a floor, are correlated by the Fourier transform. The
correlation is divided by the part's energy inside the frame, so that a part half outside still has a score near 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.part_edges import SOFT, Floats, gradient

LEAST_VISIBLE = 0.35
"""Share of the part's energy that must lie in the frame where it is looked for."""

KEPT = 0.5
"""Share of the best candidate's score from which candidates are kept."""

_APART = 3  # pixels of the small picture between two candidates
_Spectra = NDArray[np.complex64]


class Search:
    """The spectra of a part at some angles, made once.

    Args:
        reference: (H, W) float32 grey: the reference picture at full size.
        small: (h, w) float32: the same, shrunk.
        part: x, y, width, height of the part in the reference.
        angles: Degrees, evenly spaced.
    """

    def __init__(
        self, reference: Floats, small: Floats, part: tuple[int, int, int, int], angles: NDArray[np.float64]
    ) -> None:
        x, y, width, height = part
        self._angles = angles
        self._scale = np.array([reference.shape[1] / small.shape[1], reference.shape[0] / small.shape[0]])
        self._centre = np.array([x + width / 2 - 0.5, y + height / 2 - 0.5])
        self._half = int(np.ceil(np.hypot(*(np.array([width, height]) / 2 / self._scale)))) + 2
        # The part's middle is looked for in the frame and a margin round it. What wraps round meets zeros.
        self._margin = self._half // 2
        self._shape = tuple(side + 2 * self._margin for side in small.shape)
        self._fft = tuple(cv2.getOptimalDFTSize(side + self._half + self._margin) for side in small.shape)
        whole = np.zeros_like(reference)
        whole[y : y + height, x : x + width] = 1
        size = np.hypot(*gradient(small))
        inside = cv2.resize(whole, small.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
        self._floor = np.float32(max(SOFT * np.quantile(size[inside] if inside.any() else size, 0.9), 0.5))
        turned = [self._turned(reference, whole, angle) for angle in angles]
        frame = np.fft.fft2(self._padded(np.ones((1, *small.shape), np.float32)))[0]
        self._spectra = _in_pairs([self._spectrum(field) for field in turned])
        self._inverse_energy = np.stack([self._visible(field, frame) for field in turned])

    def candidates(self, small: Floats, count: int, angles: int = 0) -> Floats:
        """Return the best poses, (K, 3) float32: shift x, y in frame pixels and angle in radians; the best first.

        Args:
            small: (h, w) float32: a frame, shrunk as the reference was.
            count: How many places at most, each with its best angle.
            angles: How many further angles at the best place.
        """
        scores = self._scores(small)
        places = _peaks(scores.max(0), count)
        found = [(int(scores[:, row, column].argmax()), row, column) for row, column in places]
        # A part that is seen whole goes before one of which half is seen.
        seen = [scores[place] / np.maximum(self._inverse_energy[place], 1e-9) for place in found]
        found = [found[index] for index in np.argsort(seen)[::-1]]
        first, row, column = found[0]
        others = scores[:, row, column].copy()
        others[max(first - 1, 0) : first + 2] = -1
        for _ in range(angles):
            angle = int(others.argmax())
            if others[angle] <= 0:
                break
            found.append((angle, row, column))
            others[max(angle - 1, 0) : angle + 2] = -1
        least = KEPT * max(float(scores[place]) for place in found)
        return self._poses(scores, [place for place in found if scores[place] >= least])

    def everywhere(self, small: Floats, count: int) -> Floats:
        """Return the best `count` places at every angle, as `candidates` does."""
        scores = self._scores(small)
        found = [(angle, *place) for angle, plane in enumerate(scores) for place in _peaks(plane.copy(), count)]
        return self._poses(scores, found)

    def _poses(self, scores: Floats, found: Sequence[tuple[int, int, int]]) -> Floats:
        """Return the poses of peaks (angle, row, column), each axis interpolated by a parabola."""
        places = np.empty((len(found), 3))
        for place, (angle, row, column) in zip(places, found, strict=True):
            place[0] = angle + _vertex(scores[:, row, column], angle)
            place[1] = row + _vertex(scores[angle, :, column], row)
            place[2] = column + _vertex(scores[angle, row], column)
        shift = (places[:, :0:-1] - self._margin + 0.5) * self._scale - 0.5 - self._centre
        turn = np.interp(places[:, 0], np.arange(len(self._angles)), self._angles)
        return np.column_stack([shift, np.deg2rad(turn)]).astype(np.float32)

    def _scores(self, small: Floats) -> Floats:
        """Return (angles, rows, columns) float32: 1 where the frame looks as the reference does."""
        x, y = np.fft.fft2(self._padded(self._field(small)))
        pairs = np.fft.ifft2(self._spectra[0] * x + self._spectra[1] * y)[:, : self._shape[0], : self._shape[1]]
        scores = np.stack([pairs.real, pairs.imag], 1).reshape(-1, *self._shape)[: len(self._angles)]
        return np.asarray(scores * self._inverse_energy, np.float32)

    def _padded(self, frame: Floats) -> Floats:
        """Return pictures of a frame (N, h, w) as (N, *fft), so that row 0 is the part's middle at -margin."""
        padded = np.zeros((len(frame), *self._fft), np.float32)
        start = self._half + self._margin
        padded[:, start : start + frame.shape[1], start : start + frame.shape[2]] = frame
        return padded

    def _field(self, grey: Floats) -> Floats:
        x, y = gradient(grey)
        size = np.hypot(x, y) + self._floor
        return np.stack([x / size, y / size])

    def _turned(self, reference: Floats, whole: Floats, angle: float) -> Floats:
        """Return (2, rows, columns): the field of the part turned by `angle`, the part's centre in the middle."""
        side = 2 * self._half + 1
        matrix = cv2.getRotationMatrix2D(tuple(self._centre), angle, 1.0)
        size = np.round(side * self._scale).astype(int)
        matrix[:, 2] += (side * self._scale - 1) / 2 - self._centre
        picture, cover = (
            cv2.resize(
                cv2.warpAffine(each, matrix, tuple(size.tolist()), borderMode=border),
                (side, side),
                interpolation=cv2.INTER_AREA,
            )
            for each, border in ((reference, cv2.BORDER_REPLICATE), (whole, cv2.BORDER_CONSTANT))
        )
        return np.asarray(self._field(picture) * cover, np.float32)

    def _spectrum(self, field: Floats) -> _Spectra:
        padded = np.zeros((2, *self._fft), np.float32)
        padded[:, : field.shape[1], : field.shape[2]] = field
        return np.asarray(np.fft.fft2(padded).conj(), np.complex64)

    def _visible(self, field: Floats, frame: NDArray[np.complexfloating]) -> Floats:
        """Return 1 over the part's energy that is inside the frame at each place, 0 where too little is."""
        padded = np.zeros(self._fft, np.float32)
        padded[: field.shape[1], : field.shape[2]] = np.square(field).sum(0)
        energy = np.fft.ifft2(frame * np.fft.fft2(padded).conj()).real[: self._shape[0], : self._shape[1]]
        least = LEAST_VISIBLE * max(float(padded.sum()), 1e-6)
        return np.asarray(np.where(energy >= least, 1 / np.maximum(energy, least), 0), np.float32)


def _in_pairs(spectra: list[_Spectra]) -> _Spectra:
    """Return (2, pairs, rows, columns): two real correlations are one complex transform, as real and imaginary part."""
    if len(spectra) % 2:
        spectra = [*spectra, np.zeros_like(spectra[0])]
    pairs = np.stack(spectra[0::2]) + np.complex64(1j) * np.stack(spectra[1::2])
    return np.ascontiguousarray(pairs.swapaxes(0, 1))


def _peaks(plane: Floats, count: int) -> list[tuple[int, int]]:
    """Return row and column of at most `count` peaks, one at least, and overwrite the plane round them."""
    found: list[tuple[int, int]] = []
    for _ in range(count):
        row, column = divmod(int(plane.argmax()), plane.shape[1])
        if found and plane[row, column] <= 0:
            break
        found.append((row, column))
        plane[max(row - _APART, 0) : row + _APART + 1, max(column - _APART, 0) : column + _APART + 1] = -1
    return found


def _vertex(values: Floats, at: int) -> float:
    """Return how far beyond `at` the parabola through three values has its vertex, within half a step."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = values[at - 1 : at + 2].tolist()
    bend = before - 2 * here + after
    return min(max(0.5 * (before - after) / bend, -0.5), 0.5) if bend < 0 else 0.0
