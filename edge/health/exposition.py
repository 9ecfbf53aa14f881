"""Health in the text format of Prometheus (version 0.0.4).

Every metric has the labels `site` and `line`. A metric of one station also has the label `station`; a metric of the
whole box appears once. docs/monitoring/ has alert rules and a dashboard that use the metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from edge_inspect.edge import __version__
from edge_inspect.edge.contract.health import Cause, Health, HealthWarning, StageState
from edge_inspect.edge.contract.messages import State
from edge_inspect.edge.health.histogram import Buckets
from edge_inspect.edge.health.report import StationReport

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STATES: tuple[State, ...] = ("starting", "online", "degraded", "paused")
"""The states in which the service runs, and so can answer."""

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]


class Sample(NamedTuple):
    """One value of a family; `suffix` is only used for histograms (`_bucket`, `_sum`, `_count`)."""

    labels: Labels
    value: float
    suffix: str = ""


class Family(NamedTuple):
    """A metric with its samples.

    Attributes:
        name: Name of the metric, without the prefix `edge_inspect_`.
        kind: Type of the metric.
        help: Description of the metric.
        samples: The values; empty if the box lacks the sensor or function.
    """

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]


def expose(reports: Sequence[StationReport]) -> str:
    """Return the metrics of a box, from the reports of its stations."""
    families: dict[str, Family] = {}
    for family in _box(reports):
        _add(families, family, {"site": reports[0].topics.site, "line": reports[0].topics.line})
    for report in reports:
        topics = report.topics
        for family in _station(report):
            _add(families, family, {"site": topics.site, "line": topics.line, "station": topics.station})
    return as_text(families.values())


def as_text(families: Iterable[Family]) -> str:
    """Return families in the text format; those without samples are left out."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _add(families: dict[str, Family], family: Family, labels: Labels) -> None:
    before = families.get(family.name)
    samples = [sample._replace(labels={**labels, **sample.labels}) for sample in family.samples]
    families[family.name] = family._replace(samples=[*(before.samples if before else ()), *samples])


def _box(reports: Sequence[StationReport]) -> Iterator[Family]:
    """Yield the metrics of the whole box, which are the same in every report."""
    if reports:
        yield Family("build_info", "gauge", "Version of edge-inspect; always 1.", [Sample({"version": __version__}, 1)])
    health = next((report.health for report in reports if report.health is not None), None)
    if health is None:
        return
    outbox = health.outbox
    yield _one("outbox_entries", "gauge", "Messages that wait for the broker, of all stations.", outbox.entries)
    yield _one("outbox_bytes", "gauge", "Size of the messages that wait for the broker.", outbox.bytes)
    yield _by(
        "outbox_dropped_total",
        "counter",
        "Messages that the outbox has dropped since its file was created.",
        "kind",
        {"verdict": outbox.dropped_verdicts, "defect": outbox.dropped_defects},
    )
    yield _one(
        "outbox_failing",
        "gauge",
        "1 while the outbox's file cannot be written or is missing.",
        outbox.problem is not None,
    )
    yield _one("temperature_celsius", "gauge", "Temperature of the hottest sensor of the box.", health.temperature_c)
    yield _one("throttled", "gauge", "1 while heat or overcurrent slows the box down.", health.throttled)
    yield _one("disk_free_bytes", "gauge", "Free space on the outbox's disk.", health.disk_free_bytes)
    if health.evidence is not None:
        yield _one("evidence_bytes", "gauge", "Size of the evidence of all stations.", health.evidence.bytes)


def _station(report: StationReport) -> Iterator[Family]:
    yield _states("station_state", "1 for the state that the station's MQTT status says.", _STATES, report.state)
    yield Family("latency_seconds", "histogram", "Time from a frame to its verdict.", list(_histogram(report.latency)))
    if report.health is not None:
        yield from _counted(report.health)
        yield from _seen(report.health)


def _counted(health: Health) -> Iterator[Family]:
    frames, evidence = health.frames, health.evidence
    bundle = health.bundle
    labels = {"bundle": bundle.name, "digest": bundle.digest, "engine": health.engine, "precision": health.precision}
    yield Family("station_info", "gauge", "The bundle in force, and its engine; always 1.", [Sample(labels, 1)])
    yield _one("uptime_seconds", "gauge", "Time since the station's start.", health.uptime_s)
    verdicts = {"accept": frames.accepted, "reject": frames.rejected}
    yield _by("parts_total", "counter", "Parts inspected since the start.", "verdict", verdicts)
    yield _one("frames_dropped_total", "counter", "Frames and parts without a verdict.", frames.dropped)
    yield _one("mqtt_connected", "gauge", "1 while the station is connected to the broker.", health.mqtt.connected)
    yield _one("mqtt_reconnects_total", "counter", "Number of reconnects to the broker.", health.mqtt.reconnects)
    results = {"done": health.commands.done, **health.commands.refused.model_dump()}
    yield _by("commands_total", "counter", "Commands by result: done, or the reason of the refusal.", "result", results)
    progress: dict[str, float] = {name: stage.progress for name, stage in health.stages.items()}
    yield _by("stage_progress_total", "counter", "Pieces of work that a stage has done.", "stage", progress)
    for name, stage in health.stages.items():
        states = get_args(StageState)
        yield _states("stage_state", "1 for the state that a stage is in.", states, stage.state, {"stage": name})
    if evidence is not None:
        yield _one("evidence_saved_total", "counter", "Pictures saved as evidence.", evidence.saved)
        yield _one("evidence_dropped_total", "counter", "Pictures that could not be saved.", evidence.dropped)
        yield _one("evidence_failing", "gauge", "1 while no evidence can be saved.", evidence.problem is not None)
    if (pictures := health.pictures) is not None:
        yield _one("pictures_published_total", "counter", "Pictures of parts published.", pictures.published)
        yield _one("pictures_dropped_total", "counter", "Pictures of parts due but not published.", pictures.dropped)


def _seen(health: Health) -> Iterator[Family]:
    yield _one("threshold", "gauge", "Threshold; parts with a higher score are rejected.", health.threshold)
    warnings = {name: name in health.warnings for name in get_args(HealthWarning)}
    yield _by("warning", "gauge", "1 while a problem will soon affect or stop verdicts.", "warning", warnings)
    if (picture := health.picture) is not None:
        yield _one("picture_level", "gauge", "Mean grey level of the last frame, 0 to 255.", picture.level)
        yield _one(
            "picture_saturated_ratio", "gauge", "Share of saturated values in the last frame.", picture.saturated
        )
        about = "Standard deviation of the last frame's Laplacian, divided by that of its grey levels."
        yield _one("picture_sharpness", "gauge", about, picture.sharpness)
        if (changes := picture.changes) is not None:
            about = "Relative change of the picture since the calibration, or since the start."
            values = {"light": changes.light, "focus": changes.focus, "position": changes.position}
            limits = {
                "light": changes.light_limit,
                "focus": changes.focus_limit,
                "position": changes.position_limit,
            }
            yield _by("picture_change_ratio", "gauge", about, "measure", values)
            about = "Change of the picture, up or down, beyond which there is a warning."
            yield _by("picture_change_limit", "gauge", about, "measure", limits)
    yield _one("shadow", "gauge", "1 while the station is in shadow and rejects nothing.", health.shadow is not None)
    if (shadow := health.shadow) is not None:
        yield _one("shadow_parts", "gauge", "Parts whose scores are collected in shadow.", shadow.parts)
        yield _one("shadow_parts_wanted", "gauge", "Parts after which the shadow ends.", shadow.wanted)
    if (rejects := health.rejects) is not None:
        yield _one("reject_ratio", "gauge", "Share of rejects among about the last 200 parts.", rejects.share)
        yield _one("reject_ratio_usual", "gauge", "Share of rejects that raises no alarm.", rejects.usual)
        about = "Control chart of rejects: grows while more parts are rejected than usual."
        yield _one("reject_evidence", "gauge", about, rejects.evidence)
        about = "The alarm begins when reject_evidence reaches this value."
        yield _one("reject_evidence_limit", "gauge", about, rejects.limit)
    causes = {name: name == health.cause for name in get_args(Cause)}
    yield _by(
        "likely_cause", "gauge", "1 for the likely cause of a warning of rejects, pictures or drift.", "cause", causes
    )
    if (drift := health.drift) is not None:
        about = "Shift of all parts' scores, in standard deviations of the calibration."
        yield _one("score_drift", "gauge", about, drift.shift)
        yield _one("score_drift_limit", "gauge", "Shift, up or down, beyond which there is a warning.", drift.limit)


def _one(name: str, kind: Kind, help_: str, value: float | None) -> Family:
    return Family(name, kind, help_, [] if value is None else [Sample({}, value)])


def _by(name: str, kind: Kind, help_: str, label: str, values: Mapping[str, float]) -> Family:
    return Family(name, kind, help_, [Sample({label: key}, value) for key, value in values.items()])


def _states(name: str, help_: str, all_: Iterable[str], current: str, labels: Labels | None = None) -> Family:
    return Family(name, "gauge", help_, [Sample({**(labels or {}), "state": one}, one == current) for one in all_])


def _histogram(buckets: Buckets) -> Iterator[Sample]:
    for bound, count in buckets.counts:
        yield Sample({"le": "+Inf" if bound == float("inf") else repr(bound)}, count, "_bucket")
    yield Sample({}, buckets.sum, "_sum")
    yield Sample({}, buckets.counts[-1][1], "_count")


def _lines(family: Family) -> Iterator[str]:
    name = f"edge_inspect_{family.name}"
    yield f"# HELP {name} {family.help}\n"
    yield f"# TYPE {name} {family.kind}\n"
    for labels, value, suffix in family.samples:
        shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        yield f"{name}{suffix}{{{shown}}} {float(value)!r}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
