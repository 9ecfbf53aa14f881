from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import taught_parts

from edge_inspect.calibrate.teach.labelled_parts import read_parts
from edge_inspect.calibrate.teach.next_bundle import teach
from edge_inspect.calibrate.teach.proposal import count, propose
from edge_inspect.calibrate.teach.propose_options import since
from edge_inspect.edge.bundle.bundle import Bundle, write_bundle
from edge_inspect.edge.errors import BundleError

Give = Callable[[str], Bundle]


def with_threshold(parent: Bundle, image: float, folder: Path) -> Bundle:
    """A copy of the bundle with another threshold in every precision."""
    fields = parent.manifest.model_dump(mode="json", exclude={"format", "files"})
    for limits in fields["decision"]["thresholds"].values():
        limits.update(image=image, pixel=min(limits["pixel"], image), image_low=None, image_high=None)
    return write_bundle(folder, fields, {name: parent.file(name) for name in parent.manifest.files})


def copied(parent: Bundle, place: Path) -> Bundle:
    shutil.copytree(parent.path, place)
    return parent


@pytest.mark.parametrize(("image", "word"), [(0.0, "rejected"), (1e6, "missed")])
def test_a_bundle_that_is_worse_in_one_way_is_not_proposed(
    bundle_of: Give, labels: Path, tmp_path: Path, image: float, word: str
) -> None:
    parent = bundle_of("memory")
    good = taught_parts.label(tmp_path / "old", [taught_parts.part(seed) for seed in range(50, 53)])
    folder = good if word == "rejected" else labels
    parts = read_parts(folder, None).all
    before = count(parent, parts)
    made = propose(parent, parts, tmp_path / "next", lambda place: with_threshold(parent, image, place))
    assert made.bundle is None
    assert "the next bundle is worse on the labelled parts" in made.why
    assert made.before == before
    assert made.after is not None
    assert made.after.false_rejects == (3 if word == "rejected" else 0)
    assert made.after.missed == (0 if word == "rejected" else before.defects)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"], "nothing is left behind"


def test_a_bundle_as_good_as_the_parent_is_proposed_and_a_taken_place_is_refused(
    bundle_of: Give, labels: Path, tmp_path: Path
) -> None:
    parent, parts = bundle_of("memory"), read_parts(labels, None).all
    made = propose(parent, parts, tmp_path / "next", lambda place: copied(parent, place))
    assert made.bundle is not None
    assert (made.bundle.path, made.after) == (tmp_path / "next", made.before)
    with pytest.raises(BundleError, match="already exists"):
        propose(parent, parts, tmp_path / "next", lambda place: pytest.fail("made in vain"))


def test_labels_that_change_nothing_propose_nothing(bundle_of: Give, tmp_path: Path) -> None:
    parent = bundle_of("memory")
    parts = read_parts(taught_parts.label(tmp_path / "old", [taught_parts.part(50)]), None)
    made = propose(
        parent, parts.all, tmp_path / "next", lambda place: teach(parent, parts, place, what="threshold").bundle
    )
    assert made.bundle is None
    assert "these labels change nothing" in made.why


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-30", datetime(2026, 11, 30, tzinfo=timezone.utc)),
        ("2026-11-30T06:00", datetime(2026, 11, 30, 6, tzinfo=timezone.utc)),
        ("2026-11-30 06:00:01+01:00", datetime(2026, 11, 30, 5, 0, 1, tzinfo=timezone.utc)),
        ("2026-11-30T06:00:00Z", datetime(2026, 11, 30, 6, tzinfo=timezone.utc)),
    ],
)
def test_since_is_a_time(text: str, wanted: datetime) -> None:
    assert since(text) == wanted


@pytest.mark.parametrize("text", ["7 days", "7d", "7 d"])
def test_since_is_a_span(text: str) -> None:
    assert abs(datetime.now(timezone.utc) - timedelta(days=7) - since(text)) < timedelta(minutes=1)


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-3 days", "2026-13-01"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        since(text)
