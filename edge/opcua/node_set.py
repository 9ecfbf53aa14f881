"""Writes the types of this server's own namespace as a node set, for `edge-inspect opcua --export`."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import warnings
from pathlib import Path

from asyncua import Server

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.opcua.inspection_type import URI, add_inspection_type

# asyncua leaves it out, and importers of other makers want it.
_MODELS = f"""
  <Models>
    <Model ModelUri="{URI}" Version="1.0.0" PublicationDate="2026-11-30T00:00:00Z">
      <RequiredModel ModelUri="http://opcfoundation.org/UA/" Version="1.04" PublicationDate="2018-05-15T00:00:00Z"/>
    </Model>
  </Models>"""


def export(file: Path) -> None:
    """Write the node set of the namespace `urn:edge-inspect:opcua` to a file, in the format UANodeSet.

    Raises:
        UsageError: The file cannot be written.
    """
    logging.getLogger("asyncua").setLevel(logging.WARNING)
    text = asyncio.run(_node_set())
    try:
        write_atomically(file, text.encode())
    except OSError as error:
        raise UsageError(f"--export {file}: cannot be written: {error.strerror}") from error


async def _node_set() -> str:
    server = Server()
    await server.init()
    await add_inspection_type(server)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nodes.xml"
        with warnings.catch_warnings():
            # Python 3.12 and later warn of how asyncua asks whether an element has children. The answer is right.
            warnings.filterwarnings("ignore", "Testing an element's truth value", DeprecationWarning)
            await server.export_xml_by_ns(str(path), [URI], export_values=True)
        return path.read_text(encoding="utf-8").replace("</NamespaceUris>", f"</NamespaceUris>{_MODELS}", 1)
