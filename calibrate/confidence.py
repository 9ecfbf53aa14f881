"""How sure an interval is, and how shares are said; without scipy, which a box does not have."""

from __future__ import annotations

LEVEL = 0.9
"""Of every interval that `calibrate` states, two-sided."""


def percent(share: float) -> str:
    """Return a share for a person, to 3 digits."""
    return f"{100 * share:.3g} %"
