from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_inspect.edge.contract import ids
from edge_inspect.edge.contract.fields import format_time
from edge_inspect.edge.contract.health import (
    EvidenceHealth,
    FrameCounts,
    Health,
    LatencyPercentiles,
    MqttHealth,
    OutboxHealth,
    StageHealth,
)
from edge_inspect.edge.contract.ids import is_uuid7, sort_after, uuid7, uuid7_of_now, uuid7_time
from edge_inspect.edge.contract.messages import (
    LARGEST_REGIONS,
    BundleReference,
    Defect,
    FrameSize,
    LabelMessage,
    Region,
    Status,
    Verdict,
)
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.schema import json_schemas
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.text import clean

MOMENT = datetime(2026, 1, 31, 6, 7, 8, 9, tzinfo=timezone.utc)
REGION = Region(bbox=(1, 2, 3, 4), area_px=9, peak=0.7, centroid=(2.5, 3.5))


def verdict(**changes: Any) -> Verdict:
    values: dict[str, Any] = {
        "boot_id": "b",
        "id": uuid7(),
        "sequence": 1,
        "captured_at": MOMENT,
        "decided_at": MOMENT,
        "ok": False,
        "score": 0.8,
        "threshold": 0.5,
        "bundle": BundleReference(name="bottle-v3", digest="sha256:00"),
        "precision": "int8",
        "engine": "openvino",
        "latency_ms": 12.5,
        "frame": FrameSize(width=640, height=480),
    }
    return Verdict(**{**values, **changes})


def health(**changes: Any) -> Health:
    values: dict[str, Any] = {
        "boot_id": "b",
        "sequence": 7,
        "at": MOMENT,
        "uptime_s": 3.5,
        "frames": FrameCounts(inspected=3, accepted=2, rejected=1, dropped=0),
        "fps": 29.9,
        "latency_ms": LatencyPercentiles(p50=1, p95=2, p99=3),
        "outbox": OutboxHealth(entries=0, bytes=0, dropped_verdicts=0, dropped_defects=0),
        "mqtt": MqttHealth(connected=True, reconnects=0),
        "engine": "openvino",
        "precision": "fp32",
        "bundle": BundleReference(name="bottle-v3", digest="sha256:00"),
        "threshold": 0.5,
    }
    return Health(**{**values, **changes})


def test_a_verdict_is_what_the_contract_says() -> None:
    message = verdict(part_id="Teil-7ü")
    payload = message.to_json()
    assert json.loads(payload) == {
        "contract": 1,
        "boot_id": "b",
        "id": message.id,
        "sequence": 1,
        "part_id": "Teil-7ü",
        "captured_at": "2026-01-31T06:07:08.000009Z",
        "decided_at": "2026-01-31T06:07:08.000009Z",
        "ok": False,
        "shadow": False,
        "score": 0.8,
        "threshold": 0.5,
        "bundle": {"name": "bottle-v3", "digest": "sha256:00"},
        "recipe": None,
        "precision": "int8",
        "engine": "openvino",
        "latency_ms": 12.5,
        "frame": {"width": 640, "height": 480},
        "area_name": None,
        "reason": None,
        "not_found": None,
        "views": None,
    }
    assert "ü".encode() in payload


@pytest.mark.parametrize(
    "message",
    [
        verdict(),
        Defect.of(verdict(), (REGION, REGION), "aGVsbG8="),
        Status(boot_id="b", sequence=7, state="degraded", at=MOMENT, reason="INT8 refused", version="0.1.0"),
        health(),
        health(latency_ms=None, temperature_c=61.5),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_payload_reads_back_as_the_same_message(message: Any) -> None:
    assert type(message).model_validate_json(message.to_json()) == message


def label(**changes: Any) -> LabelMessage:
    values: dict[str, Any] = {
        "at": MOMENT,
        "by": "maria",
        "word": "good",
        "site": "plant",
        "line": "line 1",
        "station": "über",
        "verdict": verdict(),
        "picture_sha256": "0a" * 32,
    }
    return LabelMessage(**{**values, **changes})


@pytest.mark.parametrize("word", ["good", "defect", "unsure", None])
def test_a_label_holds_the_word_and_the_whole_verdict(word: str | None) -> None:
    said = label(word=word, defect_class="kratzer, tief" if word == "defect" else None)
    payload = json.loads(said.to_json())
    assert (payload["contract"], payload["word"], payload["by"]) == (1, word, "maria")
    assert Verdict.model_validate(payload["verdict"]) == said.verdict
    assert LabelMessage.model_validate_json(said.to_json()) == said


@pytest.mark.parametrize(
    "changes", [{"word": "bad"}, {"by": ""}, {"picture_sha256": "0A" * 32}, {"verdict": None}, {"picture": "x.jpg"}]
)
def test_a_label_that_the_contract_does_not_know_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        label(**changes)


def test_a_defect_has_the_verdicts_id_and_sequence() -> None:
    rejected = verdict(sequence=41)
    defect = Defect.of(rejected, (REGION,))
    assert (defect.id, defect.sequence) == (rejected.id, 41)
    with pytest.raises(ValidationError, match="ok"):
        Defect.of(verdict(ok=True), (REGION,))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["score", "threshold", "latency_ms"])
def test_a_number_that_is_not_finite_is_refused(field: str, bad: float) -> None:
    with pytest.raises(ValidationError, match=field):
        verdict(**{field: bad})
    with pytest.raises(ValueError, match="JSON compliant"):
        verdict().model_copy(update={field: bad}).to_json()


def test_a_region_with_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValidationError, match="centroid"):
        Region(bbox=(1, 2, 3, 4), area_px=9, peak=0.7, centroid=(2.5, float("nan")))


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"sequence": 0},
        {"id": "7"},
        {"captured_at": datetime(2026, 1, 1)},
        {"precision": "int4"},
        {"contract": 2},
    ],
    ids=str,
)
def test_what_the_contract_does_not_know_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        verdict(**changes)


def test_numpy_numbers_are_taken() -> None:
    payload = json.loads(verdict(score=np.float32(0.5), latency_ms=np.float64(2)).to_json())
    assert (payload["score"], payload["latency_ms"]) == (0.5, 2.0)


def test_times_are_utc_with_microseconds() -> None:
    local = datetime(2026, 1, 31, 8, 7, 8, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(local) == "2026-01-31T06:07:08.000000Z"
    assert json.loads(verdict(captured_at=local).to_json())["captured_at"] == "2026-01-31T06:07:08.000000Z"


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-00:01", "0001-01-01T01:00:00+02:00"]
)
def test_a_time_that_is_none_in_utc_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="lies outside the years 1 to 9999 in UTC"):
        Status(boot_id="b", sequence=0, state="online", at=datetime.fromisoformat(text), version="0")


def test_topics() -> None:
    topics = Topics("plant", "line 1", "über")
    assert topics.verdict == "edge-inspect/v1/plant/line 1/über/verdict"
    levels = [topics.verdict, topics.defect, topics.status, topics.health, topics.command, topics.reply]
    assert [topic.rsplit("/", 1)[1] for topic in levels] == [
        "verdict",
        "defect",
        "status",
        "health",
        "command",
        "reply",
    ]
    assert topics.image("7") == "edge-inspect/v1/plant/line 1/über/image/7"
    assert topics.map("7") == "edge-inspect/v1/plant/line 1/über/map/7"
    assert topics.label == "edge-inspect/v1/plant/line 1/über/label"
    for level in (topics.image, topics.map):
        with pytest.raises(ValueError, match="'7/8'"):
            level("7/8")


@pytest.mark.parametrize("bad", ["", "a/b", "a+", "#", "a\0", "\n", "\ud800", "x" * 65])
@pytest.mark.parametrize("field", ["site", "line", "station"])
def test_a_name_that_is_no_topic_level_is_refused(field: str, bad: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        Topics(**{"site": "s", "line": "l", "station": "t", field: bad})


@given(st.text(min_size=1, max_size=64))
def test_a_topic_has_one_level_a_name(name: str) -> None:
    try:
        topics = Topics(name, name, name)
    except ValueError:
        return
    assert len(topics.verdict.encode().split(b"/")) == 6


def test_uuid7_is_what_rfc_9562_says() -> None:
    before = time.time_ns() // 1_000_000
    text = uuid7()
    assert verdict(id=text).id == text
    milliseconds = int(text.replace("-", "")[:12], 16)
    assert before <= milliseconds <= before + 5_000
    assert uuid7_time(text) == milliseconds / 1000


def test_uuid7_rises_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    later = [uuid7() for _ in range(10_000)]
    assert [first, *later] == sorted({first, *later})
    assert all(verdict(id=text) for text in later[::1000])


def test_uuid7_is_unique_between_threads() -> None:
    found: list[list[str]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda out=out: out.extend(uuid7() for _ in range(2000))) for out in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in found)
    assert len({text for ids in found for text in ids}) == 8000


def test_schemas_name_every_field() -> None:
    schemas = json_schemas()
    assert set(schemas) == {"verdict", "defect", "status", "health", "command", "reply", "label"}
    assert set(schemas["verdict"]["properties"]) == set(json.loads(verdict().to_json()))
    assert schemas["verdict"]["properties"]["captured_at"]["format"] == "date-time"
    messages = [schema for name, schema in schemas.items() if name != "command"]
    assert all(schema["additionalProperties"] is False for schema in messages)
    of_stations = [schema for name, schema in schemas.items() if name not in ("command", "label")]
    assert all({"id", "boot_id", "sequence"} <= set(schema["required"]) for schema in of_stations)
    # Every field is always there.
    assert set(schemas["health"]["required"]) == set(json.loads(health().to_json()))


ODD = ["teil_\udcfc.png", "\ud800", "a\nb\x1b[31m", "\u202e", "ü" * 5000, "\udcff" * 2000, "\0", ""]


@pytest.mark.parametrize("text", ODD)
def test_any_reason_can_be_sent(text: str) -> None:
    fields = {"boot_id": "b", "sequence": 1, "at": MOMENT}
    status = Status(**fields, state="degraded", reason=text, version="0")
    assert status.reason is not None and len(status.reason) <= 1024 and status.reason == clean(text)[:1024]
    assert Status.model_validate_json(status.to_json()) == status
    reply = Reply(**fields, command_id=None, command=None, done=False, refusal="impossible", reason=text)
    assert Reply.model_validate_json(reply.to_json()).reason == status.reason
    outbox = {"entries": 0, "bytes": 0, "dropped_verdicts": 0, "dropped_defects": 0}
    assert OutboxHealth(**outbox, problem=text, set_aside=text).problem == clean(text)[:1024]
    assert EvidenceHealth(saved=0, dropped=0, bytes=0, problem=text).model_dump_json()
    assert StageHealth(state="failed", seconds=0, progress=0, reason=text).model_dump_json()


@given(text=st.text(st.characters(codec=None, categories=None), max_size=600))
def test_any_part_id_can_be_sent_and_what_can_be_sent_is_kept(text: str) -> None:
    made = verdict(part_id=text)
    assert Verdict.model_validate_json(made.to_json()) == made
    try:
        text.encode()
    except UnicodeEncodeError:
        assert made.part_id == clean(text)[:256]
    else:
        assert made.part_id == text[:256]


@pytest.mark.parametrize("ahead_s", [3600, 21 * 86400, 50 * 365 * 86400])
def test_ids_of_now_are_of_now_though_the_clock_was_ahead(monkeypatch: pytest.MonkeyPatch, ahead_s: int) -> None:
    now = time.time_ns()
    with monkeypatch.context() as patch:
        patch.setattr(ids, "newest_uuid7", (0, 0))
        sort_after(ids.format_uuid7(now // 10**6 + 1000 * ahead_s, 1))
        later = uuid7()
        assert uuid7_time(later) > now / 1e9 + ahead_s
        assert uuid7() > later
        of_now = [uuid7_of_now() for _ in range(100)]
        assert all(is_uuid7(one) and abs(uuid7_time(one) - now / 1e9) < 600 for one in of_now)
        assert len(set(of_now)) == 100
        assert uuid7() > later


def test_a_defect_of_very_many_regions_has_the_largest_and_says_how_many() -> None:
    rejected = verdict(ok=False)
    regions = tuple(REGION.model_copy(update={"area_px": area, "peak": 1000.0 - area}) for area in range(1, 270))
    defect = Defect.of(rejected, regions)
    assert defect.region_count == 269 and len(defect.regions) == LARGEST_REGIONS
    # In their order: the highest peak first, though its region is the smallest.
    assert [region.area_px for region in defect.regions] == [1, *range(270 - LARGEST_REGIONS + 1, 270)]
    assert len(defect.to_json()) < 6000
    for count in (0, 1, LARGEST_REGIONS, LARGEST_REGIONS + 1):
        few = Defect.of(rejected, regions[:count])
        assert (few.region_count, len(few.regions)) == (count, min(count, LARGEST_REGIONS))
