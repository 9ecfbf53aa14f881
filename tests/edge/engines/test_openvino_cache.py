"""What OpenVINO has compiled is kept, computes the same to the last bit, and is compiled again if anything is wrong."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines import openvino
from edge_inspect.edge.engines.choice_file import ChoiceFile
from edge_inspect.edge.engines.chosen_once import choose_once
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.engines.openvino_cache import KEPT, SUFFIX, compiled_file, find_compiled, keep_compiled


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("kept") / "flange")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "engines"


def maps(bundle: Bundle, precision: Precision, cache: Path | None) -> list[np.ndarray]:
    with OpenVinoEngine.load(bundle, precision, cache=cache) as engine:
        return [engine.infer(golden.frame).values.copy() for golden in bundle.golden()]


def no_onnx(*_: object) -> None:
    raise AssertionError("the ONNX is read")


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_network_that_is_kept_computes_the_same_without_its_onnx(
    bundle: Bundle, cache: Path, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, compiled = maps(bundle, precision, None), maps(bundle, precision, cache)
    monkeypatch.setattr(openvino, "read_network", no_onnx)
    with pytest.raises(AssertionError, match="the ONNX is read"):
        maps(bundle, precision, None)
    kept = maps(bundle, precision, cache)
    assert all(np.array_equal(one, two) for one, two in zip(wanted, compiled, strict=True))
    assert all(np.array_equal(one, two) for one, two in zip(wanted, kept, strict=True))


@pytest.mark.parametrize("damage", ["empty", "shorter", "changed", "another"])
def test_a_damaged_file_is_compiled_again(
    bundle: Bundle, cache: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = maps(bundle, "fp32", cache)
    (file,) = cache.iterdir()
    content = file.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    nothing = b"no network"
    another = hashlib.sha256(nothing).digest() + nothing
    file.write_bytes({"empty": b"", "shorter": content[:-1], "changed": bytes(changed), "another": another}[damage])
    assert all(np.array_equal(one, two) for one, two in zip(wanted, maps(bundle, "fp32", cache), strict=True))
    assert str(file) in caplog.text and "the network is compiled again" in caplog.text
    assert find_compiled(file) is not None


def test_where_nothing_can_be_written_the_engine_runs_all_the_same(
    bundle: Bundle, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file where the folder should be")
    assert len(maps(bundle, "fp32", cache)) == len(bundle.golden())
    assert "the next start compiles it again" in caplog.text


def test_a_file_is_found_for_what_it_was_compiled_for_alone(bundle: Bundle, tmp_path: Path) -> None:
    other = tiny_bundle.write(tmp_path / "other", seed=12)
    places: list[tuple[Bundle, Precision, int, bool]] = [(bundle, "fp32", 0, False), (bundle, "int8", 0, False)]
    places += [(bundle, "fp32", 1, False), (bundle, "fp32", 0, True), (other, "fp32", 0, False)]
    assert len({compiled_file(tmp_path, *place) for place in places}) == len(places)


def test_those_that_were_not_used_for_the_longest_time_are_deleted(cache: Path) -> None:
    files = [cache / f"int8-{number}{SUFFIX}" for number in range(KEPT + 1)]
    for age, file in enumerate(reversed(files[:KEPT])):
        keep_compiled(file, b"network")
        os.utime(file, (1e9 - age, 1e9 - age))
    assert find_compiled(files[0]) is not None, "which makes the oldest one the newest"
    keep_compiled(files[-1], b"network")
    assert set(cache.iterdir()) == {files[0], *files[2:]}


def test_the_trial_keeps_what_it_has_chosen(
    bundle: Bundle, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = choose_once(bundle, "openvino", ChoiceFile(tmp_path / "outbox.precisions.json"), cache=cache)
    assert choice is not None
    kept = [compiled_file(cache, bundle, choice.precision, 0, several) for several in (False, True)]
    assert set(cache.iterdir()) == set(kept)
    monkeypatch.setattr(openvino, "read_network", no_onnx)
    assert maps(bundle, choice.precision, cache)
    with OpenVinoEngine(bundle, choice.precision, cache=cache) as engine:
        assert engine.prepare_several()
