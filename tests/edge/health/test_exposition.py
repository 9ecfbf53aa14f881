"""/metrics and /healthz over a real socket, read by Prometheus' own parser and checked by its own tool."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from http_get import get
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from promtool import promtool

from edge_inspect.edge import __version__
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.health import Health, HealthWarning
from edge_inspect.edge.contract.messages import BundleReference, State
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.health.exposition import expose
from edge_inspect.edge.health.histogram import Histogram
from edge_inspect.edge.health.http import HealthServer, of_stations
from edge_inspect.edge.health.report import StationReport


def health(**changes: object) -> Health:
    example = examples()["health"][0]
    assert isinstance(example, Health)
    return example.model_copy(update=changes)


def report(
    station: str = "a", state: State = "online", reason: str | None = None, told: Health | None = None
) -> StationReport:
    latency = Histogram()
    for seconds in (0.004, 0.005, 0.042, 0.3, 60.0):
        latency.add(seconds)
    return StationReport(Topics("plant", "line1", station), state, reason, latency.buckets(), told)


class Told:
    stuck: list[str] = []
    reports: list[StationReport] = []


@pytest.fixture
def server() -> Iterator[HealthServer]:
    Told.stuck, Told.reports = [], []
    started = HealthServer(0, of_stations(lambda: (Told.stuck, Told.reports)))
    yield started
    started.close()


def families(*reports: StationReport) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(expose(reports))}


def values(family: Metric, label: str, **of: str) -> dict[str, float]:
    """A family's values by one label, of the samples with the others."""
    samples = [sample for sample in family.samples if of.items() <= sample.labels.items()]
    return {sample.labels[label]: sample.value for sample in samples}


STRANGE = BundleReference(name='fl"än\\ge\n1', digest="0")


def test_prometheus_reads_every_figure_of_every_station(server: HealthServer) -> None:
    cold = health(bundle=STRANGE, drift=None, temperature_c=None, warnings=())
    Told.reports = [report("a", told=health()), report("b", told=cold)]
    status, text = get(server.port, "/metrics")
    assert status == 200
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(name.startswith("edge_inspect_") for name in found)
    assert found["edge_inspect_parts"].type == "counter"
    assert values(found["edge_inspect_parts"], "station", verdict="reject") == {"a": 22, "b": 22}
    assert values(found["edge_inspect_score_drift"], "station") == {"a": 0.82}
    told = values(found["edge_inspect_warning"], "warning", station="a")
    assert set(told) == set(HealthWarning.__args__)
    assert {name for name, value in told.items() if value} == {"light_changed", "score_drift"}
    assert values(found["edge_inspect_reject_ratio"], "station") == {"a": 0.09, "b": 0.09}
    assert values(found["edge_inspect_picture_change_ratio"], "measure", station="a")["light"] == -0.15
    causes = values(found["edge_inspect_likely_cause"], "cause", station="a")
    assert causes == {"light": 1, "focus": 0, "position": 0, "parts": 0}
    assert values(found["edge_inspect_station_info"], "bundle", station="b") == {STRANGE.name: 1}
    assert values(found["edge_inspect_commands"], "result", station="a")["replayed"] == 1
    for sample in (sample for family in found.values() for sample in family.samples):
        assert (sample.labels["site"], sample.labels["line"]) == ("plant", "line1")


def test_what_the_stations_share_stands_once() -> None:
    found = families(report("a", told=health()), report("b", told=health()), report("c"))
    for name in (
        "outbox_entries",
        "outbox_bytes",
        "temperature_celsius",
        "throttled",
        "disk_free_bytes",
        "evidence_bytes",
    ):
        assert [set(sample.labels) for sample in found[f"edge_inspect_{name}"].samples] == [{"site", "line"}], name
    assert values(found["edge_inspect_build_info"], "version") == {__version__: 1}


def test_the_latency_is_a_histogram_that_grows() -> None:
    samples = families(report())["edge_inspect_latency_seconds"].samples
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    # A value that is a bound's own counts as at most that bound.
    assert buckets["0.005"] == 2 and buckets["0.05"] == 3 and buckets["10.0"] == 4 and buckets["+Inf"] == 5
    others = {sample.name: sample.value for sample in samples if "le" not in sample.labels}
    assert others == {
        "edge_inspect_latency_seconds_sum": pytest.approx(60.351),
        "edge_inspect_latency_seconds_count": 5,
    }


@pytest.mark.parametrize("state", ["starting", "online", "degraded", "paused"])
def test_a_state_is_the_only_one_of_its_kind(state: State) -> None:
    told = values(families(report(state=state))["edge_inspect_station_state"], "state")
    assert sum(told.values()) == 1 and told[state] == 1


def test_before_the_first_health_the_state_is_told(server: HealthServer) -> None:
    assert get(server.port, "/metrics") == (200, "")
    Told.reports = [report(state="starting")]
    assert 'station="a",state="starting"} 1.0' in get(server.port, "/metrics")[1]
    assert get(server.port, "/healthz")[0] == 503


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [report(state="starting")],
        [report("a", told=health()), report("b", told=health(bundle=STRANGE))],
        [report("a", "degraded", "lost", health(temperature_c=None, throttled=None, picture=None, evidence=None))],
    ],
    ids=["none", "starting", "two", "little"],
)
def test_promtool_finds_nothing_to_mend(reports: list[StationReport]) -> None:
    checked = promtool("check", "metrics", given=expose(reports))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("state", "status"), [("online", 200), ("paused", 200), ("degraded", 503), ("starting", 503), ("stopping", 503)]
)
def test_healthz_says_what_the_status_says(server: HealthServer, state: State, status: int) -> None:
    Told.reports = [report("a", told=health()), report("b", state, "because", health())]
    code, text = get(server.port, "/healthz")
    told = json.loads(text)
    assert (code, told["ok"]) == (status, status == 200)
    assert (told["stations"]["b"]["state"], told["stations"]["b"]["reason"]) == (state, "because")
    assert told["stations"]["a"] == {
        "state": "online", "reason": None, "connected": True, "at": "2026-11-22T14:30:05.120000Z",
        "warnings": ["light_changed", "score_drift"],
    }  # fmt: skip
    assert get(server.port, "/livez")[0] == 200


def test_what_hangs_is_503_everywhere(server: HealthServer) -> None:
    Told.reports, Told.stuck = [report(told=health())], ["a: camera"]
    for path in ("/healthz", "/livez"):
        status, text = get(server.port, path)
        assert status == 503 and json.loads(text)["stuck"] == ["a: camera"]


def test_requests_as_monitors_make_them(server: HealthServer) -> None:
    Told.reports = [report(told=health())]
    assert get(server.port, "/healthz?verbose=1")[0] == 200
    assert get(server.port, "/healthz", "HEAD") == (200, "")
    assert get(server.port, "/metrics?name[]=x")[0] == 200
    assert get(server.port, "/")[0] == 404


def test_a_port_that_is_taken_is_a_mistake_of_the_configuration(server: HealthServer) -> None:
    with pytest.raises(ConfigurationError, match="health.http_port"):
        HealthServer(server.port, of_stations(lambda: ([], [])))
