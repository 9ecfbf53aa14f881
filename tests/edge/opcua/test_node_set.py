"""The node sets: what is exported is what is committed, and other programs can read it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from asyncua import Server, ua

from edge_inspect.edge.cli import main
from edge_inspect.edge.opcua.inspection_type import METHODS, URI, VALUES

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "opcua" / "edge-inspect.NodeSet2.xml"


def test_the_node_set_that_is_exported_is_the_one_in_the_documents(tmp_path: Path) -> None:
    file = tmp_path / "exported.xml"
    assert main(["opcua", "--export", str(file)]) == 0
    assert file.read_text() == COMMITTED.read_text(), f"edge-inspect opcua --export {COMMITTED.relative_to(ROOT)}"


def test_the_node_set_can_be_imported_into_another_server() -> None:
    async def names() -> list[str]:
        server = Server()
        await server.init()
        await server.import_xml(COMMITTED)
        index = await server.get_namespace_index(URI)
        found = await server.get_node(ua.NodeId(1001, index)).get_children_descriptions()
        arguments = server.get_node(ua.NodeId(3031, index))
        inputs = await (await arguments.get_child("0:InputArguments")).read_value()
        assert [each.Name for each in inputs] == ["Name"]
        return [each.BrowseName.Name for each in found]

    assert asyncio.run(names()) == [each.name for each in (*VALUES, *METHODS)]


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert main(["opcua", "--export", str(tmp_path / "file" / "nodes.xml")]) == 2


def test_every_value_and_method_is_in_the_documents() -> None:
    text = (ROOT / "docs" / "opcua.md").read_text()
    assert [each.name for each in (*VALUES, *METHODS) if f"`{each.name}`" not in text] == []
