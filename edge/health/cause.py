"""The likely cause of rejects or drifting scores, as far as the pictures show it, and its remedy."""

from __future__ import annotations

from collections.abc import Mapping

from edge_inspect.edge.contract.health import Cause
from edge_inspect.edge.health.picture import Measure
from edge_inspect.edge.health.picture_change import MeasureChange

NEAR = 0.5
"""Share of its limit from which a change of the picture counts as the likely cause of rejects or drifting scores."""
_REMEDIES: dict[Cause, str] = {
    "light": "check the lamp, the exposure, and light from other sources",
    "focus": "check the lens, its front glass, and the distance to the part",
    "position": "check the camera's mount, the fixture and the trigger",
    "parts": "look at the rejected parts; if they are bad, repair the line; if they are good, as in a new lot, make a "
    "new threshold from the line's own parts (shadow, calibrate threshold); if that is not enough, train again",
}


def likely_cause(changes: Mapping[Measure, MeasureChange]) -> Cause:
    """Return the measure of the picture that has changed most; `parts` if none has changed much."""
    most = max(changes, key=lambda measure: changes[measure].ratio, default=None)
    return "parts" if most is None or changes[most].ratio < NEAR else most


def remedy(cause: Cause, changes: Mapping[Measure, MeasureChange]) -> str:
    """Return a sentence that says what has changed in the pictures, and what to check."""
    if cause == "parts":
        seen = "the pictures have not changed" if changes else "too few frames have come to compare the pictures"
        return f"{seen}; {_REMEDIES['parts']}"
    value = changes[cause].value
    percent = f"{100 * abs(value):.0f} %"
    if cause == "position":
        seen = f"the parts have moved by {percent} of the picture"
    elif cause == "light":
        seen = f"the picture is {percent} {'brighter' if value > 0 else 'darker'} than before"
    else:
        seen = f"the picture is {percent} {'sharper' if value > 0 else 'less sharp'} than before"
    return f"{seen}; {_REMEDIES[cause]}"
