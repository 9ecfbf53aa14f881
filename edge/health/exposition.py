"""Health in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, get_args

from edge.messages import Health, HealthWarning

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metric(NamedTuple):
    """A family of samples.

    Attributes:
        name: Without the prefix `edge_inspect_`.
        kind: `counter` or `gauge`.
        help: What it is.
        samples: Labels and value of each; none where the box has no such thing.
    """

    name: str
    kind: str
    help: str
    samples: list[tuple[dict[str, str], float]]


def expose(healths: Mapping[str, Health]) -> str:
    """The metrics of a box.

    Args:
        healths: The newest health of each station, by its name.
    """
    families: dict[str, Metric] = {}
    for station, health in healths.items():
        for metric in _metrics(health):
            samples = [({"station": station, **labels}, value) for labels, value in metric.samples]
            families.setdefault(metric.name, metric._replace(samples=[])).samples.extend(samples)
    return "".join(line for metric in families.values() if metric.samples for line in _lines(metric))


def _metrics(health: Health) -> Iterator[Metric]:
    frames, outbox, mqtt = health.frames, health.outbox, health.mqtt
    yield _one("uptime_seconds", "gauge", "Since the station's start.", health.uptime_s)
    yield _by("parts_total", "verdict", "Parts inspected.", {"accept": frames.accepted, "reject": frames.rejected})
    yield _one("frames_dropped_total", "counter", "Frames that no engine looked at.", frames.dropped)
    yield _one("parts_per_second", "gauge", "Over the last ten seconds.", health.fps)
    if (latency := health.latency_ms) is not None:
        seconds = {"0.5": latency.p50 / 1000, "0.95": latency.p95 / 1000, "0.99": latency.p99 / 1000}
        yield _by("latency_seconds", "quantile", "From the frame to the verdict, recent parts.", seconds, "gauge")
    yield _one("outbox_entries", "gauge", "Messages that wait, of all stations.", outbox.entries)
    yield _one("outbox_bytes", "gauge", "Their size.", outbox.bytes)
    dropped = {"verdict": outbox.dropped_verdicts, "defect": outbox.dropped_defects}
    yield _by("outbox_dropped_total", "kind", "Messages the outbox had to drop since it was made.", dropped)
    yield _one("outbox_failing", "gauge", "1: the disk takes nothing.", outbox.problem is not None)
    yield _one("mqtt_connected", "gauge", "1: connected to the broker.", mqtt.connected)
    yield _one("mqtt_reconnects_total", "counter", "Connections made again.", mqtt.reconnects)
    yield _one("threshold", "gauge", "In force.", health.threshold)
    stages = health.stages
    yield _by("stage_progress_total", "stage", "Work done.", {name: stage.progress for name, stage in stages.items()})
    stuck: dict[str, float] = {name: stage.state == "stuck" for name, stage in stages.items()}
    yield _by("stage_stuck", "stage", "1: it hangs.", stuck, "gauge")
    told = {name: name in health.warnings for name in get_args(HealthWarning)}
    yield _by("warning", "warning", "1: see the message health.", told, "gauge")
    if (picture := health.picture) is not None:
        yield _one("picture_level", "gauge", "Mean grey level of the last frame, 0 to 255.", picture.level)
        yield _one("picture_saturated_ratio", "gauge", "Share of saturated values in it.", picture.saturated)
        yield _one(
            "picture_sharpness", "gauge", "Deviation of its Laplacian over that of its levels.", picture.sharpness
        )
    if (drift := health.drift) is not None:
        yield _one("score_drift", "gauge", "Shift of good scores, in the calibration's deviations.", drift.shift)
        yield _one("score_drift_limit", "gauge", "Beyond it, they drift.", drift.limit)
    for name, help_, value in (
        ("temperature_celsius", "The hottest part of the box.", health.temperature_c),
        ("throttled", "1: heat or current slows the box.", health.throttled),
        ("disk_free_bytes", "Room for the outbox.", health.disk_free_bytes),
    ):
        if value is not None:
            yield _one(name, "gauge", help_, value)
    labels = {"bundle": health.bundle.name, "engine": health.engine, "precision": health.precision}
    yield Metric("info", "gauge", "What runs.", [(labels, 1)])


def _one(name: str, kind: str, help_: str, value: float) -> Metric:
    return Metric(name, kind, help_, [({}, value)])


def _by(name: str, label: str, help_: str, values: Mapping[str, float], kind: str = "counter") -> Metric:
    return Metric(name, kind, help_, [({label: key}, value) for key, value in values.items()])


def _lines(metric: Metric) -> Iterable[str]:
    name = f"edge_inspect_{metric.name}"
    yield f"# HELP {name} {metric.help}\n"
    yield f"# TYPE {name} {metric.kind}\n"
    for labels, value in metric.samples:
        shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        yield f"{name}{{{shown}}} {float(value)!r}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
