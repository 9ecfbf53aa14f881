"""A station carries out commands: every verb, what it refuses, what it answers; without a camera and a broker."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from box_parts import make_box, make_settings
from mosquitto import wait_until
from outbox_parts import both
from small_bundle import THRESHOLD
from tiny_bundle import write

from edge_inspect.edge.configuration.settings import EvidenceSettings, Settings
from edge_inspect.edge.contract.commands import VERBS, ReturnAddress
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.reports import EvidencePage
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.evidence.index import list_parts
from edge_inspect.edge.evidence.writer import EvidenceWriter
from edge_inspect.edge.frame.placement import Placement
from edge_inspect.edge.log_ring import LogRing
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.change_records import KEPT, ThresholdEntry, ThresholdRecord
from edge_inspect.edge.station.command_admission import CommandAdmission
from edge_inspect.edge.station.command_execution import CommandExecutor, CommandInbox, possible_commands
from edge_inspect.edge.station.frame_requests import FrameRequest, FrameRequests
from edge_inspect.edge.station.recipes import RecipeListener, StationRecipes
from edge_inspect.edge.station.shadows import StationShadows
from edge_inspect.edge.station.state import StationState

FRAME = np.full((24, 32, 3), 128, np.uint8)


class Station:
    """All of a station that commands touch."""

    def __init__(self, folder: Path, outbox: MemoryOutbox, *, trigger: str = "camera", **commands: Any) -> None:
        self.replies: list[Reply] = []
        self.backs: list[ReturnAddress | None] = []
        self.images: dict[str, bytes] = {}
        self.resent: list[tuple[int, int]] = []
        self.said: list[tuple[str, str | None]] = []
        self.limit = 10**6
        if not (folder / "bundle").exists():
            write(folder / "bundle")
        self.settings: Settings = make_settings(
            folder, folder / "bundle", trigger=trigger, commands={"allow": VERBS, **commands}
        )
        self.requests = FrameRequests(triggered=trigger == "command", waiting=2)
        self.state = StationState("a", lambda state, reason: self.said.append((state, reason)))
        self.box = make_box(self.settings, outbox)
        self.record = self.box.thresholds
        station = self.settings.stations[0]
        self.shadows = StationShadows(station, self.box, self.state.note)
        self.admission = CommandAdmission(
            self.settings.commands.allow, self.settings.commands.max_age_s, memory=self.box.command_memory(station.name)
        )
        self.inbox = CommandInbox()

    def open(self) -> Station:
        listener = RecipeListener(
            self.state.degrade, lambda recipe, loaded: self.shadows.of(recipe).follow(loaded), self.state.repeat
        )
        self.recipes = StationRecipes(self.settings, self.settings.stations[0], self.box, listener)
        self.commands = CommandExecutor(
            self.settings.commands,
            self.admission,
            self.settings.stations[0],
            self.box,
            self.requests,
            self.state,
            self.shadows,
            self.recipes,
            self,
        )
        self.inbox.open(self.commands.receive)
        return self

    @property
    def threshold(self) -> float:
        return self.recipes.current.decider.threshold

    def reply(self, reply: Reply, back: ReturnAddress | None = None) -> None:
        self.replies.append(reply)
        self.backs.append(back)

    def publish_image(self, identity: str, jpeg: bytes) -> str | None:
        if len(jpeg) > self.limit:
            return None
        self.images[identity] = jpeg
        return f"image/{identity}"

    def resend(self, first: int, last: int) -> bool:
        self.resent.append((first, last))
        return len(self.resent) <= 2

    def tell(self, verb: str, **fields: Any) -> Reply | None:
        before = len(self.replies)
        self.inbox.receive(json.dumps({"command": verb, "id": uuid7(), **fields}).encode(), False)
        return self.replies[-1] if len(self.replies) > before else None


@pytest.fixture
def make(tmp_path: Path, outbox: MemoryOutbox) -> Callable[..., Station]:
    return lambda **settings: Station(tmp_path, outbox, **settings).open()


def possible(station: Station) -> list[str]:
    return possible_commands(station.settings.commands, station.settings.stations[0])


def refused(reply: Reply | None, refusal: str = "impossible") -> str:
    assert reply is not None and not reply.done and reply.refusal == refusal and reply.reason
    return reply.reason


def test_pause_and_resume(make: Callable[..., Station]) -> None:
    station = make()
    assert station.requests.wait() == FrameRequest(True)
    reply = station.tell("pause", by="hmi")
    assert reply is not None and (reply.done, reply.command, reply.refusal, reply.reason) == (True, "pause", None, None)
    assert station.said[-1] == ("paused", f"by command {reply.command_id} of hmi")
    came: list[FrameRequest | None] = []
    waiting = threading.Thread(target=lambda: came.append(station.requests.wait()))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    station.tell("resume")
    waiting.join(30)
    assert came == [FrameRequest(True)]
    assert station.said[-1] == ("online", None)


def test_a_problem_during_a_pause_is_told_after_it(make: Callable[..., Station]) -> None:
    station = make()
    station.tell("pause")
    station.state.degrade("no camera")
    assert station.said[-1][0] == "paused"
    station.tell("resume")
    assert station.said[-1] == ("degraded", "no camera")
    station.state.recover()
    assert station.said[-1] == ("online", None)


def test_a_trigger_takes_one_frame_with_its_part_id(make: Callable[..., Station]) -> None:
    station = make(trigger="command")
    for part in ("p1", None):
        reply = station.tell("trigger", part_id=part)
        assert reply is not None and reply.done
    assert "faster" in refused(station.tell("trigger"), "busy")
    assert [station.requests.wait(), station.requests.wait()] == [FrameRequest(True, "p1"), FrameRequest(True, None)]
    station.tell("trigger", part_id="p3")
    station.tell("pause")
    assert "resume" in refused(station.tell("trigger"))
    # What was taken is served.
    assert station.requests.wait() == FrameRequest(True, "p3")
    station.requests.close()
    assert station.requests.wait() is None
    station.tell("resume")
    assert "no frames" in refused(station.tell("trigger"), "busy")


def test_triggers_do_not_outlive_a_lost_camera(make: Callable[..., Station]) -> None:
    station = make(trigger="command")
    station.tell("trigger")
    station.tell("snapshot")
    assert station.requests.drop_waiting()[0] == 1
    assert station.requests.drop_waiting() == (0, ())


def test_a_trigger_where_every_frame_is_a_part_is_refused(make: Callable[..., Station]) -> None:
    assert "set the station's trigger to command" in refused(make().tell("trigger"))


def test_what_is_possible_is_what_is_allowed_and_means_something_here(make: Callable[..., Station]) -> None:
    assert possible(make(allow=["pause", "trigger"])) == ["pause"]
    assert possible(make(allow=["pause", "trigger"], trigger="command")) == ["pause", "trigger"]
    assert possible(make(allow=[])) == []
    station = make(allow=["recipe"])
    assert possible(station) == []
    assert "this station has no recipes; list them" in refused(station.tell("recipe", name="jar"))


def test_a_threshold_is_bounded_recorded_and_reversible(make: Callable[..., Station]) -> None:
    station = make(threshold_factor=1.25)
    reply = station.tell("threshold", value=0.6, by="hmi")
    assert reply is not None and reply.threshold is not None
    assert (reply.threshold.before, reply.threshold.after, reply.threshold.bundle) == (THRESHOLD, 0.6, THRESHOLD)
    assert station.threshold == 0.6
    for value in (0.39, 0.63, -1, 1e300):
        assert "between 0.4 and 0.625" in refused(station.tell("threshold", value=value))
    assert station.threshold == 0.6
    # A restart brings it back; null brings the bundle's.
    again = make()
    assert again.threshold == 0.6
    reply = again.tell("threshold", value=None)
    assert reply is not None and reply.threshold is not None and reply.threshold.after == THRESHOLD
    assert make().threshold == THRESHOLD
    lines = [json.loads(line) for line in again.record.path.read_text().splitlines() if line]
    assert [(line["value"], line["before"], line["by"]) for line in lines] == [(0.6, 0.5, "hmi"), (None, 0.6, None)]
    assert lines[1]["command_id"] == reply.command_id


def test_a_threshold_changes_the_verdict(make: Callable[..., Station]) -> None:
    station = make()
    anomaly = AnomalyMap(np.full((4, 4), 0.55, np.float32), Placement(1, 1, 0, 0, (0, 0, 4, 4)), 0.55)
    assert not station.recipes.current.decider.decide(anomaly).ok
    station.tell("threshold", value=0.6)
    decision = station.recipes.current.decider.decide(anomaly)
    assert (decision.ok, decision.threshold) == (True, 0.6)


def test_a_threshold_that_cannot_be_recorded_is_not_set(make: Callable[..., Station]) -> None:
    station = make()
    station.record.path.mkdir()
    assert "cannot be recorded" in refused(station.tell("threshold", value=0.6))
    assert station.threshold == THRESHOLD


def test_a_recorded_threshold_outside_the_bounds_is_not_taken(make: Callable[..., Station]) -> None:
    make(threshold_factor=2).tell("threshold", value=0.9)
    assert make(threshold_factor=1.1).threshold == THRESHOLD


def test_a_snapshot_is_published_and_then_answered(make: Callable[..., Station]) -> None:
    station = make()
    assert station.tell("snapshot") is None
    request = station.requests.wait()
    assert request is not None and request.inspect and len(request.snapshots) == 1
    station.commands.show(request.snapshots, FRAME)
    reply = station.replies[-1]
    assert (reply.done, reply.image, reply.command_id) == (True, f"image/{request.snapshots[0]}", request.snapshots[0])
    picture = cv2.imdecode(np.frombuffer(station.images[request.snapshots[0]], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == FRAME.shape and abs(int(picture.mean()) - 128) < 3


def test_a_paused_station_shows_a_frame_that_is_no_part(make: Callable[..., Station]) -> None:
    station = make()
    station.tell("pause")
    station.tell("snapshot")
    request = station.requests.wait()
    assert request is not None and not request.inspect
    station.commands.show(request.snapshots, None, "the camera is gone")
    assert refused(station.replies[-1]) == "the camera is gone"


def test_a_picture_above_the_brokers_limit_is_refused(make: Callable[..., Station]) -> None:
    station = make()
    station.limit = 10
    station.tell("snapshot")
    station.commands.show(station.requests.drop_waiting()[1], FRAME)
    assert "max_packet_size" in refused(station.replies[-1])


def test_snapshots_that_wait_are_bounded(make: Callable[..., Station]) -> None:
    station = make()
    assert [station.tell("snapshot"), station.tell("snapshot")] == [None, None]
    assert "too many" in refused(station.tell("snapshot"), "busy")


def test_a_resend_is_cut_to_the_history(make: Callable[..., Station], outbox: MemoryOutbox) -> None:
    station = make()
    assert "history is empty" in refused(station.tell("resend", from_sequence=1))
    for _ in range(6):
        outbox.put("a", both)
    outbox.remove([entry.id for entry in outbox.pending("a", 0, 8)])
    reply = station.tell("resend", from_sequence=2, to_sequence=9)
    assert reply is not None and reply.resend is not None
    assert (reply.resend.first, reply.resend.last, reply.sequence) == (2, 4, 6)
    station.tell("resend", from_sequence=3)
    assert station.resent == [(2, 4), (3, 4)]
    assert "parts 1 to 4; later parts were not delivered yet" in refused(station.tell("resend", from_sequence=5))
    assert "too many" in refused(station.tell("resend", from_sequence=1), "busy")


def test_every_command_is_answered_and_counted(make: Callable[..., Station]) -> None:
    station = make(allow=["pause"])
    station.commands.receive(b"{", False)
    station.commands.receive(b" " * 5000, False)
    station.tell("resume")
    station.tell("pause")
    station.commands.receive(json.dumps({"command": "pause", "id": station.replies[-1].command_id}).encode(), False)
    assert [reply.refusal for reply in station.replies] == ["malformed", "oversized", "unauthorised", None, "replayed"]
    assert [reply.done for reply in station.replies] == [False, False, False, True, False]
    assert station.replies[0].command_id is None and station.replies[2].command == "resume"
    counts = station.commands.counts()
    assert (counts.done, sum(counts.refused.model_dump().values())) == (1, 4)
    assert not make(allow=[]).tell("pause").done


def test_a_reply_knows_who_else_wants_it(make: Callable[..., Station], tmp_path: Path, outbox: MemoryOutbox) -> None:
    """Whether the command is done at once, later, refused or malformed, and before the engine is there."""
    station = make(allow=["pause", "snapshot"])
    backs = [ReturnAddress(f"to/{number}", bytes([number])) for number in range(5)]
    for back, verb in zip(backs, ("pause", "resume", "snapshot", "fly"), strict=False):
        station.commands.receive(json.dumps({"command": verb, "id": uuid7()}).encode(), False, back)
    station.commands.show(station.requests.drop_waiting()[1], FRAME)
    station.commands.receive(b"{", False, backs[4])
    station.tell("pause")
    assert station.backs == [backs[0], backs[1], backs[3], backs[2], backs[4], None]
    early = Station(tmp_path, outbox)
    early.inbox.receive(json.dumps({"command": "pause", "id": uuid7()}).encode(), False, backs[0])
    assert early.open().backs == [backs[0]]


def test_what_comes_before_the_engine_is_there_waits_for_it(tmp_path: Path, outbox: MemoryOutbox) -> None:
    station = Station(tmp_path, outbox)
    assert station.tell("pause") is None
    assert not station.state.paused
    station.open()
    assert station.replies[-1].done and station.state.paused


def entry(value: float | None, station: str = "a", bundle: str = "d") -> ThresholdEntry:
    return ThresholdEntry(
        at=utc_now(), station=station, bundle=bundle, before=0.5, value=value, by=None, command_id=uuid7()
    )


def test_the_record_is_a_stations_and_a_bundles(tmp_path: Path) -> None:
    record = ThresholdRecord(tmp_path / "t.jsonl")
    assert record.last("a", "d") is None
    for one in (entry(0.6), entry(0.7, station="b"), entry(0.8, bundle="e")):
        record.add(one)
    again = ThresholdRecord(tmp_path / "t.jsonl")
    assert [again.last("a", "d"), again.last("b", "d"), again.last("a", "e"), again.last("b", "e")] == [
        0.6, 0.7, 0.8, None
    ]  # fmt: skip


def test_a_line_that_a_power_cut_has_cut_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.jsonl"
    record = ThresholdRecord(path)
    record.add(entry(0.6))
    path.write_bytes(path.read_bytes() + b'{"at": "20')
    assert record.last("a", "d") == 0.6
    assert "is ignored" in caplog.text
    record.add(entry(0.7))
    assert record.last("a", "d") == 0.7


def test_the_record_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    record = ThresholdRecord(path)
    path.write_text("\n".join(entry(0.5).model_dump_json() for _ in range(2 * KEPT)) + "\n")
    record.add(entry(0.9))
    assert len(path.read_text().splitlines()) == KEPT
    assert record.last("a", "d") == 0.9


def test_a_report_of_the_log(make: Callable[..., Station], monkeypatch: pytest.MonkeyPatch) -> None:
    ring = LogRing()
    monkeypatch.setattr("edge_inspect.edge.station.command_execution.RING", ring)
    ring.filter(logging.LogRecord("edge.x", logging.WARNING, "x.py", 1, "light \x1b failed", (), None))
    station = make()
    reply = station.tell("report", what="log")
    assert reply is not None and reply.done and reply.log is not None and reply.evidence is None
    assert [line.text for line in reply.log.lines] == [r"WARNING edge.x: light \x1b failed"] and reply.log.next is None
    assert "leave it out to begin" in refused(station.tell("report", what="log", after="2026-11-30/x"))
    for wrong in ({}, {"what": "evidences"}, {"what": None}, {"what": "log", "after": ""}, {"what": "log", "after": 1}):
        assert refused(station.tell("report", **wrong), "malformed")
    assert "send 'log' or 'evidence'" in refused(station.tell("report", what="all"), "malformed")
    assert "does not allow report" in refused(make(allow=["pause"]).tell("report", what="log"), "unauthorised")


def test_a_report_of_the_evidence(tmp_path: Path, outbox: MemoryOutbox) -> None:
    bare = Station(tmp_path, outbox).open()
    assert "set evidence.folder" in refused(bare.tell("report", what="evidence"))
    station = Station(tmp_path, outbox, allow=["report"])
    go = threading.Event()
    writer = EvidenceWriter(EvidenceSettings(folder=tmp_path / "evidence"))
    station.box = dataclasses.replace(station.box, evidence=writer)
    station.open()
    real = list_parts

    def slow(*arguments: Any) -> EvidencePage:
        assert go.wait(60)
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_inspect.edge.station.command_execution.list_parts", slow)
        assert station.tell("report", what="evidence") is None, "nothing else waits for the disk"
        assert "another page" in refused(station.tell("report", what="evidence"), "busy")
        go.set()
        wait_until(lambda: len(station.replies) == 2)
    assert station.replies[-1].done and station.replies[-1].evidence == EvidencePage(parts=(), next=None)
    station.tell("report", what="evidence", after="../../x")
    wait_until(lambda: len(station.replies) == 3)
    assert "leave it out to begin" in refused(station.replies[-1])
    writer.close(10)
