from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from edge_inspect.edge.engines.tensorrt.cache import FACTS, LOG, PLAN, EngineCache, EngineKey, default_cache
from edge_inspect.edge.errors import DriftError, EngineError

KEY = EngineKey("d" * 64, "Orin", (8, 7), "10.3.0", "int8")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


@pytest.mark.parametrize(
    "other",
    [
        {"bundle": "e" * 64},
        {"gpu": "NVIDIA H200"},
        {"capability": (9, 0)},
        {"tensorrt": "10.7.0"},
        {"precision": "fp16"},
    ],
)
def test_each_part_of_the_key_makes_another_entry(cache: EngineCache, other: dict[str, Any]) -> None:
    cache.store(KEY, b"plan", "log", {})
    assert cache.find(KEY) == b"plan"
    assert cache.find(dataclasses.replace(KEY, **other)) is None


def test_what_is_kept_lies_beside_its_log_and_what_was_measured(cache: EngineCache) -> None:
    entry = cache.store(KEY, b"plan", "W: slow\n", {"golden": 0.01, "driver": "12.6"})
    assert entry == cache.path(KEY) and entry.name.startswith("int8-")
    facts = json.loads((entry / FACTS).read_text())
    assert facts["key"]["gpu"] == "Orin" and facts["key"]["capability"] == [8, 7]
    assert facts["driver"] == "12.6" and facts["golden"] == 0.01
    assert (entry / LOG).read_text() == "W: slow\n"


def rename_key(entry: Path) -> None:
    facts = json.loads((entry / FACTS).read_text())
    facts["key"]["tensorrt"] = "8.5.3.1"
    (entry / FACTS).write_text(json.dumps(facts))


DAMAGE = {
    "one bit": lambda entry: (entry / PLAN).write_bytes(b"qlan"),
    "cut off": lambda entry: (entry / PLAN).write_bytes(b"pl"),
    "no plan": lambda entry: (entry / PLAN).unlink(),
    "no facts": lambda entry: (entry / FACTS).unlink(),
    "facts cut off": lambda entry: (entry / FACTS).write_text('{"key": {'),
    "facts are a list": lambda entry: (entry / FACTS).write_text("[]"),
    "facts of another key": rename_key,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_said_and_can_be_replaced(
    cache: EngineCache, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    entry = cache.store(KEY, b"plan", "", {})
    DAMAGE[damage](entry)
    assert cache.find(KEY) is None
    assert str(entry) in caplog.text and "built again" in caplog.text
    cache.store(KEY, b"another", "", {})
    assert cache.find(KEY) == b"another"


def test_a_refusal_is_remembered_with_its_numbers_until_something_is_stored(cache: EngineCache) -> None:
    cache.refuse(KEY, "a map value differs by 0.3, the manifest allows 0.1", "log")
    with pytest.raises(DriftError, match=r"differs by 0\.3, .* allows 0\.1 .*calibrate compile --again"):
        cache.find(KEY)
    assert (cache.path(KEY) / LOG).read_text() == "log"
    cache.store(KEY, b"plan", "", {})
    assert cache.find(KEY) == b"plan"


def test_a_write_that_breaks_off_leaves_no_entry(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(EngineError, match="No space left on device; make room"):
            cache.store(KEY, b"plan", "", {})
    assert cache.find(KEY) is None
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file" / "engines")
    for write in (lambda: cache.store(KEY, b"", "", {}), lambda: cache.store_timing(KEY, b"")):
        with pytest.raises(EngineError, match=r"file/engines: .*engine\.cache in the configuration, --cache"):
            write()


def test_timings_are_shared_by_bundles_but_not_by_gpus_or_releases(cache: EngineCache) -> None:
    assert cache.timing(KEY) == b""
    cache.store_timing(KEY, b"measured")
    assert cache.timing(dataclasses.replace(KEY, bundle="e" * 64, precision="fp32")) == b"measured"
    assert cache.timing(dataclasses.replace(KEY, gpu="NVIDIA H200")) == b""
    assert cache.timing(dataclasses.replace(KEY, tensorrt="11.4.0.106")) == b""


def test_who_may_not_write_to_the_services_folder_has_one_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspect.edge.engines.tensorrt.cache.SERVICE_FOLDER", tmp_path / "nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_cache() == tmp_path / "cache" / "edge-inspect" / "engines"
    monkeypatch.setattr("edge_inspect.edge.engines.tensorrt.cache.SERVICE_FOLDER", tmp_path)
    assert default_cache() == tmp_path / "engines"
