"""A box chooses a bundle's precision once, in a process of its own, and keeps what it has chosen."""

from __future__ import annotations

import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import tiny_bundle

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.doctor import find_choices
from edge_inspect.edge.engines.choice import Choice
from edge_inspect.edge.engines.choice_file import KEPT, ChoiceFile, ChoiceKey, read_choices
from edge_inspect.edge.engines.chosen_once import MOST_BEGUN, choose_once
from edge_inspect.edge.engines.trial_process import try_apart
from edge_inspect.edge.errors import EngineError


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "outbox.precisions.json"


def test_the_precisions_are_timed_once(slow_int8: Bundle, record: Path) -> None:
    first = choose_once(slow_int8, "openvino", ChoiceFile(record))
    assert first is not None and first.precision == "fp32"
    (entry,) = read_choices(record)
    assert (entry.choice, entry.name, entry.key.bundle) == (first, slow_int8.manifest.name, slow_int8.digest)
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) == first
    assert read_choices(record) == [entry]


@pytest.mark.parametrize("other", ["bundle", "threads"])
def test_they_are_timed_again_for_another(slow_int8: Bundle, slow_fp32: Bundle, record: Path, other: str) -> None:
    choices = ChoiceFile(record)
    choose_once(slow_int8, "openvino", choices)
    bundle, threads = (slow_fp32, 0) if other == "bundle" else (slow_int8, 1)
    choose_once(bundle, "openvino", choices, threads=threads)
    first, second = read_choices(record)
    assert first.choice is not None and second.choice is not None
    assert first.key.model_copy(update={other: getattr(second.key, other)}) == second.key != first.key


def test_a_trial_during_which_the_service_ends_is_not_repeated_for_ever(
    slow_int8: Bundle, record: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choose_once(slow_int8, "openvino", ChoiceFile(record))
    key = read_choices(record)[0].key
    record.unlink()
    for _ in range(MOST_BEGUN - 1):
        ChoiceFile(record).begin(key, "flange")
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) is not None
    record.unlink()
    for _ in range(MOST_BEGUN):
        ChoiceFile(record).begin(key, "flange")
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) is None
    assert f"timing the precisions has crashed {MOST_BEGUN} times" in caplog.text


def test_where_nothing_runs_the_next_start_tries_again(
    tmp_path: Path, record: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tiny_bundle.write(tmp_path / "broken", tolerance={"int8": -1.0, "fp32": -1.0})
    for _ in range(MOST_BEGUN + 1):
        assert choose_once(broken, "openvino", ChoiceFile(record)) is None
    assert caplog.text.count("the precisions cannot be timed") == MOST_BEGUN + 1 and read_choices(record) == []


@pytest.mark.parametrize("content", [b"", b"{", b'[{"key": 1}]', b"\xff" * 9])
def test_a_damaged_record_is_written_anew(
    slow_int8: Bundle, record: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    record.write_bytes(content)
    (finding,) = find_choices(record)
    assert not finding.found and "is damaged; remove it" in finding.detail
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) is not None
    assert "the precisions are timed again" in caplog.text and len(read_choices(record)) == 1


def test_without_a_place_for_the_record_the_box_still_chooses(
    slow_int8: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    choices = ChoiceFile(tmp_path / "file" / "outbox.precisions.json")
    choice = choose_once(slow_int8, "openvino", choices)
    assert choice is not None and "the next start times the precisions again" in caplog.text
    assert choose_once(slow_int8, "openvino", choices) == choice


def test_the_record_is_bounded(record: Path) -> None:
    choices = ChoiceFile(record)
    for i in range(KEPT + 5):
        key = ChoiceKey(bundle=str(i), engine="openvino", version="1", processor="p", threads=0)
        choices.begin(key, "flange")
        choices.end(key, Choice(precision="fp32", latency_ms={}, against={}))
    kept = [entry.key.bundle for entry in read_choices(record)]
    assert kept == [str(i) for i in range(5, KEPT + 5)]


def test_doctor_lists_what_was_chosen_here(slow_int8: Bundle, record: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find_choices(record) == []
    with caplog.at_level(logging.INFO):
        choices = ChoiceFile(record)
        choice = choose_once(slow_int8, "openvino", choices)
    assert f"{slow_int8.manifest.name}: fp32 takes" in caplog.text
    elsewhere = read_choices(record)[0].key.model_copy(update={"processor": "another"})
    choices.begin(elsewhere, "elsewhere")
    choices.end(elsewhere, choice)
    (finding,) = find_choices(record)
    assert finding.found and finding.what == "precision" and not finding.needed
    assert finding.detail == f"{slow_int8.manifest.name}: {choice}"


def ended_by(number: signal.Signals, bundle: Bundle, record: Path) -> Choice | None:
    """Returns the choice after a trial whose process gets a signal."""
    with ThreadPoolExecutor(1) as pool:
        choosing = pool.submit(choose_once, bundle, "openvino", ChoiceFile(record))
        while True:
            assert not choosing.done(), "the trial ended before it got the signal"
            children = psutil.Process().children()
            if found := [each for each in children if "edge_inspect.edge.engines.trial_process" in words(each)]:
                os.kill(found[0].pid, number)
                return choosing.result()
            time.sleep(0.01)


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_trial_that_crashes_takes_only_its_own_process_down_and_is_not_repeated_for_ever(
    slow_int8: Bundle, record: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for begun in range(1, MOST_BEGUN + 1):
        assert ended_by(signal.SIGKILL, slow_int8, record) is None
        assert read_choices(record)[0].begun == begun
    assert caplog.text.count("the process of the trial ended with SIGKILL; the bundle's order is used") == MOST_BEGUN
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) is None
    assert f"timing the precisions has crashed {MOST_BEGUN} times" in caplog.text


def test_a_trial_that_ends_with_the_service_is_repeated_at_the_next_start(
    slow_int8: Bundle, record: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert ended_by(signal.SIGTERM, slow_int8, record) is None
    assert "the process of the trial was asked to end" in caplog.text and read_choices(record) == []


def test_a_bundle_that_was_replaced_meanwhile_is_not_timed(slow_int8: Bundle, slow_fp32: Bundle) -> None:
    replaced = Bundle(slow_int8.path, slow_int8.manifest, slow_fp32.digest, lambda name: b"")
    with pytest.raises(EngineError, match="another bundle has taken the place"):
        try_apart(replaced, "openvino")


def test_a_trial_leaves_no_process_behind(slow_int8: Bundle) -> None:
    assert try_apart(slow_int8, "openvino", threads=1).precision == "fp32"
    assert not [each for each in psutil.Process().children() if "trial_process" in " ".join(words(each))]
