"""A bundle is changed between two parts, and back where it fails: with real engines."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_parts import Line, make_box, make_settings
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mosquitto import wait_until

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.signature import SIGNATURE, Signature, key_id, signed_message
from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.errors import BundleError, EngineError, OutboxError
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station import loaded_bundle
from edge_inspect.edge.station.bundles import PROVEN_AFTER, StationBundles
from edge_inspect.edge.station.change_records import ThresholdEntry

BRIGHT = np.random.default_rng(5).integers(0, 256, (48, 80, 3), np.uint8)
DARK = np.zeros((48, 80, 3), np.uint8)


def test_the_bundle_changes_between_two_parts_and_not_before(make: Callable[..., Line], bundles: Path) -> None:
    line = make()
    scores = {}
    for name in "ab":
        loaded = make(name).bundles.current
        scores[name] = loaded.inspect(BRIGHT)[1].score
    assert scores["a"] != scores["b"]
    line.ask("b")
    wait_until(line.box.ready.is_set, 120)
    loaded, _, decision = line.bundles.inspect(BRIGHT)
    assert (loaded.reference.name, decision.score) == ("a", scores["a"]) and not line.answers
    line.bundles.take_next()
    loaded, _, decision = line.bundles.inspect(BRIGHT)
    assert (loaded.reference.name, decision.score) == ("b", scores["b"])
    wait_until(lambda: line.answers)
    change = line.answers[0][1]
    assert change is not None and (change.before.name, change.after.name) == ("a", "b")
    assert change.after.digest == open_bundle(bundles / "b").digest


def test_roll_back_goes_back_bundle_by_bundle(make: Callable[..., Line]) -> None:
    line = make()
    assert "there is no bundle before a" in (line.change(None) or "")
    for name in "bc":
        assert line.change(name) is None
    for name in "ba":
        assert line.change(None) is None and line.name == name
    assert line.change(None) is not None and line.name == "a"
    kept = [(entry.change, entry.bundles[0].name, entry.by) for entry in line.box.bundles.entries("a")]
    assert kept == [("load", "b", "hmi"), ("load", "c", "hmi"), ("roll back", "b", "hmi"), ("roll back", "a", "hmi")]


def test_what_cannot_be_loaded_leaves_the_old_one(make: Callable[..., Line], bundles: Path, tmp_path: Path) -> None:
    line = make()
    loaded = line.bundles.current
    assert "model.int8.onnx was changed" in (line.change("cut") or "")
    assert "no such bundle" in (line.change("none") or "")
    assert "a stays in force" in (line.change("none") or "")
    # Golden frames that its own engine does not give.
    wrong = shutil.copytree(bundles / "b", tmp_path / "wrong")
    manifest = (wrong / "manifest.yaml").read_text()
    lowered = manifest.replace("fp32: 0.001", "fp32: -1").replace("int8: 0.1", "int8: -1")
    assert lowered != manifest
    (wrong / "manifest.yaml").write_text(lowered)
    assert "does not reproduce the golden frames" in (line.change(str(wrong)) or "")
    assert line.bundles.current is loaded and not line.box.bundles.entries("a")
    assert line.change("b") is None


def test_where_keys_are_configured_an_unsigned_bundle_is_refused(
    outbox: MemoryOutbox, bundles: Path, tmp_path: Path
) -> None:
    key, private = tmp_path / "key.pub.pem", Ed25519PrivateKey.generate()
    public = private.public_key()
    key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    folder = tmp_path / "bundles"
    signed, manifest = shutil.copytree(bundles / "a", folder / "a"), (bundles / "a" / "manifest.yaml").read_bytes()
    shutil.copytree(bundles / "b", folder / "b")
    (signed / SIGNATURE).write_bytes(Signature(key_id(public), private.sign(signed_message(manifest))).line())
    line = Line(folder, tmp_path, outbox, public_keys=[key])
    assert "not signed" in (line.change("b") or "") and line.name == "a"


def test_a_bundle_that_fails_on_a_part_goes_and_the_one_before_judges_the_part(make: Callable[..., Line]) -> None:
    line = make()
    expected = line.bundles.current.inspect(DARK)[1].score
    assert line.change("dim") is None
    line.bundles.inspect(BRIGHT)
    loaded, _, decision = line.bundles.inspect(DARK)
    assert (loaded.reference.name, decision.score) == ("a", expected)
    assert "dim failed and was rolled back to a" in line.problems[0]
    entry = line.box.bundles.entries("a")[-1]
    assert (entry.change, [place.name for place in entry.bundles]) == ("failed", ["a"])
    assert "not finite" in str(entry.reason)
    assert make().name == "a"


def test_a_bundle_that_was_rolled_back_to_and_fails_goes_too(make: Callable[..., Line]) -> None:
    line = make()
    for name in ("dim", "b", None):
        assert line.change(name) is None
    assert line.name == "dim"
    assert line.bundles.inspect(DARK)[0].reference.name == "b"
    assert [place.name for place in line.box.bundles.entries("a")[-1].bundles] == ["b", "a"]


def test_a_bundle_that_waits_while_the_one_before_it_fails_is_taken(make: Callable[..., Line]) -> None:
    line = make()
    assert line.change("dim") is None
    line.box.ready.clear()
    line.ask("c")
    wait_until(line.box.ready.is_set, 120)
    assert line.bundles.inspect(DARK)[0].reference.name == "a"
    line.bundles.take_next()
    assert line.name == "c"
    assert [place.name for place in line.box.bundles.entries("a")[-1].bundles] == ["c", "a"]


def test_a_new_bundle_whose_engine_hangs_goes(make: Callable[..., Line]) -> None:
    line = make()
    line.change("b")
    line.bundles.rebuild()
    assert line.name == "a" and "its engine hangs" in line.problems[0]
    engine = line.bundles.current.engine
    line.bundles.rebuild()
    assert line.name == "a" and line.bundles.current.engine is not engine


def test_a_bundle_that_has_proved_itself_stays_when_a_part_fails(make: Callable[..., Line]) -> None:
    line = make()
    before = line.bundles.current.engine
    assert line.change("dim") is None
    for _ in range(PROVEN_AFTER):
        assert before.infer(BRIGHT).score  # until it is proven
        line.bundles.inspect(BRIGHT)
    with pytest.raises(EngineError, match="is closed"):
        before.infer(BRIGHT)
    with pytest.raises(EngineError, match="not finite"):
        line.bundles.inspect(DARK)
    assert line.name == "dim"


def test_an_engine_that_was_left_behind_does_not_undo_a_later_bundle(make: Callable[..., Line]) -> None:
    line = make()
    go = threading.Event()
    hanging, failed = line.bundles.current.engine, []

    def infer(frame: object) -> None:
        go.wait(60)
        raise EngineError("it came back")

    def inspect() -> None:
        with pytest.raises(EngineError, match="it came back"):
            line.bundles.inspect(BRIGHT)
        failed.append(True)

    hanging.infer = infer
    thread = threading.Thread(target=inspect)
    thread.start()
    line.bundles.rebuild()
    assert line.bundles.current.engine is not hanging
    assert line.change("b") is None
    go.set()
    thread.join(60)
    assert failed and line.name == "b" and not line.problems


def test_a_threshold_belongs_to_its_bundle(make: Callable[..., Line]) -> None:
    line = make()
    digest = line.bundles.current.reference.digest
    entry = {"at": utc_now(), "station": "a", "by": None, "command_id": uuid7(), "before": 0.5, "value": 0.55}
    line.box.thresholds.add(ThresholdEntry(bundle=digest, **entry))
    line.change("b")
    assert line.bundles.current.decider.threshold == 0.5
    line.change(None)
    assert line.bundles.current.decider.threshold == 0.55


@pytest.mark.parametrize("name", ["..", "../x", ".", "", "/etc", "a/../..", "out", "x\0y", "x" * 5000, "none"])
def test_a_name_leads_to_nothing_outside_the_folder(
    bundles: Path, tmp_path: Path, outbox: MemoryOutbox, name: str
) -> None:
    folder = tmp_path / "bundles"
    (folder / "line").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    (folder / "out").symlink_to(tmp_path / "x")
    shutil.copytree(bundles / "a", folder / "line" / "a")
    line = Line(folder, tmp_path, outbox, "line/a")
    with pytest.raises(BundleError, match="holds no"):
        line.box.store.find(name)
    assert line.box.store.find("line/a") == folder / "line" / "a"


def test_one_bundle_is_loaded_at_a_time(make: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    line, go, opened = make(), threading.Event(), loaded_bundle.open_checked_engine

    def open_slowly(*arguments: Any, **named: Any) -> Engine:
        assert go.wait(60)
        return opened(*arguments, **named)

    monkeypatch.setattr(loaded_bundle, "open_checked_engine", open_slowly)
    line.ask("b")
    with pytest.raises(Refused, match="is being loaded"):
        line.ask("c")
    go.set()
    wait_until(line.box.ready.is_set, 120)
    with pytest.raises(Refused, match="is being loaded"):
        line.ask("c")
    line.bundles.take_next()
    wait_until(lambda: line.answers)
    assert line.change("c") is None


def test_a_change_that_nobody_takes_any_more_is_answered(make: Callable[..., Line]) -> None:
    line = make()
    line.ask("b")
    wait_until(line.box.ready.is_set, 120)
    line.bundles.close()
    wait_until(lambda: line.answers)
    assert "after its next start" in str(line.answers[0][0])
    assert make().name == "b"


def test_the_bundle_in_use_is_not_loaded_twice(make: Callable[..., Line], bundles: Path, tmp_path: Path) -> None:
    line = make()
    loaded = line.bundles.current
    assert line.change("a") is None and line.bundles.current is loaded
    copied = shutil.copytree(bundles / "a", tmp_path / "copy")
    assert line.change(str(copied)) is None and line.bundles.current is loaded
    assert make().bundles.current.bundle.path == copied


def test_stations_with_the_same_bundle_share_an_engine(bundles: Path, tmp_path: Path, outbox: MemoryOutbox) -> None:
    settings = make_settings(tmp_path, bundles / "a", names="ab")
    box = make_box(settings, outbox)
    first, second = (StationBundles(settings, station, box, lambda problem: None) for station in settings.stations)
    assert first.current.engine is second.current.engine and first.current.decider is not second.current.decider
    first.current.decider.threshold = 9.0
    assert second.inspect(BRIGHT)[2].threshold == 0.5
    other = make_settings(tmp_path, bundles / "a", precision="fp32").stations[0]
    assert StationBundles(settings, other, box, lambda problem: None).current.engine is not first.current.engine
    same = make_settings(tmp_path, bundles / "a", precision="int8").stations[0]
    assert StationBundles(settings, same, box, lambda problem: None).current.engine is first.current.engine
    engine = first.current.engine
    for _ in range(2):  # of three judges
        box.engines.give_back(engine)
        assert engine.infer(BRIGHT).score
    box.engines.give_back(engine)
    with pytest.raises(EngineError, match="is closed"):
        engine.infer(BRIGHT)
    box.engines.give_back(engine)  # once more does nothing


def test_a_mistake_of_ours_is_answered_and_the_old_one_goes_on(
    make: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line = make()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(line.box.engines, "open", broken)
    assert "bug in edge-inspect" in (line.change("b") or "")
    assert "ZeroDivisionError" in caplog.text and line.name == "a"


def test_the_engine_of_a_bundle_that_cannot_be_made_is_given_back(
    make: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, opened = make(), []
    open_engine = line.box.engines.open

    def note(*arguments: Any) -> Engine:
        opened.append(open_engine(*arguments))
        return opened[-1]

    def unreadable(*_: object) -> None:
        raise OutboxError("the thresholds cannot be read")

    monkeypatch.setattr(line.box.engines, "open", note)
    monkeypatch.setattr(line.box.thresholds, "last", unreadable)
    assert "the thresholds cannot be read" in (line.change("b") or "")
    with pytest.raises(EngineError, match="is closed"):
        opened[0].infer(BRIGHT)
