"""One station as OPC UA clients see it: takes its messages, and shows them as values, states and events."""

from __future__ import annotations

import logging
import time

from asyncua import Server, ua

from edge_inspect.edge.opcua.inspection_type import HEALTH_VALUES, PART_VALUES, STATUS_VALUES, recipe_names
from edge_inspect.edge.opcua.live_values import LiveValues
from edge_inspect.edge.opcua.machine_vision import MachineVision, Named
from edge_inspect.edge.opcua.part_queue import PartQueue
from edge_inspect.edge.opcua.received_messages import (
    ReceivedHealth,
    ReceivedMessage,
    ReceivedPart,
    ReceivedStatus,
)
from edge_inspect.edge.opcua.result_values import fields, result
from edge_inspect.edge.opcua.station_events import StationEvents
from edge_inspect.edge.opcua.station_nodes import StationNodes
from edge_inspect.edge.opcua.vision_state import (
    VisionState,
    failed_stages,
    system_state,
    transitions,
    vision_state,
)

log = logging.getLogger(__name__)

_Kind = ua.VariantType
_STATE_NUMBERS = {"Preoperational": 1, "Halted": 2, "Error": 3, "Operational": 4}
_MODE_NUMBERS = {"Initialized": 5, "Ready": 6, "SingleExecution": 7, "ContinuousExecution": 8}


class VisionStation:
    """One station. Used in the event loop's thread.

    Args:
        server: The server.
        vision: The node set of OPC 40100-1.
        nodes: The station's nodes.
        events: Sends its events.
        stale_after_s: Seconds without a message after which its values are old.

    Attributes:
        halted: Whether a client has called Halt, and nothing has ended that.
        queue: Parts that wait for their defects.
    """

    def __init__(
        self, server: Server, vision: MachineVision, nodes: StationNodes, events: StationEvents, stale_after_s: float
    ) -> None:
        self._vision, self._nodes, self._events, self._stale_after_s = vision, nodes, events, stale_after_s
        self._values = LiveValues(server)
        self.halted = False
        self.queue = PartQueue()
        self._status: ReceivedStatus | None = None
        self._health: ReceivedHealth | None = None
        self._state: VisionState | None = None
        self._newest = ""
        self._heard_at = float("-inf")

    async def begin(self, newest: ReceivedPart | None) -> None:
        """Show what is known before the first message.

        Args:
            newest: The newest part of the history; `None` without one.
        """
        await self._values.await_first(self._nodes.variables)
        if newest is not None:
            await self._show_part(newest)
        await self.look_again()

    @property
    def recipes(self) -> list[str]:
        """Names of the station's recipes."""
        return recipe_names(self._health)

    @property
    def recipe_in_force(self) -> str | None:
        """Name of the recipe in force; `None` without one."""
        return self._status.recipe if self._status is not None else None

    def bundle_of(self, recipe: str) -> tuple[str, str]:
        """Return name and digest of a recipe's bundle; empty texts if they are unknown.

        Args:
            recipe: Name of the recipe. Only the bundle of the recipe that was in force at the newest health is known.
        """
        health = self._health
        if health is None or health.bundle is None or health.recipe is None or health.recipe.active != recipe:
            return "", ""
        return health.bundle.name, health.bundle.digest

    async def say(self, message: str) -> None:
        """Send an event that says what came of a command."""
        await self._events.information(message)

    async def take(self, message: ReceivedMessage, *, retained: bool) -> None:
        """Take a message.

        Args:
            message: The message.
            retained: Whether the broker had retained it, so that it may be old.
        """
        # The broker publishes the last will in the name of a station that is gone. A retained status shows that the
        # station is there, or at least was when the broker was started; other retained messages may be old.
        if message.state != "offline" if isinstance(message, ReceivedStatus) else not retained:
            self._heard_at = time.monotonic()
            await self._values.set_old(False)
        if isinstance(message, ReceivedPart):
            self.queue.take(message, time.monotonic())
        elif isinstance(message, ReceivedStatus):
            await self._take_status(message)
        else:
            await self._take_health(message)

    async def show_new(self, part: ReceivedPart) -> None:
        """Show a part that was not known yet, and say that it was judged. A late part does not replace a newer one."""
        if part.id > self._newest:
            await self._show_part(part)
        await self._events.result(part)

    async def grow_old(self, *, connected: bool) -> None:
        """Mark the values as old if the station is silent or gone, or the broker is lost; as good otherwise."""
        offline = self._status is not None and self._status.state == "offline"
        silent = time.monotonic() - self._heard_at > self._stale_after_s
        await self._values.set_old(not connected or offline or silent)

    async def look_again(self) -> None:
        """Show the state that follows from status, health and `halted`."""
        after, before = vision_state(self._status, self._health, halted=self.halted), self._state
        if after != before:
            self._state = after
            await self._show_state(after)
            for one, next_ in transitions(before, after) if before is not None else []:
                await self._tell(one, next_)
        described = system_state(after, self._status)
        made = ua.SystemStateDescriptionDataType(
            State=ua.SystemStateDataType(described.state),
            StateDescription=described.text,
        )
        await self._values.put(self._nodes.system_state, ua.Variant(made, _Kind.ExtensionObject))

    async def _take_status(self, status: ReceivedStatus) -> None:
        before, self._status = self._status, status
        if before is not None and before.state == "paused" and status.state != "paused":
            self.halted = False
        await self._values.put_all(self._nodes.inspection, STATUS_VALUES, status, status.at)
        await self.look_again()
        if before is not None and status.recipe is not None and status.recipe != before.recipe:
            await self._events.recipe_prepared(status.recipe, *self.bundle_of(status.recipe))

    async def _take_health(self, health: ReceivedHealth) -> None:
        self._health = health
        await self._values.put_all(self._nodes.inspection, HEALTH_VALUES, health, health.at)
        await self.look_again()
        remedy = f": {health.remedy}" if health.remedy else ""
        await self._events.set_conditions({name: f"{name}{remedy}" for name in health.warnings}, failed_stages(health))

    async def _show_part(self, part: ReceivedPart) -> None:
        self._newest = part.id
        values, at = self._values, part.decided_at
        await values.put_all(self._nodes.inspection, PART_VALUES, part, at)
        whole = result(part)
        for name, variant in fields(whole).items():
            if name in self._nodes.components:
                await values.put(self._nodes.components[name], variant, at)
        await values.put(self._nodes.result, ua.Variant(whole, _Kind.ExtensionObject), at)

    async def _show_state(self, state: VisionState) -> None:
        machine = self._vision.states[state.machine]
        await self._show_one(self._nodes.machine, machine, _STATE_NUMBERS[state.machine])
        if state.mode is not None:
            await self._show_one(self._nodes.mode, self._vision.modes[state.mode], _MODE_NUMBERS[state.mode])
        else:
            inactive = Named("", ua.NodeId())
            await self._show_one(self._nodes.mode, inactive, 0)

    async def _show_one(self, nodes: tuple[ua.NodeId, ua.NodeId, ua.NodeId], state: Named, number: int) -> None:
        current, identity, number_node = nodes
        await self._values.put(current, ua.Variant(ua.LocalizedText(state.name), _Kind.LocalizedText))
        await self._values.put(identity, ua.Variant(state.node, _Kind.NodeId))
        await self._values.put(number_node, ua.Variant(number, _Kind.UInt32))

    async def _tell(self, before: VisionState, after: VisionState) -> None:
        """Send the events of a change of state."""
        modes, states = self._vision.modes, self._vision.states
        if before.machine != after.machine:
            one, other = states[before.machine], states[after.machine]
            await self._events.state_changed(one, other, states.get(f"{before.machine}To{after.machine}Auto"))
            if "Error" in (before.machine, after.machine):
                said = "; ".join(f"{stage}: {why}" for stage, why in failed_stages(self._health).items())
                resolved = before.machine == "Error"
                await self._events.error(one, other, "works again" if resolved else said, resolved=resolved)
        elif before.mode is not None and after.mode is not None:
            change = f"{before.mode}To{after.mode}"
            transition = modes.get(f"{change}Auto")
            await self._events.state_changed(modes[before.mode], modes[after.mode], transition)
