"""Engines of bundles in the making, kept for who asks again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edge_inspect.calibrate.engines import KEPT, engine_of, engines_forgotten
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import Manifest
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.errors import BundleError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    with engines_forgotten():
        yield


def changed(bundle: Bundle, **parts: object) -> Bundle:
    """The same files under a manifest with other parts."""
    manifest = Manifest.model_validate(bundle.manifest.model_dump() | parts)
    return Bundle(bundle.path, manifest, "", bundle.file)


def test_a_bundle_that_differs_in_thresholds_and_name_alone_has_the_same_engine(bundle: Bundle) -> None:
    decision = bundle.manifest.decision.model_dump()
    decision["thresholds"] = {name: each | {"image": 9.0} for name, each in decision["thresholds"].items()}
    same = changed(bundle, decision=decision, name="another")
    assert engine_of(same, "fp32") is engine_of(bundle, "fp32")


def test_what_an_engine_says_is_the_same_kept_or_not(bundle: Bundle) -> None:
    frame: Frame = np.random.default_rng(3).integers(0, 256, (80, 100, 3), np.uint8)
    first = engine_of(bundle, "int8").infer(frame).values.copy()
    engine_of(bundle, "fp32").infer(frame)
    np.testing.assert_array_equal(engine_of(bundle, "int8").infer(frame).values, first)
    np.testing.assert_array_equal(OpenVinoEngine(bundle, "int8").infer(frame).values, first)


@pytest.mark.parametrize(
    "part",
    [
        {"decision": {"sigma": 2.0}},
        {"decision": {"top": 3}},
        {"input": {"mean": [0.5, 0.5, 0.5]}},
        {"input": {"fit": replace(Fit(64, 64), mode="pad").as_dict()}},
    ],
)
def test_what_changes_maps_or_scores_has_an_engine_of_its_own(
    bundle: Bundle, part: dict[str, dict[str, object]]
) -> None:
    name, fields = next(iter(part.items()))
    whole = bundle.manifest.model_dump()[name]
    size = {"width": bundle.fit.width, "height": bundle.fit.height}
    fields = {key: value | size if isinstance(value, dict) else value for key, value in fields.items()}
    assert whole != whole | fields
    assert engine_of(changed(bundle, **{name: whole | fields}), "fp32") is not engine_of(bundle, "fp32")


def test_precision_and_exactness_tell_engines_apart(bundle: Bundle) -> None:
    engines = [engine_of(bundle, "fp32"), engine_of(bundle, "fp32", exact=False), engine_of(bundle, "int8")]
    assert len(set(map(id, engines))) == 3


def test_few_are_kept_and_none_in_the_end(bundle: Bundle) -> None:
    with engines_forgotten():
        first = engine_of(bundle, "fp32")
        for name in range(KEPT - 1):
            engine_of(changed(bundle, decision=bundle.manifest.decision.model_dump() | {"top": 2 + name}), "fp32")
        assert engine_of(bundle, "fp32") is first
        for name in range(KEPT):
            engine_of(changed(bundle, decision=bundle.manifest.decision.model_dump() | {"top": 2 + name}), "fp32")
        second = engine_of(bundle, "fp32")
        assert second is not first
    assert engine_of(bundle, "fp32") is not second


def test_a_precision_that_a_bundle_lacks_is_named(bundle: Bundle) -> None:
    lacking = changed(bundle, precisions=["fp32"], preferred="fp32", order=None)
    with pytest.raises(BundleError, match="fp16"):
        engine_of(lacking, "fp16")
