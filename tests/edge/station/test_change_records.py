"""What judges is remembered over restarts, and by the configuration it was loaded under: with real engines."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from box_parts import Line
from mosquitto import wait_until

from edge_inspect.edge.station.change_records import KEPT, BundleRecord, RequestedBy


def test_what_judges_is_remembered_until_the_configuration_changes(make: Callable[..., Line]) -> None:
    line = make()
    line.change("b")
    line.change("c")
    again = make()
    assert again.name == "c" and not again.problems
    assert again.change(None) is None and again.name == "b"
    assert make("b").name == "b"
    other = make("c")
    assert other.name == "c" and "there is no bundle before" in (other.change(None) or "")


def test_a_configuration_that_comes_back_does_not_bring_back_what_a_command_had_loaded(
    make: Callable[..., Line],
) -> None:
    make("a").change("b")
    assert make("c").name == "c"
    line = make("a")  # the other one was not taken: it never started
    assert line.name == "b"
    line.bundles.confirm()
    assert [entry.change for entry in line.box.bundles.entries("a")] == ["load"]
    line = make("c")
    line.bundles.confirm()
    assert line.name == "c"
    assert make("a").name == "a"


def test_where_that_cannot_be_recorded_the_station_judges_all_the_same(
    make: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make("a").change("b")

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(BundleRecord, "add", full)
    line = make("c")
    line.bundles.confirm()
    assert line.name == "c"
    assert "inspects with c, but cannot record that: No space left" in caplog.text


def test_what_the_configuration_names_is_loaded_again_where_it_has_changed(
    make: Callable[..., Line], bundles: Path, tmp_path: Path
) -> None:
    configured = shutil.copytree(bundles / "a", tmp_path / "configured")
    line = make(str(configured))
    line.change("b")

    def reload(path: Path) -> str:
        before = len(line.answers)
        line.bundles.change(path, RequestedBy("configuration"), lambda *one: line.answers.append(one), configured=path)
        wait_until(lambda: line.bundles.take_next() or len(line.answers) > before, 120)
        return line.name

    assert reload(configured) == "b"
    shutil.rmtree(configured)
    shutil.copytree(bundles / "c", configured)
    assert reload(configured) == "c"
    assert reload(bundles / "a") == "a"
    assert make("a").change(None) is None


def test_where_the_last_bundle_is_gone_or_another_the_one_before_judges(
    make: Callable[..., Line], bundles: Path, tmp_path: Path
) -> None:
    moved, replaced = tmp_path / "moved", tmp_path / "replaced"
    shutil.copytree(bundles / "b", replaced)
    shutil.copytree(bundles / "c", moved)
    line = make()
    assert line.change(str(replaced)) is None and line.change(str(moved)) is None
    shutil.rmtree(moved)
    again = make()
    assert again.name == "b" and "no such bundle" in again.problems[0]
    shutil.rmtree(replaced)
    shutil.copytree(bundles / "c", replaced)
    again = make()
    assert again.name == "a" and "was replaced by another bundle" in again.problems[1]
    # What the configuration names may be replaced where it lies.
    configured = shutil.copytree(bundles / "a", tmp_path / "configured")
    line = make(str(configured))
    line.change("b")
    line.change(None)
    shutil.rmtree(configured)
    shutil.copytree(bundles / "c", configured)
    again = make(str(configured))
    assert again.name == "c" and not again.problems


def test_a_change_that_cannot_be_recorded_is_not_made(make: Callable[..., Line]) -> None:
    line = make()
    line.box.bundles.path.mkdir()
    assert "Is a directory" in (line.change("b") or "") and line.name == "a"


def test_the_history_is_bounded_for_each_station(make: Callable[..., Line]) -> None:
    line = make()
    line.change("b")
    path = line.box.bundles.path
    mine = path.read_text().strip()
    others = [mine.replace('"station":"a"', '"station":"z"')] * (2 * KEPT)
    path.write_text("\n".join([mine, *others]) + "\n")
    line.change("c")
    assert len(path.read_text().splitlines()) == KEPT + 2
    assert [entry.bundles[0].name for entry in line.box.bundles.entries("a")] == ["b", "c"]
