"""/metrics and /healthz over a real socket, read by Prometheus' own parser."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.errors import ConfigurationError
from edge.health.http import HealthServer
from edge.messages import BundleReference, Health, HealthWarning
from edge.schema import examples


def example(**changes: object) -> Health:
    health = examples()["health"][0]
    assert isinstance(health, Health)
    return health.model_copy(update=changes)


class Told:
    stuck: list[str] = []
    healths: dict[str, Health] = {}


@pytest.fixture
def server() -> Iterator[HealthServer]:
    Told.stuck, Told.healths = [], {}
    started = HealthServer(0, lambda: (Told.stuck, Told.healths))
    yield started
    started.close()


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_prometheus_reads_every_figure_of_every_station(server: HealthServer) -> None:
    strange = BundleReference(name='fl"än\\ge\n1', digest="0")
    Told.healths = {"a": example(), "b": example(bundle=strange, drift=None, temperature_c=None, warnings=())}
    status, text = get(server, "/metrics")
    assert status == 200
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(name.startswith("edge_inspect_") for name in found)
    parts = {(s.labels["station"], s.labels["verdict"]): s.value for s in found["edge_inspect_parts"].samples}
    assert parts[("a", "accept")] == 4689 and parts[("b", "reject")] == 22
    assert found["edge_inspect_parts"].type == "counter"
    assert [s.labels["station"] for s in found["edge_inspect_score_drift"].samples] == ["a"]
    assert [s.value for s in found["edge_inspect_temperature_celsius"].samples] == [58.5]
    told = {s.labels["warning"]: s.value for s in found["edge_inspect_warning"].samples if s.labels["station"] == "a"}
    assert told["score_drift"] == 1 and sum(told.values()) == 1
    assert set(told) == set(HealthWarning.__args__)
    assert found["edge_inspect_info"].samples[1].labels["bundle"] == strange.name
    latency = {s.labels["quantile"]: s.value for s in found["edge_inspect_latency_seconds"].samples}
    assert latency["0.5"] == pytest.approx(0.0421)


def test_before_the_first_health_there_is_nothing_to_read(server: HealthServer) -> None:
    assert get(server, "/metrics") == (200, "")


def test_healthz_is_503_while_something_hangs(server: HealthServer) -> None:
    Told.healths = {"a": example()}
    status, text = get(server, "/healthz")
    assert status == 200 and json.loads(text)["ok"] is True
    assert json.loads(text)["stations"]["a"]["warnings"] == ["score_drift"]
    Told.stuck = ["a: camera"]
    status, text = get(server, "/healthz")
    assert status == 503 and json.loads(text)["stuck"] == ["a: camera"]
    assert get(server, "/")[0] == 404


def test_a_port_that_is_taken_is_a_mistake_of_the_configuration(server: HealthServer) -> None:
    with pytest.raises(ConfigurationError, match="health.http_port"):
        HealthServer(server.port, lambda: ([], {}))
