"""Why parts score otherwise than they did, as far as their pictures tell, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from edge_inspect.edge.contract.health import Cause
from edge_inspect.edge.health.picture import Measure
from edge_inspect.edge.health.picture_change import MeasureChange

NEAR = 0.5
"""From this share of its limit on, a change of the picture is the likely cause of scores that have moved."""
_NAMES: dict[Measure, str] = {"light": "the light", "focus": "the sharpness", "position": "the part's position"}
_REMEDIES: dict[Cause, str] = {
    "light": "look at lamp, exposure and light from elsewhere",
    "focus": "look at the lens, its glass and its distance",
    "position": "look at the camera's mount, the fixture and the trigger",
    "parts": "look at the rejected parts: if they are bad, mend the line; if they are good, as of a new lot, set the "
    "threshold from the line's own parts (shadow, calibrate threshold), and train again where that is not enough",
}


def likely_cause(changes: Mapping[Measure, MeasureChange]) -> Cause:
    """Return the measure of the picture that has moved most; `parts` where none has moved much."""
    most = max(changes, key=lambda measure: changes[measure].ratio, default=None)
    return "parts" if most is None or changes[most].ratio < NEAR else most


def remedy(cause: Cause, changes: Mapping[Measure, MeasureChange]) -> str:
    """Return what has changed and what to look at, in words."""
    if cause == "parts":
        seen = "the pictures are as they were" if changes else "the pictures have not been seen for long enough"
        return f"{seen}; {_REMEDIES['parts']}"
    value = changes[cause].value
    if cause == "position":
        moved = f"has moved by {100 * abs(value):.0f} % of the picture"
    else:
        moved = f"is {100 * abs(value):.0f} % {'more' if value > 0 else 'less'} than it was"
    return f"{_NAMES[cause]} {moved}; {_REMEDIES[cause]}"
