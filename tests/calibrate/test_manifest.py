"""The manifest in the making: each step sets what it names, and leaves everything else as it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import small_bundle

from edge_inspect.calibrate.manifest import ManifestDraft
from edge_inspect.edge.bundle.bundle import write_bundle
from edge_inspect.edge.bundle.manifest import DefectsFound, FlawsFound, Manifest, Thresholds, complete
from edge_inspect.edge.health.picture import PictureRange

LIMITS = Thresholds(image=0.7, pixel=0.6, method="another")
PICTURES = PictureRange(level_low=20, saturated_high=0.1, sharpness_low=0.2)


def manifest(**decision: object) -> Manifest:
    return complete(small_bundle.fields(**decision), small_bundle.contents())


def changed(before: ManifestDraft, after: ManifestDraft) -> set[str]:
    names = [each.name for each in dataclasses.fields(ManifestDraft)]
    return {name for name in names if getattr(before, name) != getattr(after, name)}


@pytest.mark.parametrize("decision", [{}, {"min_area_px": 9, "sigma": 2.5}, {"images_wanted": 50, "top": 3}])
def test_a_draft_of_a_manifest_says_the_same(decision: dict[str, float], tmp_path: Path) -> None:
    whole = manifest(**decision)
    fields = ManifestDraft.of(whole).as_dict()
    assert complete(fields, small_bundle.contents()) == whole
    written = write_bundle(tmp_path / "again", fields, small_bundle.contents())
    first = write_bundle(tmp_path / "first", small_bundle.fields(**decision), small_bundle.contents())
    assert written.digest == first.digest, "the file is the same, byte for byte"


def test_each_step_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    begun = ManifestDraft.of(manifest())
    assert changed(begun, begun.with_name(tmp_path / "next.zip")) == {"name", "created"}
    assert begun.with_name(tmp_path / "next.zip").name == "next"
    assert changed(begun, begun.with_pictures(PICTURES)) == {"input"}
    assert begun.with_pictures(PICTURES).input.fit == begun.input.fit
    assert changed(begun, begun.with_tolerance({"int8": 0.5, "fp32": 0.5})) == {"golden"}
    assert changed(begun, begun.with_preference("fp32", {"openvino": ["fp32", "int8"]})) == {"preferred", "order"}
    told = begun.with_provenance({"seed": 3, "line": "a"})
    assert changed(begun, told) == {"provenance"} and dict(told.provenance) == {"seed": 3, "line": "a"}


def test_other_thresholds_leave_how_a_map_becomes_a_score() -> None:
    begun = ManifestDraft.of(manifest(sigma=2.5, top=3, min_area_px=9, images_wanted=70))
    flaws, defects = [FlawsFound(width=0.1, drawn=4, found=3)], [DefectsFound(kind="cut", images=2, found=1)]
    decided = begun.with_decision(
        {"fp32": LIMITS, "int8": LIMITS},
        method="another",
        false_reject_rate=0.01,
        held_out_images=300,
        flaws=flaws,
        defects=defects,
    )
    assert changed(begun, decided) == {"decision"}
    decision = complete(decided.as_dict(), small_bundle.contents()).decision
    assert (decision.sigma, decision.top, decision.min_area_px) == (2.5, 3, 9)
    assert (decision.false_reject_rate, decision.held_out_images, decision.images_wanted) == (0.01, 300, None)
    assert decision.thresholds == {"fp32": LIMITS, "int8": LIMITS}
    assert (decision.flaws, decision.defects, decision.method) == (flaws, defects, "another")


def test_a_draft_without_a_threshold_of_each_precision_makes_no_manifest() -> None:
    decided = ManifestDraft.of(manifest()).with_decision(
        {"fp32": LIMITS}, method="another", false_reject_rate=0.01, held_out_images=300
    )
    with pytest.raises(ValueError, match="thresholds or tolerance missing for int8"):
        complete(decided.as_dict(), small_bundle.contents())
