"""An example of every message of the contract, for docs/mqtt/README.md and for tests."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from pydantic import BaseModel

from edge_inspect.edge.contract.commands import (
    ChangeBundle,
    ChangeRecipe,
    GoShadow,
    Pause,
    Report,
    Resend,
    Resume,
    SetThreshold,
    Snapshot,
    Trigger,
)
from edge_inspect.edge.contract.health import (
    CommandCounts,
    DriftHealth,
    EvidenceHealth,
    FrameCounts,
    Health,
    LatencyPercentiles,
    MqttHealth,
    OutboxHealth,
    PictureChangeHealth,
    PictureHealth,
    PublishedPictures,
    RecipeHealth,
    RefusalCounts,
    RejectHealth,
    ShadowHealth,
    StageHealth,
)
from edge_inspect.edge.contract.messages import (
    BundleReference,
    Defect,
    FrameSize,
    LabelMessage,
    Region,
    Status,
    Verdict,
    ViewResult,
)
from edge_inspect.edge.contract.replies import BundleChange, RecipeChange, Reply, SequenceRange, ThresholdChange
from edge_inspect.edge.contract.reports import EvidencePage, EvidenceRow, LogLine, LogPage


def examples() -> dict[str, list[BaseModel]]:
    """Return examples of each message, by the last level of its topic."""
    head: dict[str, Any] = {"boot_id": "0b4c3a52-6b3f-4b8e-9f0e-3f6f2a7c1d55"}
    at = datetime(2026, 11, 22, 14, 30, 5, 120_000, tzinfo=timezone.utc)
    bundle = BundleReference(name="bottle-v3", digest="9f2c" * 16)
    verdict = Verdict(
        **head,
        id=_id(1),
        sequence=4711,
        part_id="SN-000123",
        captured_at=at,
        decided_at=at.replace(microsecond=163_250),
        ok=False,
        score=0.8125,
        threshold=0.51,
        bundle=bundle,
        recipe="bottle",
        precision="int8",
        engine="openvino",
        latency_ms=43.25,
        frame=FrameSize(width=640, height=480),
    )
    region = Region(bbox=(212, 96, 40, 31), area_px=806, area_mm2=11.6, peak=0.8125, centroid=(231.5, 110.25))
    health = Health(
        **head,
        id=_id(4),
        sequence=4711,
        at=at,
        uptime_s=86_400.5,
        frames=FrameCounts(inspected=4711, accepted=4689, rejected=22, dropped=0),
        fps=9.98,
        latency_ms=LatencyPercentiles(p50=42.1, p95=48.9, p99=61.0),
        outbox=OutboxHealth(entries=0, bytes=0, dropped_verdicts=0, dropped_defects=0),
        mqtt=MqttHealth(connected=True, reconnects=1),
        commands=CommandCounts(done=3, refused=RefusalCounts(replayed=1)),
        engine="openvino",
        precision="int8",
        precision_reason="int8 takes 4.1 ms a frame on this box; bf16 takes 6.4 ms; fp32 takes 11.9 ms",
        bundle=bundle,
        recipe=RecipeHealth(requested="jar", active="bottle", state="changing", names=("bottle", "jar")),
        threshold=0.51,
        stages={
            "camera": StageHealth(state="working", seconds=0.03, progress=4712),
            "engine": StageHealth(state="working", seconds=0.01, progress=4711),
            "outbox": StageHealth(state="idle", seconds=0.06, progress=4711, reason="nothing to store"),
        },
        picture=PictureHealth(
            level=52.1,
            saturated=0.002,
            sharpness=0.21,
            changes=PictureChangeHealth(
                light=-0.15, light_limit=0.1, focus=0.02, focus_limit=0.25, position=0.001, position_limit=0.05
            ),
        ),
        drift=DriftHealth(shift=0.82, limit=0.55),
        rejects=RejectHealth(share=0.09, usual=0.05, evidence=6.2, limit=13.8),
        cause="light",
        remedy="the picture is 15 % darker than before; check the lamp, the exposure, and light from other sources",
        warnings=("light_changed", "score_drift"),
        disk_free_bytes=21_474_836_480,
        throttled=False,
        temperature_c=58.5,
        evidence=EvidenceHealth(saved=31, dropped=0, bytes=28_311_552),
        pictures=PublishedPictures(published=68, dropped=1),
    )
    return {
        "verdict": [verdict, _joint(verdict)],
        "defect": [Defect.of(verdict, (region,))],
        "status": [
            Status(**head, id=_id(2), sequence=0, state="online", at=at, recipe="bottle", version="0.2.0"),
            Status(**head, id=_id(3), sequence=4711, state="offline", at=at, reason="connection lost", version="0.2.0"),
        ],
        "health": [health],
        "command": _commands(),
        "reply": _replies(head, at),
        "label": [
            LabelMessage(
                id=_id(20),
                at=at.replace(minute=41),
                by="maria",
                word="defect",
                defect_class="scratch",
                site="plant1",
                line="line1",
                station="station1",
                verdict=verdict,
                picture_sha256="5b0e" * 16,
            )
        ],
    }


def _commands() -> list[BaseModel]:
    return [
        Trigger(id=_id(5), command="trigger", part_id="SN-000124", by="plc-1"),
        Pause(id=_id(6), command="pause", by="hmi-2"),
        Resume(id=_id(7), command="resume", by="hmi-2"),
        SetThreshold(id=_id(8), command="threshold", value=0.55, by="hmi-2"),
        Snapshot(id=_id(9), command="snapshot"),
        Resend(id=_id(10), command="resend", from_sequence=4650, by="mes"),
        ChangeBundle(id=_id(15), command="bundle", name="bottle-v4.zip", by="mes"),
        ChangeBundle(id=_id(16), command="bundle", name=None, by="hmi-2"),
        ChangeBundle(
            id=_id(21),
            command="bundle",
            name="bottle-v4",
            digest="41d7" * 16,
            url="https://central.example/bundles/bottle-v4.zip",
            by="mes",
        ),
        ChangeRecipe(id=_id(26), command="recipe", name="jar", by="plc-1"),
        GoShadow(id=_id(18), command="shadow", parts=2000, by="hmi-2"),
        Report(id=_id(22), command="report", what="log", by="edge-inspect fleet"),
        Report(id=_id(23), command="report", what="evidence", after="2026-11-21/" + _id(1), by="edge-inspect fleet"),
    ]


def _replies(head: dict[str, Any], at: datetime) -> list[BaseModel]:
    head = {**head, "sequence": 4711, "at": at}
    change = ThresholdChange(before=0.51, after=0.55, bundle=0.51)
    range_ = SequenceRange(first=4650, last=4711)
    shadow = ShadowHealth(parts=0, wanted=2000, above=0)
    bundles = BundleChange(
        before=BundleReference(name="bottle-v3", digest="9f2c" * 16),
        after=BundleReference(name="bottle-v4", digest="41d7" * 16),
    )
    recipes = RecipeChange(before="bottle", after="jar")
    line = LogLine(number=41, at=at, text="INFO edge_inspect.edge.service: 2 station(s) online")
    files = (f"2026-11-22/station1/defects/{_id(1)}.png", f"2026-11-22/station1/verdicts/{_id(1)}.json")
    part = EvidenceRow(id=_id(1), at=at, ok=False, score=0.8125, files=files)
    return [
        Reply(**head, id=_id(11), command_id=_id(5), command="trigger", done=True),
        Reply(**head, id=_id(12), command_id=_id(8), command="threshold", done=True, threshold=change),
        Reply(**head, id=_id(13), command_id=_id(10), command="resend", done=True, resend=range_),
        Reply(**head, id=_id(17), command_id=_id(15), command="bundle", done=True, bundle=bundles),
        Reply(**head, id=_id(27), command_id=_id(26), command="recipe", done=True, recipe=recipes),
        Reply(**head, id=_id(19), command_id=_id(18), command="shadow", done=True, shadow=shadow),
        Reply(
            **head,
            id=_id(24),
            command_id=_id(22),
            command="report",
            done=True,
            log=LogPage(lines=(line,), skipped=40, next="019f2b1c7e40/41"),
        ),
        Reply(
            **head,
            id=_id(25),
            command_id=_id(23),
            command="report",
            done=True,
            evidence=EvidencePage(parts=(part,), next=None),
        ),
        Reply(
            **head,
            id=_id(14),
            command_id=_id(6),
            command="pause",
            done=False,
            refusal="replayed",
            reason="its id was used before; give every command an id of its own",
        ),
    ]


def _joint(of: Verdict) -> Verdict:
    """Return a joint verdict, of a part that one of two views has not seen in time."""
    nothing = {"id": None, "sequence": None, "ok": None, "score": None, "threshold": None}
    left = ViewResult(name="left", id=of.id, sequence=of.sequence, ok=of.ok, score=of.score, threshold=of.threshold)
    right = ViewResult.model_validate({**nothing, "name": "right", "problem": "no verdict within 2 s"})
    changes = {"id": _id(26), "sequence": 4702, "latency_ms": 2043.25, "reason": "view_missing"}
    return of.model_copy(update={**changes, "views": (left, right)})


def _id(number: int) -> str:
    return f"019f2b1c-7e40-7000-8000-{number:012x}"
