"""The type InspectionType of this program's own namespace: plain values and methods, for clients without structures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from asyncua import Node, Server, ua

from edge_inspect.edge.opcua.received_messages import ReceivedHealth, ReceivedPart

URI = "urn:edge-inspect:opcua"
TYPE_NAME = "InspectionType"
_TYPE, _FIRST_VALUE, _FIRST_METHOD = 1001, 2001, 3001
_Kind = ua.VariantType


class Value(NamedTuple):
    """A variable of the type.

    Attributes:
        name: Its browse name.
        kind: Its type.
        about: Its description.
        of: Returns the value for a message; `None` is no value.
        rank: -1: one value; 1: an array.
    """

    name: str
    kind: ua.VariantType
    about: str
    of: Callable[[Any], Any]
    rank: int = -1


class Method(NamedTuple):
    """A method of the type; it returns Error (Int32, 0 if all is well) and Reason (String).

    Attributes:
        name: Its browse name.
        about: Its description.
        inputs: Names of its inputs, all of them text, with their description.
    """

    name: str
    about: str
    inputs: tuple[tuple[str, str], ...] = ()


def _of_part(name: str) -> Callable[[ReceivedPart], Any]:
    return lambda part: getattr(part, name)


def _of_health(name: str) -> Callable[[ReceivedHealth], Any]:
    return lambda health: getattr(health, name)


def _inside(section: str, name: str) -> Callable[[ReceivedHealth], Any]:
    """Return a function that gives a field of a section of health; `None` where the section is missing."""
    return lambda health: getattr(getattr(health, section), name, None)


PART_VALUES = (
    Value("Accepted", _Kind.Boolean, "true: the newest part is accepted; false: it is rejected", _of_part("ok")),
    Value("Sequence", _Kind.UInt64, "number of the newest part; the station counts from 1", _of_part("sequence")),
    Value("PartId", _Kind.String, "id of the newest part that came with its trigger", _of_part("part_id")),
    Value("DecidedAt", _Kind.DateTime, "time of the decision on the newest part", _of_part("decided_at")),
    Value("Score", _Kind.Double, "how unusual the newest part is", _of_part("score")),
    Value("Threshold", _Kind.Double, "a part with a score above this is rejected", _of_part("threshold")),
    Value("Shadow", _Kind.Boolean, "true: the station rejects nothing and collects scores", _of_part("shadow")),
    Value("RejectReason", _Kind.String, "defect or not_found, if the newest part is rejected", _of_part("reason")),
    Value("NotFound", _Kind.String, "how the newest part was not found in its frame", _of_part("not_found")),
    Value("AreaName", _Kind.String, "area in which the newest part is most unusual", _of_part("area_name")),
    Value("Regions", _Kind.Int32, "number of defective regions of the newest part", _of_part("all_regions")),
    Value("LatencyMs", _Kind.Double, "time from the frame to the verdict, in ms", _of_part("latency_ms")),
    Value("PartRecipe", _Kind.String, "recipe by which the newest part was judged", _of_part("recipe")),
    Value("PartBundle", _Kind.String, "bundle by which the newest part was judged", lambda part: part.bundle.name),
)
"""The values that come from each part."""

STATUS_VALUES = (
    Value("State", _Kind.String, "state of the station, as its status has it", lambda status: status.state),
    Value("StateReason", _Kind.String, "why the station is in this state", lambda status: status.reason),
    Value("Version", _Kind.String, "version of edge-inspect on the box", lambda status: status.version),
    Value("Recipe", _Kind.String, "recipe in force; BadNoData if there is none", lambda status: status.recipe),
)
"""The values that come from the station's status."""

HEALTH_VALUES = (
    Value("Inspected", _Kind.Int64, "parts with a verdict since the service started", _inside("frames", "inspected")),
    Value("AcceptedCount", _Kind.Int64, "accepted parts since the service started", _inside("frames", "accepted")),
    Value("RejectedCount", _Kind.Int64, "rejected parts since the service started", _inside("frames", "rejected")),
    Value("Dropped", _Kind.Int64, "frames and parts without a verdict since then", _inside("frames", "dropped")),
    Value("PartsPerSecond", _Kind.Double, "parts inspected a second", _of_health("fps")),
    Value("LatencyP50Ms", _Kind.Double, "half of the parts take no longer, in ms", _inside("latency_ms", "p50")),
    Value("LatencyP99Ms", _Kind.Double, "99 % of the parts take no longer, in ms", _inside("latency_ms", "p99")),
    Value("Engine", _Kind.String, "engine that runs the network", _of_health("engine")),
    Value("Precision", _Kind.String, "precision in which the network runs", _of_health("precision")),
    Value("Bundle", _Kind.String, "bundle in force", _inside("bundle", "name")),
    Value("BundleDigest", _Kind.String, "sha256 of its manifest", _inside("bundle", "digest")),
    Value("ThresholdInForce", _Kind.Double, "threshold in force", _of_health("threshold")),
    Value("Recipes", _Kind.String, "names of all recipes of the station", lambda health: recipe_names(health), 1),
    Value("RecipeRequested", _Kind.String, "recipe that was asked for last", _inside("recipe", "requested")),
    Value(
        "RecipeState",
        _Kind.String,
        "active, changing or failed; BadNoData if there are no recipes",
        _inside("recipe", "state"),
    ),
    Value("RecipeError", _Kind.String, "why the change of recipe failed", _inside("recipe", "error")),
    Value("Warnings", _Kind.String, "warnings of the station's health", lambda health: list(health.warnings), 1),
    Value("Cause", _Kind.String, "likely cause of the warnings", _of_health("cause")),
    Value("Remedy", _Kind.String, "what to check on the line", _of_health("remedy")),
    Value("RejectShare", _Kind.Double, "share of rejects among about 200 parts, 0 to 1", _inside("rejects", "share")),
    Value("TemperatureC", _Kind.Double, "temperature of the hottest sensor, in °C", _of_health("temperature_c")),
    Value("DiskFreeBytes", _Kind.Int64, "free space on the outbox's disk, in bytes", _of_health("disk_free_bytes")),
    Value("UptimeS", _Kind.Double, "time since the service started, in seconds", _of_health("uptime_s")),
)
"""The values that come from the station's health."""

VALUES = (*STATUS_VALUES, *PART_VALUES, *HEALTH_VALUES)
METHODS = (
    Method("Pause", "Stop taking frames until Resume; needs the role operator. Frames already taken get a verdict."),
    Method("Resume", "Take frames again; needs the role operator."),
    Method(
        "Trigger",
        "Take a frame of a part now; needs the role operator, and `trigger: command` in the station's configuration.",
        (("PartId", "id of the part, which its verdict repeats; may be empty"),),
    ),
    Method("SelectRecipe", "Use another recipe; needs the role operator.", (("Name", "name of the recipe"),)),
)


def recipe_names(health: ReceivedHealth | None) -> list[str]:
    """Return the names of a station's recipes."""
    return list(health.recipe.names) if health is not None and health.recipe is not None else []


async def add_inspection_type(server: Server) -> Node:
    """Add the type to a server's address space, in the namespace `URI`, and return it."""
    index = await server.register_namespace(URI)
    base = server.get_node(ua.NodeId(ua.ObjectIds.BaseObjectType))
    made = await base.add_object_type(ua.NodeId(_TYPE, index), ua.QualifiedName(TYPE_NAME, index))
    await _describe(made, "State, newest part and health of a station of edge-inspect, and its commands.")
    for at, value in enumerate(VALUES):
        node = await made.add_variable(
            ua.NodeId(_FIRST_VALUE + at, index),
            ua.QualifiedName(value.name, index),
            ua.Variant(),
            ua.VariantType.Null,
            ua.NodeId(value.kind.value),
        )
        await node.write_value_rank(ua.ValueRank(value.rank))
        await _describe(node, value.about)
        await node.set_modelling_rule(True)
    outputs = [
        _argument("Error", _Kind.Int32, "0: done; below 0: refused, see docs/opcua.md"),
        _argument("Reason", _Kind.String, "why it was refused, and what to do about it; empty if it was done"),
    ]
    for at, method in enumerate(METHODS):
        node = await made.add_method(
            ua.NodeId(_FIRST_METHOD + 10 * at, index),
            ua.QualifiedName(method.name, index),
            None,
            [_argument(name, _Kind.String, about) for name, about in method.inputs],
            outputs,
        )
        await _describe(node, method.about)
        await node.set_modelling_rule(True)
    return made


async def _describe(node: Node, text: str) -> None:
    await node.write_attribute(ua.AttributeIds.Description, ua.DataValue(ua.LocalizedText(text)))


def _argument(name: str, kind: ua.VariantType, about: str) -> ua.Argument:
    return ua.Argument(name, ua.NodeId(kind.value), -1, [], ua.LocalizedText(about))
