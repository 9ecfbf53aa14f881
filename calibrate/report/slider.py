"""The part of a bundle's page where a slider moves the threshold, and every judged picture is judged again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from edge_inspect.calibrate.precisions.damage import Scores
from edge_inspect.calibrate.precisions.validation import Validation
from edge_inspect.train.pages import read_part
from edge_inspect.train.thumbnails import inline, outlined, small, small_mask

SIDE = 128
"""Longest side of a thumbnail, in pixels."""


DIGITS = 6
"""Digits of scores after the decimal point."""


def script() -> str:
    """Return the JavaScript that runs when the slider moves."""
    return read_part("slider.js", __package__)


def slider(groups: Mapping[str, Sequence[float]], threshold: float, validation: Validation, scores: Scores) -> str:
    """Return the slider, the effect of each threshold on groups of pictures, and the validation pictures, as HTML.

    Each step of the slider is one picture: the slider's places are the scores found. Without scripts, the page says
    what the shipped threshold does.

    Args:
        groups: Scores of each group of pictures, by the group's name.
        threshold: The shipped threshold.
        validation: Pictures to show.
        scores: Scores of these pictures.
    """
    # All are rounded in the same way, so that a score that equals the threshold is not above it.
    limit, judged = round(threshold, DIGITS), {name: _rounded(each) for name, each in groups.items()}
    seen = _rounded(scores.tolist())
    levels = sorted({limit, *seen, *(score for each in judged.values() for score in each)})
    shipped = levels.index(limit)
    data = {"levels": levels, "shipped": shipped, "groups": [{"scores": each} for each in judged.values()]}
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td class="number" id="group{row}">'
        f"{sum(score > limit for score in each)} of {len(each)}</td></tr>"
        for row, (name, each) in enumerate(judged.items())
    ]
    figures = [_figure(validation, i, score, limit) for i, score in enumerate(seen)]
    # Text inside a script element is not parsed as HTML; only the element's end tag would be recognised.
    text = json.dumps(data).replace("<", "\\u003c")
    return (
        f'<label for="threshold">threshold: <b id="at">{threshold:.5g} (as shipped)</b></label>'
        f'<input class="slider" id="threshold" type="range" min="0" max="{len(levels) - 1}" value="{shipped}">'
        '<p><button id="back" type="button">back to the shipped threshold</button></p>'
        '<table><thead><tr><th scope="col">pictures</th><th scope="col" class="number">rejected</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
        f'<div class="judged">{"".join(figures)}</div>'
        f'<script type="application/json" id="judged">{text}</script>'
    )


def _rounded(scores: Sequence[float]) -> list[float]:
    return [round(float(score), DIGITS) for score in scores]


def _figure(validation: Validation, i: int, score: float, threshold: float) -> str:
    """Return a validation picture with its verdict."""
    picture = validation.pictures[i]
    scale = min(1.0, SIDE / max(picture.shape[:2]))
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    kind = "a flaw" if validation.flawed[i] else "good"
    word = "rejected" if score > threshold else "accepted"
    shown = inline(outlined(small(picture, size), small_mask(validation.masks[i] > 0, size), (0, 255, 255), 1), kind)
    return (
        f'<figure class="{word}" data-score="{score}">{shown}<figcaption>{kind}, {score:.4g}: <span>{word}</span>'
        "</figcaption></figure>"
    )
