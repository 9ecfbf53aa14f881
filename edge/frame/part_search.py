"""The coarse search for a part: where it may lie in a small picture of the frame, at any place and some angles.

The pictures of gradients, each divided by its own size plus a floor, are correlated by the Fourier transform. The
correlation is divided by the part's energy inside the frame, so that a part half outside still has a score near 1.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.part_edges import SOFT, Floats, gradient

LEAST_VISIBLE = 0.35
"""Share of the part's energy that must lie in the frame where it is looked for."""

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
        self._angles, self._shape = angles, small.shape
        self._scale = np.array([reference.shape[1] / small.shape[1], reference.shape[0] / small.shape[0]])
        self._centre = np.array([x + width / 2 - 0.5, y + height / 2 - 0.5])
        self._half = int(np.ceil(np.hypot(*(np.array([width, height]) / 2 / self._scale)))) + 2
        self._fft = tuple(cv2.getOptimalDFTSize(side + 2 * self._half + 1) for side in small.shape)
        whole = np.zeros_like(reference)
        whole[y : y + height, x : x + width] = 1
        size = np.hypot(*gradient(small))
        inside = cv2.resize(whole, small.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
        self._floor = np.float32(max(SOFT * np.quantile(size[inside] if inside.any() else size, 0.9), 0.5))
        turned = [self._turned(reference, whole, angle) for angle in angles]
        frame = np.zeros(self._fft, np.float32)
        frame[: small.shape[0], : small.shape[1]] = 1
        self._spectra = _in_pairs([self._spectrum(field) for field in turned])
        self._inverse_energy = np.stack(
            [self._visible(field, np.asarray(np.fft.fft2(frame), np.complex64)) for field in turned]
        )

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
        first, row, column = found[0]
        others = scores[:, row, column].copy()
        others[max(first - 1, 0) : first + 2] = -1
        for _ in range(angles):
            angle = int(others.argmax())
            if others[angle] <= 0:
                break
            found.append((angle, row, column))
            others[max(angle - 1, 0) : angle + 2] = -1
        return self._poses(scores, np.array(found))

    def everywhere(self, small: Floats, count: int) -> Floats:
        """Return the best `count` places at every angle, as `candidates` does."""
        scores = self._scores(small)
        found = [(angle, *place) for angle, plane in enumerate(scores) for place in _peaks(plane.copy(), count)]
        return self._poses(scores, np.array(found))

    def _poses(self, scores: Floats, found: NDArray[np.intp]) -> Floats:
        """Return the poses of peaks (K, 3: angle, row, column), each axis interpolated by a parabola."""
        here = scores[tuple(found.T)]
        places = found.astype(float)
        for axis in range(3):
            if (length := scores.shape[axis]) < 3:
                continue
            aside = np.eye(3, dtype=int)[axis]
            before, after = (scores[tuple(((found + d) % scores.shape).T)] for d in (-aside, aside))
            bend = np.minimum(before - 2 * here + after, -1e-6)
            beyond = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
            inner = (found[:, axis] > 0) & (found[:, axis] < length - 1) if axis == 0 else True
            places[:, axis] += np.where(inner, beyond, 0)
        y, x = ((places[:, axis + 1] + 1) % self._fft[axis] - 1 for axis in (0, 1))
        x, y = (
            np.where(v > limit, v - length, v)
            for v, limit, length in ((x, self._shape[1] - 0.5, self._fft[1]), (y, self._shape[0] - 0.5, self._fft[0]))
        )
        shift = (np.stack([x, y], 1) + self._half + 0.5) * self._scale - 0.5 - self._centre
        angle = np.interp(places[:, 0], np.arange(len(self._angles)), self._angles)
        return np.column_stack([shift, np.deg2rad(angle)]).astype(np.float32)

    def _scores(self, small: Floats) -> Floats:
        """Return (angles, rows, columns) float32: 1 where the frame looks as the reference does."""
        fields = np.zeros((2, *self._fft), np.float32)
        fields[:, : small.shape[0], : small.shape[1]] = self._field(small)
        x, y = np.fft.fft2(fields)
        pairs = np.fft.ifft2(self._spectra[0] * x + self._spectra[1] * y)
        scores = np.stack([pairs.real, pairs.imag], 1).reshape(-1, *self._fft)[: len(self._angles)]
        return np.asarray(scores * self._inverse_energy, np.float32)

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

    def _visible(self, field: Floats, frame: _Spectra) -> Floats:
        """Return 1 over the part's energy that is inside the frame at each place, 0 where too little is."""
        padded = np.zeros(self._fft, np.float32)
        padded[: field.shape[1], : field.shape[2]] = np.square(field).sum(0)
        energy = np.fft.ifft2(frame * np.fft.fft2(padded).conj()).real
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
    near = np.arange(-_APART, _APART + 1)
    for _ in range(count):
        row, column = divmod(int(plane.argmax()), plane.shape[1])
        if found and plane[row, column] <= 0:
            break
        found.append((row, column))
        plane[((row + near) % plane.shape[0])[:, None], (column + near) % plane.shape[1]] = -1
    return found
