"""The rule that makes one verdict of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_inspect.edge.contract.messages import Verdict


@dataclass(frozen=True)
class Rule:
    """A part is rejected if at least `votes` of the views that decide reject it.

    One vote means that any view can reject the part; as many votes as views mean that all of them must.

    Attributes:
        views: Names of the views that decide; the others only add their regions.
        votes: Number of views that must reject the part: from 1 to the number of `views`.
    """

    views: tuple[str, ...]
    votes: int

    def decisive(self, verdicts: Mapping[str, Verdict]) -> str:
        """Return the name of the view whose verdict is the joint one.

        The views are put in order: those that reject first, those in shadow last, and else by score ÷ threshold. The
        part is rejected if the `votes`-th view rejects it. So score and threshold of that view are those of the joint
        verdict.

        Args:
            verdicts: Verdicts by view, at least one. If views that decide are missing, the part is rejected anyway,
                and the most unusual of those that came is returned.
        """
        deciding = [name for name in self.views if name in verdicts] or list(verdicts)
        deciding.sort(key=lambda name: _severity(verdicts[name]), reverse=True)
        return deciding[min(self.votes if len(deciding) == len(self.views) else 1, len(deciding)) - 1]


def _severity(verdict: Verdict) -> tuple[bool, bool, float]:
    score, threshold = verdict.score, verdict.threshold
    return not verdict.ok, not verdict.shadow, score / threshold if threshold > 0 else score - threshold
