"""OpenVINO's engines of bundles in the making: one that is asked for again is not compiled again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import OpenVinoEngine

KEPT = 5
"""Engines: FP32, INT8, bfloat16, FP16's arithmetic and its file are asked for again until the bundle is written."""


@dataclass(frozen=True)
class _Wanted:
    """What decides about an engine; bundles in the making differ in more, such as thresholds."""

    model: bytes
    precision: Precision
    exact: bool
    meaning: str


_kept: OrderedDict[_Wanted, OpenVinoEngine] = OrderedDict()
"""The one that was asked for last at the end."""


def engine_of(bundle: Bundle, precision: Precision, *, exact: bool = True) -> OpenVinoEngine:
    """Return the engine of a bundle's precision, one of the last built where it is the same.

    What it says of a frame is valid until the next, whoever asks: copy it.

    Args:
        bundle: The bundle.
        precision: Which of its models.
        exact: As of `OpenVinoEngine`.

    Raises:
        EngineError: It cannot be built.
        BundleError: The bundle has no such precision.
    """
    told, decision = bundle.manifest, bundle.manifest.decision
    meaning = f"{told.input.model_dump_json()} {told.outputs.model_dump_json()} {decision.sigma} {decision.top}"
    wanted = _Wanted(bundle.model(precision), precision, exact, meaning)
    if wanted not in _kept:
        _kept[wanted] = OpenVinoEngine(bundle, precision, exact=exact)
    _kept.move_to_end(wanted)
    if len(_kept) > KEPT:
        _kept.popitem(last=False)  # not closed: whoever asked for it may still use it
    return _kept[wanted]


@contextmanager
def engines_forgotten() -> Iterator[None]:
    """Close the engines that are kept afterwards."""
    try:
        yield
    finally:
        while _kept:
            _kept.popitem()[1].close()
