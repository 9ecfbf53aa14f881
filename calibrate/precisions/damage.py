"""How much a precision loses against FP32 on the validation pictures, and how much it may lose."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.precisions.validation import Validation
from edge_inspect.calibrate.thresholds.pairing import pair
from edge_inspect.train.metrics import aupro, auroc

Maps = NDArray[np.float32]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Damage:
    """The loss of a precision, and how far its scores and maps moved.

    Attributes:
        image_auroc: Points of image AUROC lost; negative if the precision is better.
        image_auroc_error: Standard error of `image_auroc`. It is large for few pictures, because any change swaps some
            of their ranks.
        aupro: Points of AUPRO lost.
        rank_correlation: Rank correlation of the pictures' scores with FP32's (Spearman).
        score_shift: Mean difference of the scores, in standard deviations of FP32's scores. The precision's own
            threshold makes up for it.
        score_noise: Standard deviation of the difference, in the same unit. Nothing makes up for it.
        map_noise: Standard deviation of the difference of map values, in standard deviations of FP32's.
        verdicts: Expected per cent of parts like these pictures that get another verdict than FP32's, once the
            threshold has moved by the shift; 0 if the validation has no threshold.
        pictures: Number of pictures that the figures come from.
    """

    image_auroc: float
    image_auroc_error: float
    aupro: float
    rank_correlation: float
    score_shift: float
    score_noise: float
    map_noise: float
    verdicts: float
    pictures: int

    @property
    def rank_ceiling(self) -> float:
        """Rank correlation plus its standard error (Fisher's z), because chance swaps ranks among few pictures."""
        if self.pictures <= 3:
            return 1.0
        z = np.arctanh(min(self.rank_correlation, 1 - 1e-12)) + 1 / np.sqrt(self.pictures - 3)
        return float(np.tanh(z))

    @property
    def size(self) -> float:
        """One number to rank precisions by; AUROC and AUPRO are too coarse for that on so few pictures."""
        return self.score_noise + self.map_noise

    def __str__(self) -> str:
        return (
            f"on flaws image AUROC {-self.image_auroc:+.2f} ± {self.image_auroc_error:.2f} points, AUPRO "
            f"{-self.aupro:+.2f}, rank correlation of scores {self.rank_correlation:.4f}, scores move by "
            f"{100 * self.score_shift:+.1f} ± {100 * self.score_noise:.1f} % of their standard deviation, "
            f"{self.verdicts:.2f} % of verdicts change"
        )

    def as_dict(self) -> dict[str, float]:
        """Return the figures for the report."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Budget:
    """How much a precision may lose on validation; where few pictures tell little, a standard error is allowed on top.

    Attributes:
        image_auroc: Points of image AUROC, plus a standard error.
        aupro: Points of AUPRO. It counts pixels, of which there are many, so nothing is added.
        rank_correlation: Smallest rank correlation of the scores with FP32's.
        verdicts: Per cent of verdicts that may differ from FP32's. The estimate is an average, so nothing is added.
    """

    image_auroc: float = 0.5
    aupro: float = 1.0
    rank_correlation: float = 0.98
    verdicts: float = 1.0

    def broken(self, damage: Damage) -> str:
        """Return what breaks the budget, in words; an empty text if nothing does."""
        wrong = []
        if damage.image_auroc - damage.image_auroc_error > self.image_auroc:
            lost = f"{damage.image_auroc:.2f} ± {damage.image_auroc_error:.2f} points of image AUROC lost"
            wrong.append(f"{lost}, {self.image_auroc:g} allowed")
        if damage.aupro > self.aupro:
            wrong.append(f"{damage.aupro:.2f} points of AUPRO lost, {self.aupro:g} allowed")
        if damage.rank_ceiling < self.rank_correlation:
            found = f"rank correlation {damage.rank_correlation:.4f} of {damage.pictures} pictures"
            wrong.append(f"{found}, {self.rank_correlation:g} wanted")
        if damage.verdicts > self.verdicts:
            wrong.append(f"{damage.verdicts:.2f} % of verdicts expected to change, {self.verdicts:g} % allowed")
        return ", ".join(wrong)


@dataclass(frozen=True)
class Worth:
    """How well maps of the validation pictures tell flawed from good ones.

    Attributes:
        maps: (N, H, W) float32.
        scores: Largest value of each map, without padding, (N,).
        image_auroc: Image AUROC, from 0 to 1.
        aupro: AUPRO up to a false-positive rate of 0.3, from 0 to 1.
        image_auroc_error: Standard error of `image_auroc`.
    """

    maps: Maps
    scores: Scores
    image_auroc: float
    aupro: float
    image_auroc_error: float

    @property
    def at_chance(self) -> bool:
        """Whether the scores tell flawed from good pictures no better than chance, within a standard error."""
        return self.image_auroc - self.image_auroc_error <= 0.5


def worth(validation: Validation, maps: Maps) -> Worth:
    """Return scores and metrics of the maps, which are those of the first pictures of the validation."""
    seen = validation.first(len(maps))
    scores = np.where(seen.valid, maps, -np.inf).max(axis=(1, 2))
    error = _standard_error(_wins(scores, seen.flawed))
    return Worth(maps, scores, auroc(scores, seen.flawed), aupro(maps, seen.masks, valid=seen.valid), error)


def damage(validation: Validation, reference: Maps, maps: Maps) -> Damage:
    """Return what `maps`, those of the first pictures, have lost against FP32's."""
    known = reference[: len(maps)]
    before, after = worth(validation, known), worth(validation, maps)
    valid = validation.valid[: len(maps)]
    return Damage(
        image_auroc=100 * (before.image_auroc - after.image_auroc),
        image_auroc_error=100 * _auroc_error(before.scores, after.scores, validation.flawed[: len(maps)]),
        aupro=100 * (before.aupro - after.aupro),
        rank_correlation=_rank_correlation(before.scores, after.scores),
        score_shift=float(np.mean(after.scores - before.scores)) / _spread(before.scores),
        score_noise=float(np.std(after.scores - before.scores)) / _spread(before.scores),
        map_noise=float(np.std(maps[valid] - known[valid])) / _spread(known[valid]),
        verdicts=_changed_verdicts(validation.first(len(maps)), before.scores, after.scores),
        pictures=len(maps),
    )


def _changed_verdicts(validation: Validation, before: Scores, after: Scores) -> float:
    """Return the per cent of verdicts that are expected to change.

    A verdict changes if a score crosses the threshold, which moves as `calibrate.thresholds.pairing` moves it. The
    expected share is the density of FP32's scores at the threshold times how far a score moves. Few pictures score
    exactly there, so each counts by its nearness: by a Gaussian kernel of Silverman's width (Density Estimation, 1986,
    equation 3.31), one for good pictures and one for flawed ones. A tile counts as a part.
    """
    good = ~validation.flawed
    if not (np.isfinite(validation.threshold) and good.any()):
        return 0.0
    moves = np.abs(after - before - pair(before[good].tolist(), after[good].tolist()).shift)
    crossing = 0.0
    for group in (good, ~good):
        if group.any():
            scores = before[group]
            low, high = np.quantile(scores, (0.25, 0.75))
            width = 0.9 * min(_spread(scores), (high - low) / 1.34 or np.inf) * len(scores) ** -0.2
            nearness = np.exp(-(((scores - validation.threshold) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
            crossing += float(np.sum(nearness * moves[group]))
    return 100 * min(1.0, crossing / len(before))


def _rank_correlation(before: Scores, after: Scores) -> float:
    """Return Spearman's rank correlation; 0 if all scores of one side are equal, because they have no ranks."""
    ranks = [_ranks(scores) for scores in (before, after)]
    return float(np.asarray(np.corrcoef(ranks))[0, 1]) if all(np.ptp(side) for side in ranks) else 0.0


def _ranks(scores: Scores) -> NDArray[np.float64]:
    """Return the ranks, from 1 on; equal scores share the mean of their ranks."""
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[which])


def _spread(values: NDArray[np.float32]) -> float:
    return max(float(np.std(values)), 1e-12)


def _auroc_error(before: Scores, after: Scores, flawed: NDArray[np.bool_]) -> float:
    """Return the standard error of the difference between two AUROCs of the same pictures."""
    return _standard_error(_wins(before, flawed) - _wins(after, flawed))


def _standard_error(wins: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of (flawed, good) wins (DeLong et al., Biometrics 44, 1988)."""
    sides = (wins.mean(axis=0), wins.mean(axis=1))
    return float(np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides if len(side) > 1)))


def _wins(scores: Scores, flawed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return whether each flawed picture scores above each good one, (flawed, good); a tie counts one half."""
    bad, good = scores[flawed][:, None], scores[~flawed][None]
    return np.asarray((bad > good) + 0.5 * (bad == good))
