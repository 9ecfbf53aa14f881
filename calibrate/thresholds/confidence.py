"""The confidence of intervals, and how shares are printed. No scipy here, because a box does not have it."""

from __future__ import annotations

LEVEL = 0.9
"""Confidence of every interval that `calibrate` states, two-sided."""


def percent(share: float) -> str:
    """Return a share as text for a person, to 3 digits."""
    return f"{100 * share:.3g} %"
