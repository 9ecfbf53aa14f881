from __future__ import annotations

from pathlib import Path

import pytest
from limited import run_limited

from edge_inspect.edge.bridge.plc_parts import PlcPart, Tally
from edge_inspect.edge.bridge.reorder_buffer import SequencePosition
from edge_inspect.edge.bridge.state_file import StateFile
from edge_inspect.edge.bridge.station import SavedStation
from edge_inspect.edge.errors import ConfigurationError


def test_it_is_there_again(tmp_path: Path) -> None:
    shown = PlcPart(
        number=1, sequence=3, ok=True, late=False, defect_class=0, regions=0, score=0.1, threshold=1, decided=1.5,
        part_id="é",
    )  # fmt: skip
    kept = SavedStation(
        position=SequencePosition(first=1, next=4, missing=[(2, 2)]), tally=Tally(parts=1, ring=[shown])
    )
    one = StateFile(tmp_path / "s.json")
    assert one.starts == 1 and one.station("x") == SavedStation()
    one.save({"x": kept})
    again = StateFile(tmp_path / "s.json")
    assert again.starts == 2 and again.station("x") == kept
    # A station that is not followed for a while is not forgotten.
    again.save({"y": SavedStation()})
    assert StateFile(tmp_path / "s.json").station("x") == kept


def test_it_is_written_only_where_something_has_changed(tmp_path: Path) -> None:
    one = StateFile(tmp_path / "s.json")
    before = (tmp_path / "s.json").stat()
    one.save({})
    assert (tmp_path / "s.json").stat().st_ino == before.st_ino


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b"\xff"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(content)
    assert StateFile(path).starts == 1
    assert (tmp_path / "s.json.damaged").read_bytes() == content and "is damaged and was renamed to" in caplog.text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"state: .* cannot be read or written: .*; make its folder writable"):
        StateFile(tmp_path / "file" / "s.json")


def test_a_full_disk_is_said_and_the_old_content_stays(tmp_path: Path) -> None:
    code = """
import logging
from edge_inspect.edge.bridge.reorder_buffer import SequencePosition
from edge_inspect.edge.bridge.state_file import StateFile
from edge_inspect.edge.bridge.station import SavedStation
logging.basicConfig(stream=sys.stdout)
one = StateFile(Path(sys.argv[1]))
full(8)
one.save({"x": SavedStation(position=SequencePosition(next=7))})
"""
    said = run_limited(code, str(tmp_path / "s.json"))
    assert "cannot be written" in said and "after a restart the bridge would continue at an older part" in said
    assert StateFile(tmp_path / "s.json").starts == 2
