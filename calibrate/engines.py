"""OpenVINO engines for bundles in the making; an engine that is asked for again is not compiled again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import OpenVinoEngine

KEPT = 5
"""Number of engines kept: FP32, INT8, bfloat16, FP16's arithmetic and its file are used until the bundle is written."""


@dataclass(frozen=True)
class _Wanted:
    """The properties that determine an engine. Bundles in the making differ in others too, such as thresholds."""

    model: bytes
    precision: Precision
    exact: bool
    meaning: str


_kept: OrderedDict[_Wanted, OpenVinoEngine] = OrderedDict()
"""The one that was asked for last at the end."""


def engine_of(bundle: Bundle, precision: Precision, *, exact: bool = True) -> OpenVinoEngine:
    """Return the engine of a bundle's precision; one of the last engines built is used again if it is the same.

    The arrays that it returns for a frame are valid until its next frame, even if another caller runs that one. Copy
    them to keep them.

    Args:
        bundle: The bundle.
        precision: Precision of the model to run.
        exact: See `OpenVinoEngine`.

    Raises:
        EngineError: The engine cannot be built.
        BundleError: The bundle has no such precision.
    """
    manifest, decision = bundle.manifest, bundle.manifest.decision
    meaning = f"{manifest.input.model_dump_json()} {manifest.outputs.model_dump_json()} {decision.sigma} {decision.top}"
    wanted = _Wanted(bundle.model(precision), precision, exact, meaning)
    if wanted not in _kept:
        _kept[wanted] = OpenVinoEngine(bundle, precision, exact=exact)
    _kept.move_to_end(wanted)
    if len(_kept) > KEPT:
        _kept.popitem(last=False)  # not closed: whoever asked for it may still use it
    return _kept[wanted]


@contextmanager
def engines_forgotten() -> Iterator[None]:
    """Close the kept engines when the context ends."""
    try:
        yield
    finally:
        while _kept:
            _kept.popitem()[1].close()
