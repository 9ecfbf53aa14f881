"""The nodes of one station: a VisionSystem of OPC 40100-1 below its site and line, with an Inspection of our own."""

from __future__ import annotations

from dataclasses import dataclass

from asyncua import Node, Server, ua
from asyncua.common.instantiate_util import instantiate

from edge_inspect.edge.opcua import machine_vision as mv
from edge_inspect.edge.opcua.machine_vision import MachineVision

INSTANCES = 1
"""Index of the namespace of all instances: the server's own, named by its application URI."""


@dataclass(frozen=True)
class StationNodes:
    """The ids of a station's nodes.

    Attributes:
        station: The VisionSystem.
        system_state: Its SystemState.
        machine: CurrentState, Id and Number of its state machine, in this order.
        mode: The same of its automatic mode.
        result: The variable LatestResult.
        components: The variables below it, by browse name.
        inspection: The variables of Inspection, by browse name.
        methods: All methods, by `Object.Method`, such as `Inspection.Pause`.
    """

    station: ua.NodeId
    system_state: ua.NodeId
    machine: tuple[ua.NodeId, ua.NodeId, ua.NodeId]
    mode: tuple[ua.NodeId, ua.NodeId, ua.NodeId]
    result: ua.NodeId
    components: dict[str, ua.NodeId]
    inspection: dict[str, ua.NodeId]
    methods: dict[str, ua.NodeId]

    @property
    def variables(self) -> list[ua.NodeId]:
        """All variables whose values come from messages."""
        return [
            *(self.system_state, *self.machine, *self.mode, self.result),
            *self.components.values(),
            *self.inspection.values(),
        ]


class NodeMaker:
    """Adds the nodes of stations to a server.

    Args:
        server: The server.
        vision: The node set of OPC 40100-1.
        inspection: The type of Inspection.
    """

    def __init__(self, server: Server, vision: MachineVision, inspection: Node) -> None:
        self._server, self._vision, self._inspection = server, vision, inspection.nodeid
        self._own = inspection.nodeid.NamespaceIndex
        self._folders: dict[str, Node] = {}

    async def add(self, key: str) -> StationNodes:
        """Add the nodes of a station.

        Args:
            key: Key of the station: site/line/station, which is also the id of its object.

        Raises:
            ua.UaError: A node of that id exists, as the station's name is that of a node of another station.
        """
        site, line, name = key.split("/")
        folder = await self._folder(await self._folder(self._server.nodes.objects, site, site), f"{site}/{line}", line)
        station = await folder.add_object(
            _id(key), _own(name), objecttype=self._vision.node(mv.VISION_SYSTEM_TYPE), instantiate_optional=False
        )
        await self._server.nodes.server.add_reference(station, ua.ObjectIds.HasNotifier)
        await station.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
        machine_id = f"{key}.VisionStateMachine"
        machine = self._server.get_node(_id(machine_id))
        mode = await self._part(machine, machine_id, "AutomaticModeStateMachine", mv.AUTOMATIC_MODE_TYPE)
        recipes = await self._part(station, key, "RecipeManagement", mv.RECIPE_MANAGEMENT_TYPE)
        management = await self._part(station, key, "ResultManagement", mv.RESULT_MANAGEMENT_TYPE)
        results = await self._part(management, f"{key}.ResultManagement", "Results", mv.RESULT_FOLDER_TYPE)
        latest = f"{key}.ResultManagement.Results.LatestResult"
        result_type = self._server.get_node(self._vision.node(mv.RESULT_TYPE))
        await instantiate(
            results, result_type, _id(latest), ua.QualifiedName("LatestResult", self._own), instantiate_optional=False
        )
        inspection = await station.add_object(
            _id(f"{key}.Inspection"), ua.QualifiedName("Inspection", self._own), objecttype=self._inspection
        )
        state = await station.add_variable(
            _id(f"{key}.SystemState"),
            self._vision.name("SystemState"),
            None,
            ua.VariantType.ExtensionObject,
            self._vision.node(mv.SYSTEM_STATE_DATA_TYPE),
        )
        parents = {
            "VisionStateMachine": machine,
            "AutomaticModeStateMachine": mode,
            "RecipeManagement": recipes,
            "ResultManagement": management,
            "Inspection": inspection,
        }
        return StationNodes(
            station=station.nodeid,
            system_state=state.nodeid,
            machine=await self._current_state(machine, machine_id),
            mode=await self._current_state(mode, f"{machine_id}.AutomaticModeStateMachine"),
            result=_id(latest),
            components=await _children(self._server.get_node(_id(latest)), ua.NodeClass.Variable),
            inspection=await _children(inspection, ua.NodeClass.Variable),
            methods={
                f"{owner}.{method}": node
                for owner, parent in parents.items()
                for method, node in (await _children(parent, ua.NodeClass.Method)).items()
            },
        )

    async def _folder(self, parent: Node, identity: str, name: str) -> Node:
        if identity not in self._folders:
            self._folders[identity] = await parent.add_folder(_id(f"{identity}/"), _own(name))
        return self._folders[identity]

    async def _part(self, parent: Node, owner: str, name: str, kind: int) -> Node:
        """Add an optional part of the specification, with what is mandatory in it."""
        return await parent.add_object(
            _id(f"{owner}.{name}"),
            self._vision.name(name),
            objecttype=self._vision.node(kind),
            instantiate_optional=False,
        )

    async def _current_state(self, machine: Node, identity: str) -> tuple[ua.NodeId, ua.NodeId, ua.NodeId]:
        """Return CurrentState, Id and Number of a state machine; Number, which is optional, is added."""
        current = f"{identity}.CurrentState"
        number = await self._server.get_node(_id(current)).add_property(
            _id(f"{current}.Number"), ua.QualifiedName("Number", 0), 0, ua.VariantType.UInt32
        )
        return _id(current), _id(f"{current}.Id"), number.nodeid


def _id(text: str) -> ua.NodeId:
    return ua.NodeId(text, INSTANCES)


def _own(name: str) -> ua.QualifiedName:
    return ua.QualifiedName(name, INSTANCES)


async def _children(node: Node, kind: ua.NodeClass) -> dict[str, ua.NodeId]:
    found = await node.get_children_descriptions(nodeclassmask=kind)
    return {each.BrowseName.Name: each.NodeId for each in found if each.BrowseName.Name}
