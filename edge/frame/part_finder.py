"""A part is found in a frame: the levels of a pyramid, from the coarse search to the last refinement and the checks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.contract.fields import NotFound
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame import pose as poses_of
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.part_edges import Agreement, EdgePoints, Floats, relative
from edge_inspect.edge.frame.part_search import Search
from edge_inspect.edge.frame.part_twins import CLEAR, LAMP, Twins, twin
from edge_inspect.edge.frame.pose import Pose

FINE_SIDE = 100.0
"""Pixels: the least mean side of the part at the finest level; a smaller part is used at full size."""

COARSE_SIDE = 16.0
"""Pixels: likewise at the level of the search."""

MOST_SEARCHED = 1 << 14
"""Pixels of a frame at the level of the search; a larger frame is searched at a smaller level."""

MID_POINTS, FINE_POINTS = 80, 256

_PLACES, _ANGLES = 4, 2  # candidates of the search that are refined
_SLACK_TURN = 0.5  # degrees beyond the limit that a part may be turned, because the pose has an error
_SLACK_SHIFT = 1.0  # pixels, likewise
_HALF_TURN = 135.0  # degrees from which a part lies upside down
_MID_REACH, _FINE_REACH = 6, 4  # pixels of the level in which an edge is looked for
_FAST_REACH = 6  # likewise at the finest level, for a pose that is the search's
_MOST_STEPS, _RESTS = 4, 1.0  # a pose is refined until a step moves edges by fewer pixels of the finest level
_ELSEWHERE = 0.3  # share of the part's half diagonal by which a second part is at least apart from the first
_SECOND_SEEN = 0.3  # share of a second part's edges that must be seen beside the first
_LEAST_TWIN = 0.4  # the least confidence with which the reference resembles itself in another pose
_TWIN_SEEN = 0.6  # share of its edges that must be in the frame for that
_SAME_TURN, _SAME_SHIFT = 3.0, 0.04  # degrees and share of the part's side: nearer poses are the same
_MOST_TWINS = 24
_UNCLEAR = 0.6  # share of the least confidence from which something is said to resemble the part
_SATURATED = 250.0  # grey level
_GLARE = 0.02  # share of the frame that is saturated, beyond that of the reference, from which there is glare
_LEAST_TOLD = 0.004  # least share of the edges' normals that tells each of shift and turn

_AT_REST = np.zeros(3, np.float32)

Levels = dict[int, Floats]
"""Levels of a grey picture by the number of halvings."""


@dataclass(frozen=True)
class Limits:
    """Which poses are found; the fields of `Alignment` of the same names."""

    shift: float
    turn: float
    least_confidence: float
    least_seen: float


class PartFinder:
    """The prepared reference of one alignment: levels, edge points, spectra and twins."""

    def __init__(self, reference: Frame, part: tuple[int, int, int, int], limits: Limits, *, rigid: bool) -> None:
        """Prepare it.

        Args:
            reference: (H, W, 3) uint8 BGR.
            part: x, y, width, height of the part in the reference.
            limits: Which poses are found.
            rigid: The part may be turned; otherwise it is only shifted.

        Raises:
            UsageError: The part has hardly any edges, or edges by which its pose cannot be told.
        """
        self._limits, self._rigid = limits, rigid
        self._sure = (1 + limits.least_confidence) / 2
        x, y, width, height = part
        rows, columns = reference.shape[:2]
        self._size = (columns, rows)
        self._centre = np.array([x + width / 2 - 0.5, y + height / 2 - 0.5], np.float32)
        self._lever = np.array([1, 1, math.hypot(width, height) / 2], np.float32)  # pixels that a pose moves an edge by
        self._fine, self._mid, self._coarse = _levels(math.sqrt(width * height), columns * rows)
        levels = self._pyramid(reference)
        whole = np.zeros((rows, columns), np.uint8)
        whole[y : y + height, x : x + width] = 1
        inside = {
            level: cv2.resize(whole, grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
            for level, grey in levels.items()
        }
        self._mid_points, self._fine_points = (
            EdgePoints.select(levels[level], self._size, inside[level], self._centre, count)
            for level, count in ((self._mid, MID_POINTS), (self._fine, FINE_POINTS))
        )
        self._check_edges()
        step = math.degrees(2 / (math.hypot(width, height) / 2 / 2**self._coarse))
        grey = np.asarray(cv2.cvtColor(reference, cv2.COLOR_BGR2GRAY), np.float32)
        self._search = Search(grey, levels[self._coarse], part, self._angles(step))
        self._around = Search(grey, levels[self._coarse], part, _circle(step))
        self._reference = levels[self._mid]
        self._saturated = float((levels[self._fine] >= _SATURATED).mean())
        self._twins = self._find_twins(levels, inside[self._fine])

    def find(self, frame: Frame) -> Pose:
        """Return where the part lies in a frame of the reference's size."""
        levels = self._pyramid(frame)
        candidates = self._search.candidates(levels[self._coarse], _PLACES, _ANGLES if self._rigid else 0)
        pose, agreement = self._finest(levels, candidates[0], turn=self._rigid, reach=_FAST_REACH)
        # Where there is one candidate and it fits well, the middle level has nothing to add.
        if agreement.confidence[0] < self._sure or self._apart(candidates, candidates[0]).any():
            candidates, pose, agreement = self._refined(levels, candidates, turn=self._rigid)
            if agreement.confidence[0] < self._limits.least_confidence:
                candidates, pose, agreement = self._refined(levels, candidates, turn=self._rigid)
        if agreement.confidence[0] < self._limits.least_confidence:
            return self._elsewhere(levels) or self._pose(pose, agreement, self._why_low(levels, agreement))
        pose, agreement, unclear = self._told_from_twins(levels, pose, agreement)
        detail = self._beyond(pose, agreement) or unclear
        if detail is None and self._second(levels, candidates, pose):
            detail = poses_of.SEVERAL
        return self._pose(pose, agreement, detail)

    def _refined(self, levels: Levels, candidates: Floats, *, turn: bool) -> tuple[Floats, Floats, Agreement]:
        """Return the candidates refined at the middle level, and the best of them refined at the finest."""
        candidates = self._mid_points.refine(levels[self._mid], candidates, _MID_REACH, turn=turn)
        found = self._mid_points.agreement(levels[self._mid], candidates)
        pose, agreement = self._finest(levels, candidates[found.each.sum(1).argmax()], turn=turn)
        return candidates, pose, agreement

    def _finest(self, levels: Levels, pose: Floats, *, turn: bool, reach: int = 0) -> tuple[Floats, Agreement]:
        """Return the (3,) pose refined at the finest level until it rests, and how the edges agree there."""
        grey, pixel = levels[self._fine], 2.0**self._fine
        poses = pose[None]
        for step in range(_MOST_STEPS):
            far = reach if reach and not step else _FINE_REACH
            before, poses = poses, self._fine_points.refine(grey, poses, far, turn=turn)
            moved = np.abs(poses - before)[0] * self._lever
            if moved.max() < _RESTS * pixel:
                break
        return poses[0], self._fine_points.agreement(grey, poses)

    def _told_from_twins(
        self, levels: Levels, pose: Floats, agreement: Agreement
    ) -> tuple[Floats, Agreement, NotFound | None]:
        """Return the pose in which the small edges show the part to lie, and a detail if they show nothing clearly."""
        grey = levels[self._fine]
        evidence = self._twins.evidence(grey, pose, agreement)
        if (evidence >= CLEAR).all():
            return pose, agreement, None
        real = self._twins.real_pose(grey, pose, agreement, evidence)
        if real is None:
            return pose, agreement, poses_of.UNCLEAR
        if self._beyond(real, agreement) is not None:
            return real, agreement, None
        pose, agreement = self._finest(levels, real, turn=self._rigid)
        clear = (self._twins.evidence(grey, pose, agreement) >= CLEAR).all()
        sure = clear and agreement.confidence[0] >= self._limits.least_confidence
        return pose, agreement, None if sure else poses_of.UNCLEAR

    def _beyond(self, pose: Floats, agreement: Agreement) -> NotFound | None:
        """Return which limit the pose exceeds; None if it exceeds none."""
        if agreement.seen[0] < self._limits.least_seen:
            return poses_of.OUTSIDE
        degrees = abs(_degrees(pose[2]))
        if degrees > (self._limits.turn if self._rigid else 0.0) + _SLACK_TURN:
            return poses_of.UPSIDE_DOWN if degrees >= _HALF_TURN else poses_of.TURNED
        beyond = np.abs(pose[:2]) > np.array(self._size) * self._limits.shift + _SLACK_SHIFT
        return poses_of.OUTSIDE if beyond.any() else None

    def _second(self, levels: Levels, candidates: Floats, pose: Floats) -> bool:
        """Return whether another candidate shows a part by edges that the part found at `pose` does not cover.

        A patterned background resembles the part as well, but it does so beside the part of the reference, too.
        """
        least, grey = self._limits.least_confidence, levels[self._mid]
        candidates = candidates[self._apart(candidates, pose)]
        if not len(candidates):
            return False
        candidates = self._mid_points.refine(grey, candidates, _MID_REACH, turn=self._rigid)
        found = self._mid_points.agreement(grey, candidates)
        beside = found.inside & ~self._mid_points.covered(candidates, pose)
        confidence = _mean(found.each, beside)
        usual = self._mid_points.agreement(self._reference, relative(candidates, pose))
        background = _mean(usual.each, beside & usual.inside)
        return bool(((beside.mean(1) >= _SECOND_SEEN) & (confidence >= least) & (background < 0.5 * confidence)).any())

    def _apart(self, candidates: Floats, pose: Floats) -> NDArray[np.bool_]:
        """Return which candidates lie at another place than a pose."""
        return np.asarray(np.hypot(*(candidates - pose)[:, :2].T) > _ELSEWHERE * self._lever[2])

    def _elsewhere(self, levels: Levels) -> Pose | None:
        """Return the pose of a part that lies turned farther than allowed; None if there is none."""
        candidates = self._around.candidates(levels[self._coarse], _PLACES)
        for _ in range(2):
            candidates, pose, agreement = self._refined(levels, candidates, turn=True)
        if agreement.confidence[0] < self._limits.least_confidence:
            return None
        pose, agreement, _ = self._told_from_twins(levels, pose, agreement)
        detail = self._beyond(pose, agreement)
        return None if detail is None else self._pose(pose, agreement, detail)

    def _why_low(self, levels: Levels, agreement: Agreement) -> NotFound:
        """Return the detail of a confidence that is too low."""
        if float((levels[self._fine] >= _SATURATED).mean()) > self._saturated + _GLARE:
            return poses_of.GLARE
        near = agreement.confidence[0] >= _UNCLEAR * self._limits.least_confidence
        return poses_of.UNCLEAR if near else poses_of.ABSENT

    def _pose(self, pose: Floats, agreement: Agreement, detail: NotFound | None) -> Pose:
        return Pose(
            shift=(float(pose[0]), float(pose[1])),
            angle=_degrees(pose[2]),
            confidence=float(min(agreement.confidence[0], 1)),
            detail=detail,
            centre=(float(self._centre[0]), float(self._centre[1])),
        )

    def _pyramid(self, frame: Frame) -> Levels:
        """Return the levels that are used, grey."""
        # Halving the colours first is quicker than making the whole frame grey.
        picture = frame if self._fine == 0 else _half(frame)
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        levels = {}
        for level in range(min(self._fine, 1), self._coarse + 1):
            if level in (self._fine, self._mid, self._coarse):
                levels[level] = np.asarray(picture, np.float32)
            picture = _half(picture)
        return levels

    def _angles(self, step: float) -> NDArray[np.float64]:
        """Return the angles of the search, in degrees: evenly spaced, to the limit or a little beyond."""
        steps = math.ceil(self._limits.turn / step) if self._rigid else 0
        return np.asarray(np.arange(-steps, steps + 1) * step, np.float64)

    def _find_twins(self, levels: Levels, part: NDArray[np.uint8]) -> Twins:
        """Return the twins of the reference: where it resembles itself in another pose."""
        poses = self._around.everywhere(levels[self._coarse], _PLACES)
        for _ in range(2):
            poses = self._mid_points.refine(levels[self._mid], poses, _MID_REACH)
        poses = self._fine_points.refine(levels[self._fine], poses, _FINE_REACH)
        found = self._fine_points.agreement(levels[self._fine], poses)
        least = max(self._limits.least_confidence / LAMP, _LEAST_TWIN)
        alike = (found.confidence >= least) & (found.seen >= _TWIN_SEEN)
        moves, twins = [_AT_REST], []
        for index in np.argsort(-found.each.sum(1), kind="stable"):
            if not alike[index] or any(self._near(poses[index], other) for other in moves):
                continue
            moves.append(poses[index])
            grey, confidence = levels[self._fine], float(found.confidence[index])
            twins.append(twin(grey, self._size, part, self._centre, poses[index], confidence))
            if len(twins) == _MOST_TWINS:
                break
        return Twins([each for each in twins if each is not None], levels[self._fine], 2.0**self._fine)

    def _near(self, one: Floats, other: Floats) -> bool:
        side = np.ptp(self._fine_points.at, axis=0).mean()
        shifted = float(np.hypot(*(one - other)[:2]))
        return abs(_degrees(one[2] - other[2])) < _SAME_TURN and shifted < _SAME_SHIFT * side

    def _check_edges(self) -> None:
        """Refuse a part whose edges do not tell where it lies.

        Raises:
            UsageError: They all run in one direction, or round one centre.
        """
        at, normal = self._fine_points.at, self._fine_points.normal
        radius = math.sqrt(float(np.square(at).sum(1).mean()))
        arm = (normal[:, 0] * at[:, 1] - normal[:, 1] * at[:, 0]) / radius
        slopes = np.column_stack([normal, arm])[:, : 3 if self._rigid else 2]
        values, directions = np.linalg.eigh(slopes.T @ slopes / len(at))
        if values[0] >= _LEAST_TOLD:
            return
        if np.abs(directions[:, 0]).argmax() == 2:
            raise UsageError("alignment part: it looks the same however it is turned; use --align shift")
        raise UsageError(
            "alignment part: all its edges run in one direction, so a shift along them cannot be seen; name a "
            "rectangle that shows an edge across them, or use --align none"
        )


def _mean(values: Floats, where: NDArray[np.bool_]) -> Floats:
    """Return (K,): the mean of each row where it counts; 0 where nothing does."""
    return np.asarray((values * where).sum(1) / np.maximum(where.sum(1), 1), np.float32)


def _half(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    return np.asarray(
        cv2.resize(picture, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA), np.uint8
    )


def _degrees(angle: float) -> float:
    """Return an angle given in radians in degrees, above -180 and to 180."""
    return 180 - (180 - math.degrees(angle)) % 360


def _circle(step: float) -> NDArray[np.float64]:
    """Return evenly spaced angles of the whole circle, in degrees, at most `step` apart."""
    count = math.ceil(360 / step)
    return np.asarray(np.arange(count) * (360 / count), np.float64)


def _levels(side: float, pixels: int) -> tuple[int, int, int]:
    """Return the finest, middle and coarsest level, each a number of halvings, for a part's mean side and a frame."""
    fine = max(math.floor(math.log2(side / FINE_SIDE)), 0)
    coarse = max(math.floor(math.log2(side / COARSE_SIDE)), fine + 2)
    while pixels / 4**coarse > MOST_SEARCHED:
        coarse += 1
    return fine, fine + 1, coarse
