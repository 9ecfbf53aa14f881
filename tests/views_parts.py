"""What tests of the joiner share: verdicts of views, stations that publish them, and the rule computed by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from bridge_parts import Line, defect
from station_parts import BUNDLE

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import FrameSize, Verdict
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.outbox import Outgoing
from edge_inspect.edge.views.settings import ViewsSettings

BEGIN = datetime(2026, 11, 22, 14, 30, tzinfo=timezone.utc)
JOINT = Topics("plant", "line1", "joint")


def seen(
    sequence: int,
    *,
    ok: bool = True,
    part_id: str | None = None,
    at: float | None = None,
    boot_id: str = "b",
    score: float | None = None,
    **more: Any,
) -> Verdict:
    """A verdict of a view; `at` is the time of its frame, in seconds after `BEGIN`; without it, now."""
    captured = utc_now() if at is None else BEGIN + timedelta(seconds=at)
    fields: dict[str, Any] = {
        "boot_id": boot_id,
        "sequence": sequence,
        "part_id": part_id,
        "captured_at": captured,
        "decided_at": captured,
        "ok": ok,
        "score": score if score is not None else 0.25 if ok else 0.75,
        "threshold": 0.5,
        "bundle": BUNDLE,
        "precision": "int8",
        "engine": "openvino",
        "latency_ms": 1.0,
        "frame": FrameSize(width=640, height=480),
        "reason": None if ok else "defect",
    }
    return Verdict(**(fields | more))


def messages(verdict: Verdict, topics: Topics) -> list[Outgoing]:
    """The messages of a verdict, as a station publishes them: a rejected part has a defect of one region."""
    found = [Outgoing(topics.verdict, verdict.to_json(), "verdict")]
    if not verdict.ok:
        found.append(Outgoing(topics.defect, defect(verdict, 100).to_json(), "defect"))
    return found


class ViewStation(Line):
    """A station of a view on a box of its own, with a real outbox and publisher; sends parts again when asked to."""

    @property
    def boot_id(self) -> str:
        """Id of the box's boot."""
        return f"box of {self.topics.station}"

    def see(self, *, ok: bool, part_id: str | None = None, at: float | None = None) -> None:
        """Inspect a part."""

        def make(sequence: int) -> list[Outgoing]:
            return messages(seen(sequence, ok=ok, part_id=part_id, at=at, boot_id=self.boot_id), self.topics)

        self.outbox.put(self.topics.station, make)


def settings(port: int, folder: Path, views: int = 2, **more: Any) -> ViewsSettings:
    """A configuration for the views v0, v1 and so on, of stations with these names."""
    fields: dict[str, Any] = {
        "site": "plant",
        "line": "line1",
        "station": "joint",
        "views": [{"name": f"v{number}", "station": f"s{number}"} for number in range(views)],
        "mqtt": {"host": "127.0.0.1", "port": port, "backoff_cap_s": 0.2},
        "outbox": {"path": str(folder / "joint.db")},
        "health_every_s": 0.5,
    }
    return ViewsSettings.model_validate(fields | more)


def accepts(oks: dict[str, bool], deciding: list[str], votes: int) -> bool:
    """The rule, by hand."""
    return sum(not oks[name] for name in deciding) < votes
