"""The companion specification OPC 40100-1, Machine Vision, in the address space: its node set, and the ids in it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from asyncua import Server, ua

URI = "http://opcfoundation.org/UA/MachineVision"
FILE = Path(__file__).parent / "nodesets" / "Opc.Ua.MachineVision.NodeSet2.xml"

VISION_SYSTEM_TYPE = 1003
RECIPE_MANAGEMENT_TYPE = 1004
RESULT_MANAGEMENT_TYPE = 1007
RESULT_FOLDER_TYPE = 1016
STATE_MACHINE_TYPE = 1017
STATE_CHANGED_EVENT_TYPE = 1018
ERROR_EVENT_TYPE = 1019
ERROR_RESOLVED_EVENT_TYPE = 1020
AUTOMATIC_MODE_TYPE = 1021
RECIPE_PREPARED_EVENT_TYPE = 1022
RESULT_READY_EVENT_TYPE = 1024
WARNING_CONDITION_TYPE = 1034
ERROR_CONDITION_TYPE = 1035
INFORMATION_EVENT_TYPE = 1038
RESULT_TYPE = 2002
RESULT_DATA_TYPE = 3006
SYSTEM_STATE_DATA_TYPE = 3024
RECIPE_ID_EXTERNAL, RECIPE_ID_INTERNAL, CONFIGURATION_ID, BINARY_ID_BASE = 3002, 3013, 3008, 3019

_ENCODINGS = {
    "RecipeIdExternalDataType": (RECIPE_ID_EXTERNAL, 5002),
    "RecipeIdInternalDataType": (RECIPE_ID_INTERNAL, 5268),
    "ConfigurationIdDataType": (CONFIGURATION_ID, 5090),
}
"""Structures without fields of their own, with the ids of their type and of its binary encoding."""


class Named(NamedTuple):
    """A state or a transition of a state machine's type."""

    name: str
    node: ua.NodeId


@dataclass(frozen=True)
class MachineVision:
    """The imported node set.

    Attributes:
        index: Index of its namespace in this server.
        states: States and transitions of VisionStateMachineType, by browse name.
        modes: States and transitions of VisionAutomaticModeStateMachineType, by browse name.
    """

    index: int
    states: dict[str, Named]
    modes: dict[str, Named]

    def node(self, number: int) -> ua.NodeId:
        """Return the id of a node of the specification."""
        return ua.NodeId(number, self.index)

    def name(self, text: str) -> ua.QualifiedName:
        """Return a browse name of the specification."""
        return ua.QualifiedName(text, self.index)


async def import_machine_vision(server: Server) -> MachineVision:
    """Import the node set into a server, and register its structures with asyncua."""
    await server.import_xml(FILE)
    index = await server.get_namespace_index(URI)
    for name, (data_type, encoding) in _ENCODINGS.items():
        await _register(server, name, ua.NodeId(data_type, index), ua.NodeId(encoding, index))
    states = await _children(server, ua.NodeId(STATE_MACHINE_TYPE, index))
    return MachineVision(index, states, await _children(server, ua.NodeId(AUTOMATIC_MODE_TYPE, index)))


async def _register(server: Server, name: str, data_type: ua.NodeId, encoding: ua.NodeId) -> None:
    """Give asyncua a class, and clients a definition, for a structure that only has the fields of its base.

    asyncua's importer uses the base itself in its place, so that values would say that they are of the base.
    """
    base: Any = ua.BinaryIdBaseDataType
    made: Any = dataclass(type(name, (base,), {"data_type": data_type, "__annotations__": {}}))
    delattr(ua, name)  # asyncua would keep the base under this name
    ua.register_extension_object(name, encoding, made, data_type)
    base_id = ua.NodeId(BINARY_ID_BASE, data_type.NamespaceIndex)
    definition = copy.deepcopy(await server.get_node(base_id).read_data_type_definition())
    definition.DefaultEncodingId, definition.BaseDataType = encoding, base_id
    await server.get_node(data_type).write_data_type_definition(definition)


async def _children(server: Server, node: ua.NodeId) -> dict[str, Named]:
    found = await server.get_node(node).get_children_descriptions()
    return {each.BrowseName.Name: Named(each.BrowseName.Name, each.NodeId) for each in found if each.BrowseName.Name}
