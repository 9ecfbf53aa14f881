"""The events of one station: results, changes of state, recipes, errors, and conditions for warnings of its health."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from asyncua import Server, ua
from asyncua.common.events import get_event_obj_from_type_node

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.opcua import machine_vision as mv
from edge_inspect.edge.opcua.machine_vision import MachineVision, Named
from edge_inspect.edge.opcua.received_messages import ReceivedPart
from edge_inspect.edge.opcua.result_values import fields, internal_recipe, recipe, result

_Kind = ua.VariantType
_ua: Any = ua
INFORMATION, WARNING, ERROR = 100, 500, 800
"""Severities of events, of 1 to 1000."""
_UNSENT = ("HasTransferableDataOnFile",)
"""Fields of a result that ResultReadyEventType lacks."""
_USED = (
    *(mv.RESULT_READY_EVENT_TYPE, mv.STATE_CHANGED_EVENT_TYPE, mv.ERROR_EVENT_TYPE, mv.ERROR_RESOLVED_EVENT_TYPE),
    *(mv.RECIPE_PREPARED_EVENT_TYPE, mv.INFORMATION_EVENT_TYPE, mv.WARNING_CONDITION_TYPE, mv.ERROR_CONDITION_TYPE),
)


class Field(NamedTuple):
    """A field of an event.

    Attributes:
        name: Its path, as asyncua writes it: `FromState/Id`.
        value: Its value.
        kind: Its type.
    """

    name: str
    value: Any
    kind: ua.VariantType


class EventTypes:
    """The events of OPC 40100-1 that the server sends, as asyncua's objects; made once, and copied for each event.

    Args:
        server: The server.
        vision: The node set.
    """

    def __init__(self, server: Server, vision: MachineVision) -> None:
        self.server, self.vision = server, vision
        self._templates: dict[int, Any] = {}

    async def load(self) -> None:
        """Read the types from the address space."""
        for number in _USED:
            node = self.server.get_node(self.vision.node(number))
            template = await get_event_obj_from_type_node(node)
            for name, kind in template.data_types.items():
                if kind == _Kind.ExtensionObject:  # not an empty structure where there is none
                    setattr(template, name, None)
            self._templates[number] = template

    def make(self, number: int, message: str, severity: int, fields: Iterable[Field] = ()) -> Any:
        """Return a new event.

        Args:
            number: Number of its type.
            message: What has happened, for people.
            severity: 1 to 1000.
            fields: Its other fields.
        """
        event = copy.copy(self._templates[number])
        event.data_types = dict(event.data_types)
        for field in fields:
            event.add_property(field.name, field.value, field.kind)
        event.EventId, event.Time = os.urandom(16), utc_now()
        event.ReceiveTime, event.Message, event.Severity = event.Time, ua.LocalizedText(message), severity
        event.LocalTime = ua.TimeZoneDataType()
        return event


class StationEvents:
    """Sends the events of one station, to those who listen to its object and to those who listen to the server's.

    Args:
        types: The types of events.
        station: Id of the station's object.
        key: Key of the station, for people.
    """

    def __init__(self, types: EventTypes, station: ua.NodeId, key: str) -> None:
        self._types, self._station, self._key = types, station, key
        self._conditions: dict[str, Any] = {}

    async def result(self, part: ReceivedPart) -> None:
        """Say that a part was judged."""
        verdict = "accepted" if part.ok else "rejected"
        name = f" {part.part_id}" if part.part_id else ""
        found = fields(result(part))
        shown = [Field(key, each.Value, each.VariantType) for key, each in found.items() if key not in _UNSENT]
        message = f"part {part.sequence}{name} is {verdict}, score {part.score:.4f}"
        await self._send(self._types.make(mv.RESULT_READY_EVENT_TYPE, message, INFORMATION, shown))

    async def state_changed(self, before: Named, after: Named, transition: Named | None) -> None:
        """Say that a state machine is in another state."""
        fields = [*_state("FromState", before), *_state("ToState", after)]
        if transition is not None:
            fields += _state("Transition", transition)
        message = f"{before.name} to {after.name}"
        await self._send(self._types.make(mv.STATE_CHANGED_EVENT_TYPE, message, INFORMATION, fields))

    async def error(self, before: Named, after: Named, message: str, *, resolved: bool) -> None:
        """Say that the station has failed, or works again."""
        kind = mv.ERROR_RESOLVED_EVENT_TYPE if resolved else mv.ERROR_EVENT_TYPE
        fields = [*_state("FromState", before), *_state("ToState", after)]
        await self._send(self._types.make(kind, message, INFORMATION if resolved else ERROR, fields))

    async def recipe_prepared(self, name: str, bundle: str, digest: str) -> None:
        """Say that another recipe is in force."""
        fields = [
            Field("ExternalId", recipe(name), _Kind.ExtensionObject),
            Field("InternalId", internal_recipe(name, bundle, digest), _Kind.ExtensionObject),
        ]
        await self._send(
            self._types.make(mv.RECIPE_PREPARED_EVENT_TYPE, f"recipe {name} is in force", INFORMATION, fields)
        )

    async def information(self, message: str) -> None:
        """Say what came of a command."""
        await self._send(self._types.make(mv.INFORMATION_EVENT_TYPE, message, INFORMATION))

    async def set_conditions(self, warnings: dict[str, str], errors: dict[str, str]) -> None:
        """Say which conditions hold now; those that have begun, ended or changed are sent.

        Args:
            warnings: Messages by the names of warnings.
            errors: Messages by the names of stages that have failed.
        """
        wanted = {name: (mv.WARNING_CONDITION_TYPE, text, WARNING) for name, text in warnings.items()}
        wanted |= {f"{name}_failed": (mv.ERROR_CONDITION_TYPE, text, ERROR) for name, text in errors.items()}
        for name in [each for each in self._conditions if each not in wanted]:
            kind, text, _ = self._conditions.pop(name)
            await self._send(self._condition(name, kind, f"ended: {text}", INFORMATION, holds=False))
        for name, said in wanted.items():
            if self._conditions.get(name) != said:
                self._conditions[name] = said
                await self._send(self._condition(name, *said, holds=True))

    def _condition(self, name: str, kind: int, message: str, severity: int, *, holds: bool) -> Any:
        yes, identity = ua.LocalizedText("True"), f"{self._station.Identifier}.Conditions.{name}"
        fields = [
            Field("NodeId", ua.NodeId(identity, self._station.NamespaceIndex), _Kind.NodeId),
            Field("ConditionName", name, _Kind.String),
            Field("ConditionClassId", ua.NodeId(ua.ObjectIds.ProcessConditionClassType), _Kind.NodeId),
            Field("ConditionClassName", ua.LocalizedText("ProcessConditionClassType"), _Kind.LocalizedText),
            Field("Retain", holds, _Kind.Boolean),
            Field("EnabledState", ua.LocalizedText("Enabled"), _Kind.LocalizedText),
            Field("EnabledState/Id", True, _Kind.Boolean),
            Field("AckedState", yes, _Kind.LocalizedText),
            Field("AckedState/Id", True, _Kind.Boolean),
            Field("ConfirmedState", yes, _Kind.LocalizedText),
            Field("ConfirmedState/Id", True, _Kind.Boolean),
            Field("Quality", ua.StatusCode(ua.StatusCodes.Good), _Kind.StatusCode),
            Field("LastSeverity", severity, _Kind.UInt16),
            Field("Comment", ua.LocalizedText(""), _Kind.LocalizedText),
            Field("StopReaction", False, _Kind.Boolean),
            Field("BlockReaction", False, _Kind.Boolean),
            Field("CausePath", self._key, _Kind.String),
        ]
        return self._types.make(kind, message, severity, fields)

    async def _send(self, event: Any) -> None:
        event.SourceNode, event.SourceName = self._station, self._key
        service = self._types.server.iserver.subscription_service
        # asyncua keeps one event of each condition for ConditionRefresh: that of the server's object, sent last.
        for emitting in (self._station, ua.NodeId(ua.ObjectIds.Server)):
            event = copy.copy(event)
            event.emitting_node = emitting
            await service.trigger_event(event)


def _state(name: str, state: Named) -> list[Field]:
    return [
        Field(name, ua.LocalizedText(state.name), _Kind.LocalizedText),
        Field(f"{name}/Id", state.node, _Kind.NodeId),
    ]
