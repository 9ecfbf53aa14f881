"""The manifest of a bundle in the making, completed step by step. This module imports only what a box has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from edge_inspect.edge.bundle.manifest import (
    DecisionPart,
    DefectsFound,
    FeaturePairs,
    FlawsFound,
    GoldenPart,
    InputPart,
    Manifest,
    MapOutput,
    ModelPart,
    Thresholds,
)
from edge_inspect.edge.contract.fields import Precision, format_time, utc_now
from edge_inspect.edge.health.picture import PictureRange
from edge_inspect.edge.text import clean


@dataclass(frozen=True)
class ManifestDraft:
    """A manifest without the digests of the bundle's files. Each step returns a draft that is more complete.

    The attributes are those of `edge.bundle.manifest.Manifest`.
    """

    name: str
    created: str
    model: ModelPart
    input: InputPart
    outputs: FeaturePairs | MapOutput
    decision: DecisionPart
    golden: GoldenPart
    precisions: Sequence[Precision]
    preferred: Precision
    order: Mapping[str, Sequence[Precision]] | None
    provenance: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Manifest) -> ManifestDraft:
        """Return a draft that says the same as the manifest of a bundle."""
        return cls(**{each.name: getattr(manifest, each.name) for each in fields(cls)})

    def with_name(self, out: Path) -> ManifestDraft:
        """Return a draft with the name of the bundle to write there, and the present time."""
        return replace(self, name=clean(out.name.removesuffix(".zip")), created=format_time(utc_now()))

    def with_pictures(self, pictures: PictureRange) -> ManifestDraft:
        """Return a draft with what good pictures showed."""
        return replace(self, input=self.input.model_copy(update={"pictures": pictures}))

    def with_decision(
        self,
        thresholds: Mapping[Precision, Thresholds],
        *,
        method: str,
        false_reject_rate: float,
        held_out_images: int,
        images_wanted: int | None = None,
        flaws: Sequence[FlawsFound] = (),
        defects: Sequence[DefectsFound] = (),
    ) -> ManifestDraft:
        """Return a draft with other thresholds; how a map becomes a score and regions stays the same.

        Args:
            thresholds: Thresholds of every precision.
            method: How the threshold was found, in words.
            false_reject_rate: Share of good parts that the threshold is set to reject.
            held_out_images: Number of good images that the threshold comes from.
            images_wanted: How many would promise no more than twice that share.
            flaws: What the threshold finds of synthetic flaws.
            defects: What it finds of real defects.
        """
        decision = DecisionPart(
            sigma=self.decision.sigma,
            top=self.decision.top,
            min_area_px=self.decision.min_area_px,
            false_reject_rate=false_reject_rate,
            held_out_images=held_out_images,
            images_wanted=images_wanted,
            method=method,
            flaws=list(flaws),
            defects=list(defects),
            thresholds=dict(thresholds),
        )
        return replace(self, decision=decision)

    def with_tolerance(self, tolerance: Mapping[Precision, float]) -> ManifestDraft:
        """Return a draft with how far golden maps may differ, for every precision."""
        return replace(self, golden=GoldenPart(tolerance=dict(tolerance)))

    def with_preference(
        self, preferred: Precision, order: Mapping[str, Sequence[Precision]] | None = None
    ) -> ManifestDraft:
        """Return a draft with the precision that stations run, and the precisions that each engine tries, in turn."""
        return replace(self, preferred=preferred, order=order)

    def with_provenance(self, entries: Mapping[str, Any]) -> ManifestDraft:
        """Return a draft with more entries on where the bundle comes from."""
        return replace(self, provenance={**self.provenance, **entries})

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as `edge.bundle.bundle.write_bundle` takes them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
