"""Rows are written exactly once, counted once, and in the right month; what cannot be stored harms nothing else."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import Any

import pytest
from archive_parts import NOON, STATION, Fed, opened, part, parts, rows
from bridge_parts import defect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Engine, text
from station_parts import BUNDLE, status

from edge_inspect.edge.archive.counts import outcome
from edge_inspect.edge.archive.message_rows import rows_of
from edge_inspect.edge.archive.months import partitions
from edge_inspect.edge.archive.received_messages import ArchivedPart
from edge_inspect.edge.archive.settings import INTERVAL_S
from edge_inspect.edge.archive.writer import StoredMessage
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import BundleReference, Verdict
from edge_inspect.edge.contract.replies import Reply


def read(message: Verdict) -> ArchivedPart:
    return ArchivedPart.model_validate_json(message.to_json())


def check_counts(engine: Engine) -> None:
    """The table of counts says what the parts say."""
    expected: Counter[Any] = Counter()
    for row in rows(engine, "verdicts"):
        at = row["decided_at"].timestamp() // INTERVAL_S * INTERVAL_S
        expected[at, row["station_id"], row["bundle_id"], row["recipe"] or "", row["ok"], outcome(row)] += 1
    found = {
        (row["at"].timestamp(), row["station_id"], row["bundle_id"], row["recipe"], row["ok"], row["outcome"]): row
        for row in rows(engine, "counts")
    }
    assert {key: row["parts"] for key, row in found.items()} == expected
    scores = sum(row["score"] for row in rows(engine, "verdicts"))
    assert sum(row["score_sum"] for row in found.values()) == pytest.approx(scores)


def test_a_part_has_every_field_of_its_message(engine: Engine) -> None:
    made = part(7, ok=False, part_id="SN\x1d1", area_name="rim", reason="defect", latency_ms=4.5)
    Fed(engine).give([made, defect(made, 120, 80)])
    (row,) = rows(engine, "verdicts")
    same = ("id", "sequence", "boot_id", "part_id", "captured_at", "decided_at", "ok", "shadow", "score", "threshold")
    same += ("precision", "engine", "latency_ms", "area_name", "reason", "not_found")
    assert {name: row[name] for name in same} == {name: getattr(made, name) for name in same}
    assert (row["frame_width"], row["frame_height"], row["more"]) == (640, 480, None)
    (bundle,) = rows(engine, "bundles")
    assert (bundle["id"], bundle["name"], bundle["digest"]) == (row["bundle_id"], BUNDLE.name, BUNDLE.digest)
    (station,) = rows(engine, "stations")
    assert "/".join((station["site"], station["line"], station["station"])) == STATION
    assert (station["newest"], station["missing"], station["lost"]) == (7, 0, 0)
    (one,) = rows(engine, "defects")
    assert (one["id"], one["region_count"]) == (made.id, 2)
    found = rows(engine, "regions")
    assert [(each["number"], each["area_px"], each["x"], each["height"]) for each in found] == [
        (0, 120, 1, 4),
        (1, 80, 1, 4),
    ]
    assert found[0]["across"] == pytest.approx(1 / 640) and found[0]["down"] == pytest.approx(2 / 480)


@pytest.mark.parametrize("count", [40, 1500])  # few rows are inserted, many copied
def test_what_comes_again_is_stored_and_counted_once(engine: Engine, count: int) -> None:
    made, fed = parts(count), Fed(engine)
    fed.give(made[: len(made) // 2])
    fed.give(made)
    fed.give([*made[::-1], *made])
    assert [row["sequence"] for row in rows(engine, "verdicts")] == list(range(1, count + 1))
    assert len(rows(engine, "defects")) == len(rows(engine, "regions")) == count // 10
    check_counts(engine)
    assert fed.writer.inserted["verdicts"] == count and fed.writer.repeated > count


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=20), min_size=1, max_size=6))
def test_counts_are_right_in_whatever_order_parts_come(engine: Engine, batches: list[list[int]]) -> None:
    with engine.begin() as connection:
        for table in ("verdicts", "defects", "regions", "counts", "changes"):
            connection.execute(text(f"DELETE FROM {table}"))
    made = {each.sequence: each for each in parts(30, bad=3)}
    for batch in batches:
        Fed(engine).give([made[sequence] for sequence in batch])
    assert {row["sequence"] for row in rows(engine, "verdicts")} == set(chain(*batches))
    check_counts(engine)


def test_every_outcome_is_counted_by_itself(engine: Engine) -> None:
    kinds = [
        part(1),
        part(2, ok=False),
        part(3, ok=False, score=0.0, not_found="glare", reason="not_found"),
        part(4, shadow=True, score=0.9),
        part(5, NOON + timedelta(hours=2)),
        part(6, ok=False, score=0.0, reason="view_missing"),
        part(7, shadow=True, score=0.0, reason="view_unmatched"),
    ]
    Fed(engine).give(kinds)
    found = [(row["ok"], row["outcome"], row["parts"]) for row in rows(engine, "counts")]
    assert sorted(found) == [
        (False, "defect", 1),
        (False, "glare", 1),
        (False, "view_missing", 1),
        (True, "defect", 1),
        (True, "good", 1),
        (True, "good", 1),
        (True, "view_unmatched", 1),
    ]


def test_a_change_is_noticed_at_its_first_part_and_only_once(engine: Engine) -> None:
    other = BundleReference(name="flange-2", digest="e" * 64)
    made = [
        part(1),
        part(2),
        part(3, threshold=0.6),
        part(4, threshold=0.6),
        part(5, bundle=other),
        part(6, bundle=other),
    ]
    Fed(engine).give(made[:3])
    Fed(engine).give(made[2:])  # after a restart of the archive
    Fed(engine).give(made)
    found = [(row["sequence"], row["kind"], row["before"], row["after"]) for row in rows(engine, "changes")]
    assert found == [
        (3, "threshold", "0.5", "0.6"),
        (5, "bundle", "flange (d)", "flange-2 (eeeeeeeeeeee)"),
        (5, "threshold", "0.6", "0.5"),
    ]


def test_fields_of_a_later_release_are_kept(engine: Engine) -> None:
    fields = json.loads(part(1).to_json()) | {"recipe": "small", "views": ["left", "right"], "none": None}
    Fed(engine).give_raw([("verdict", json.dumps(fields | {"precision": "fp4"}).encode())])
    (row,) = rows(engine, "verdicts")
    assert (row["recipe"], row["precision"], row["more"]) == ("small", "fp4", {"views": ["left", "right"]})


def test_states_labels_commands_and_replies_are_stored(engine: Engine) -> None:
    label = examples()["label"][0]
    one = status("paused")
    answer = Reply(boot_id="b", sequence=1, command_id=one.id.upper(), command="pause", at=utc_now(), done=True)
    resend = answer.model_copy(update={"id": part(9).id, "command": "resend"})
    fed = Fed(engine)
    for _ in range(2):
        fed.give([one, label, answer, resend])
        fed.give_raw([("command", json.dumps({"id": one.id.upper(), "command": "pause", "by": "hmi"}).encode())])
    (state,), (said,), (command,), (reply,) = (
        rows(engine, name) for name in ("states", "labels", "commands", "replies")
    )
    assert (state["state"], state["id"]) == ("paused", one.id)
    assert (said["word"], said["by_whom"], said["verdict_id"]) == ("defect", "maria", label.verdict.id)
    assert (command["id"], command["by_whom"]) == (reply["command_id"], "hmi")
    assert reply["done"] is True


@pytest.mark.parametrize("count", [1, 300])
def test_text_with_any_character_is_stored(engine: Engine, count: int) -> None:
    """PostgreSQL stores no NUL; a scanned part id may have one."""
    made = [part(sequence, part_id="a\0b\t\\N\nü\U0001f600") for sequence in range(1, count + 1)]
    Fed(engine).give(made)
    assert {row["part_id"] for row in rows(engine, "verdicts")} == {"a b\t\\N\nü\U0001f600"}


def test_a_field_of_a_later_release_may_have_any_name(engine: Engine) -> None:
    fields = json.loads(part(1).to_json()) | {"a\0b": {"c\0": [{"\0d": 1}]}}
    Fed(engine).give_raw([("verdict", json.dumps(fields).encode())])
    assert [row["more"] for row in rows(engine, "verdicts")] == [{"a b": {"c ": [{" d": 1}]}}]


@pytest.mark.parametrize("count", [5, 300])
def test_a_message_that_the_database_refuses_costs_no_other(
    engine: Engine, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    fed = Fed(engine)
    fed.give([part(1)])
    batch = [StoredMessage(STATION, list(rows_of(read(part(sequence))))) for sequence in range(2, count + 1)]
    batch[2].rows[0].values["sequence"] = 2**70
    fed.writer.write(batch, lambda key: fed.stations[key].row())
    assert [row["sequence"] for row in rows(engine, "verdicts")] == [n for n in range(1, count + 1) if n != 4]
    assert fed.writer.skipped == 1 and STATION in caplog.text
    check_counts(engine)


@pytest.mark.parametrize("field", ["part_id", "recipe", "not_found"])
def test_a_text_that_is_too_long_for_an_index_is_refused_when_it_is_read(field: str) -> None:
    fields = json.loads(part(1).to_json())
    read(part(1, part_id="x" * 256))
    for change in ({field: "x" * 257}, {"bundle": {"name": "x" * 257, "digest": "d"}}):
        with pytest.raises(ValidationError):
            ArchivedPart.model_validate(fields | change)


def test_parts_lie_in_the_partition_of_their_month(postgresql: str, tmp_path: Any) -> None:
    engine = opened(postgresql, tmp_path)
    moments = [
        datetime(2026, 10, 31, 23, 59, 59, 999_000, tzinfo=timezone.utc),
        datetime(2026, 11, 1, tzinfo=timezone.utc),
        datetime(2026, 12, 31, 23, tzinfo=timezone.utc),
        datetime(1990, 1, 1, tzinfo=timezone.utc),
        datetime(2150, 1, 1, tzinfo=timezone.utc),
    ]
    Fed(engine).give([part(sequence, moment) for sequence, moment in enumerate(moments, 1)])
    with engine.connect() as connection:
        found = dict(
            connection.execute(text("SELECT sequence, tableoid::regclass::text FROM verdicts ORDER BY sequence")).all()
        )
        assert [month.suffix for month in partitions(connection)] == ["2026_10", "2026_11", "2026_12"]
    names = ["verdicts_2026_10", "verdicts_2026_11", "verdicts_2026_12", "verdicts_other", "verdicts_other"]
    assert list(found.values()) == names
    engine.dispose()
