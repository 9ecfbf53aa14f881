from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import small_bundle
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.bundle.manifest import Manifest
from edge_inspect.edge.bundle.promise import in_100, promise_of

FLAWS = [{"width": 0.01, "drawn": 48, "found": 34}, {"width": 0.02, "drawn": 48, "found": 46}]


def manifest(path: Path, **decision: Any) -> Manifest:
    """The manifest of a bundle whose thresholds reject at most 2.1 % of good parts."""
    limits = {"image": 0.5, "pixel": 0.25, "rate_low": 0.001, "rate_high": 0.021}
    return small_bundle.write(path / "b", thresholds={"fp32": limits, "int8": limits}, **decision).manifest


def test_it_says_what_the_threshold_does_in_one_sentence_each(tmp_path: Path) -> None:
    defects = [{"kind": "bent", "images": 10, "found": 10}, {"kind": "cut", "images": 12, "found": 7}]
    promise = promise_of(manifest(tmp_path, flaws=FLAWS, defects=defects))
    assert promise.lines == [
        "Of good parts at most 2.1 in 100 will be rejected (90 % sure).",
        "Of synthetic flaws of 2 % of the part's width 96 in 100 are found, of 1 % 71.",
        "Of 22 images of real defects 17 are found: bent 10 of 10, cut 7 of 12.",
    ]


def test_a_bundle_that_knows_less_says_less(tmp_path: Path) -> None:
    assert promise_of(small_bundle.write(tmp_path / "old").manifest).lines == []
    assert promise_of(manifest(tmp_path)).lines == ["Of good parts at most 2.1 in 100 will be rejected (90 % sure)."]


@pytest.mark.parametrize(("found", "warned"), [(0, True), (23, True), (24, False), (48, False)])
def test_a_threshold_that_lets_most_flaws_pass_says_so_first_and_what_helps(
    tmp_path: Path, found: int, warned: bool
) -> None:
    small = {"width": 0.01, "drawn": 48, "found": 0}
    promise = promise_of(manifest(tmp_path, flaws=[small, {"width": 0.05, "drawn": 48, "found": found}]))
    assert bool(promise.warning) == warned and len(promise.sentences) == 2
    if warned:
        assert promise.lines[0].startswith(
            f"Warning: most flaws pass: of 48 synthetic ones of 5 % of the part's width {found} are found."
        )
        places = [
            promise.warning.index(word) for word in ("good pictures", "tiles", "teacher", "alike in every picture")
        ]
        assert places == sorted(places) and "give at least 100" in promise.warning


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0"),
        (0.0213, "2.1"),
        (0.1, "10"),
        (0.527, "53"),
        (1, "100"),
        (0.996, "100"),
        (0.00042, "0.042"),
        (0.02, "2"),
    ],
)
def test_shares_are_said_in_100(share: float, said: str) -> None:
    assert in_100(share) == said


@given(st.floats(1e-9, 1))
def test_a_share_that_must_not_be_exceeded_is_never_said_smaller(share: float) -> None:
    said = float(in_100(share, up=True))
    assert 100 * share <= said * (1 + 1e-7) and said <= 110 * share + 1e-9
