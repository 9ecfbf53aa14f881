"""A part as the structures of OPC 40100-1 have it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from asyncua import ua

from edge_inspect.edge.opcua.received_messages import ReceivedPart

COMPLETED = 1
"""The value of ResultStateDataType for a result that is complete."""
_MOST_REGIONS = 32
_Kind = ua.VariantType
# asyncua makes the classes of the node set when that is imported.
_ua: Any = ua
_FIELDS = {
    "HasTransferableDataOnFile": _Kind.Boolean,
    "IsPartial": _Kind.Boolean,
    "IsSimulated": _Kind.Boolean,
    "ResultState": _Kind.Int32,
    "ResultId": _Kind.ExtensionObject,
    "PartId": _Kind.ExtensionObject,
    "ExternalRecipeId": _Kind.ExtensionObject,
    "InternalRecipeId": _Kind.ExtensionObject,
    "InternalConfigurationId": _Kind.ExtensionObject,
    "JobId": _Kind.ExtensionObject,
    "CreationTime": _Kind.DateTime,
    "ProcessingTimes": _Kind.ExtensionObject,
}


def result(part: ReceivedPart) -> Any:
    """Return a part as ResultDataType."""
    return _ua.ResultDataType(
        ResultId=_ua.ResultIdDataType(Id=part.id),
        HasTransferableDataOnFile=False,
        IsPartial=False,
        IsSimulated=False,
        ResultState=COMPLETED,
        PartId=part_id(part),
        ExternalRecipeId=recipe(part.recipe) if part.recipe is not None else None,
        InternalRecipeId=internal_recipe(part.recipe, part.bundle.name, part.bundle.digest),
        InternalConfigurationId=configuration(part),
        JobId=_ua.JobIdDataType(Id=part.id),
        CreationTime=part.decided_at,
        ProcessingTimes=processing_times(part),
        ResultContent=content(part),
    )


def fields(whole: Any) -> dict[str, ua.Variant]:
    """Return the fields of a `result` one by one, as events, variables and outputs of methods have them."""
    kinds = {name: ua.Variant(getattr(whole, name), kind) for name, kind in _FIELDS.items()}
    facts = [each.Value for each in whole.ResultContent]
    return kinds | {"ResultContent": ua.Variant(facts, _Kind.ExtensionObject, is_array=True)}


def part_id(part: ReceivedPart) -> Any:
    """Return the id of a part as PartIdDataType; `None` if it has none."""
    return _ua.PartIdDataType(Id=part.part_id) if part.part_id is not None else None


def recipe(name: str) -> Any:
    """Return a recipe's name as RecipeIdExternalDataType."""
    return _ua.RecipeIdExternalDataType(Id=name)


def internal_recipe(name: str | None, bundle: str, digest: str) -> Any:
    """Return what a part is judged by as RecipeIdInternalDataType: the recipe, or without one the bundle.

    Args:
        name: Name of the recipe; `None` without one.
        bundle: Name of the bundle, which becomes the version.
        digest: sha256 of the bundle's manifest, in hexadecimal; of another text nothing is kept.
    """
    try:
        hashed: bytes | None = bytes.fromhex(digest)
    except ValueError:
        hashed = None
    return _ua.RecipeIdInternalDataType(
        Id=bundle if name is None else name,
        Version=bundle,
        Hash=hashed,
        HashAlgorithm="SHA-256" if hashed is not None else None,
    )


def configuration(part: ReceivedPart) -> Any:
    """Return how a part was computed as ConfigurationIdDataType: the precision of the network."""
    return _ua.ConfigurationIdDataType(Id=part.precision)


def processing_times(part: ReceivedPart) -> Any:
    """Return when a part was seen and decided as ProcessingTimesDataType."""
    return _ua.ProcessingTimesDataType(
        StartTime=part.captured_at, EndTime=part.decided_at, ProcessingDuration=part.latency_ms
    )


def content(part: ReceivedPart) -> list[ua.Variant]:
    """Return a part as ResultContent: a KeyValuePair for each fact; docs/opcua.md lists the keys."""
    return [
        ua.Variant(ua.KeyValuePair(ua.QualifiedName(key), value), _Kind.ExtensionObject) for key, value in _facts(part)
    ]


def _facts(part: ReceivedPart) -> Iterator[tuple[str, ua.Variant]]:
    yield "accepted", ua.Variant(part.ok, _Kind.Boolean)
    yield "shadow", ua.Variant(part.shadow, _Kind.Boolean)
    yield "sequence", ua.Variant(part.sequence, _Kind.UInt64)
    yield "score", ua.Variant(part.score, _Kind.Double)
    yield "threshold", ua.Variant(part.threshold, _Kind.Double)
    yield "regions", ua.Variant(part.all_regions, _Kind.Int32)
    for key, text in (("reason", part.reason), ("not_found", part.not_found), ("area_name", part.area_name)):
        if text is not None:
            yield key, ua.Variant(text, _Kind.String)
    regions = (part.regions or ())[:_MOST_REGIONS]
    for region in regions:
        numbers = [*map(float, region.bbox), float(region.area_px), region.peak]
        yield "region", ua.Variant(numbers, _Kind.Double, is_array=True)
    if any(region.view is not None for region in regions):
        views = [region.view or "" for region in regions]
        yield "region_views", ua.Variant(views, _Kind.String, is_array=True)


def stored_value(value: ua.Variant, at: datetime) -> ua.DataValue:
    """Return a value with the time of its part."""
    return ua.DataValue(value, SourceTimestamp=at, ServerTimestamp=at)
