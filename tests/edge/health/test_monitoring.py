"""The alert rules and the dashboard that ship: promtool takes the rules, and every metric they ask for is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from promtool import promtool

from edge_inspect.edge.archive.metrics import ArchiveFigures
from edge_inspect.edge.archive.metrics import families as archive_families
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.health.exposition import as_text, expose
from edge_inspect.edge.health.histogram import Histogram
from edge_inspect.edge.health.report import StationReport

DOCS = Path(__file__).parents[3] / "docs"
RULES, DASHBOARD, TEXT = (
    DOCS / "monitoring" / "alerts.yml",
    DOCS / "monitoring" / "dashboard.json",
    DOCS / "monitoring.md",
)
RULE_TESTS = Path(__file__).parent / "alerts_test.yml"
# promtool's answer to a rule that it cannot read, or that fails its test.
WRONG = "groups: [{name: a, rules: [{alert: b, expr: 'rate('}]}]"


def exposed() -> dict[str, set[str]]:
    """Every sample's name that /metrics can have, with its labels."""
    health = examples()["health"][0]
    assert isinstance(health, Health)
    report = StationReport(Topics("p", "l", "a"), "online", None, Histogram().buckets(), health)
    parts = {"p/l/a": 1}
    archive = as_text(
        archive_families(ArchiveFigures(True, True, None, 0, {"verdicts": 1}, 0, 0, 1.0, (0, 0), parts, parts))
    )
    families = text_string_to_metric_families(expose([report]) + archive)
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def check_expression(expression: str) -> None:
    """A metric that is not there, or a label that it has not got, would show nothing and raise nothing."""
    metrics = exposed()
    asked = re.findall(r"(edge_inspect_\w+)(?:\{([^}]*)\})?", expression)
    assert asked, expression
    for name, selector in asked:
        assert name in metrics, f"{name} in {expression}"
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert labels <= metrics[name], f"{labels - metrics[name]} of {name} in {expression}"


def test_promtool_takes_the_rules_and_what_they_raise() -> None:
    for checked in (promtool("check", "rules", str(RULES)), promtool("test", "rules", str(RULE_TESTS))):
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_promtool_would_refuse_others(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(WRONG)
    assert promtool("check", "rules", str(tmp_path / "rules.yml")).returncode != 0
    changed = RULE_TESTS.read_text().replace("../../../docs/monitoring/alerts.yml", str(RULES))
    (tmp_path / "tests.yml").write_text(changed.replace("'0x60'", "'1x60'", 3))
    assert promtool("test", "rules", str(tmp_path / "tests.yml")).returncode != 0


def test_every_rule_is_tested_and_asks_for_what_is_there() -> None:
    tested = {test["name"] for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]}
    assert {rule["alert"] for rule in rules()} <= tested
    for rule in rules():
        assert rule["annotations"].keys() == {"summary", "description"} and rule["labels"]["severity"]
        if not rule["expr"].startswith("up{"):
            check_expression(rule["expr"])


def test_the_dashboard_asks_for_what_is_there() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids)) > 10
    for panel in panels():
        for target in panel["targets"]:
            check_expression(target["expr"].replace("$__rate_interval", "1m"))
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            check_expression(variable["definition"])


def test_promtool_takes_the_dashboards_queries(tmp_path: Path) -> None:
    queries = [target["expr"].replace("$__rate_interval", "1m") for panel in panels() for target in panel["targets"]]
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    checked = promtool("check", "rules", str(tmp_path / "queries.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_document_names_every_metric() -> None:
    text = TEXT.read_text()
    for name in exposed():
        family = re.sub(r"(?<=latency_seconds)_(bucket|sum|count)$", "", name).removeprefix("edge_inspect_")
        assert re.search(rf"`{family}(\{{[\w,]+\}})?`", text), f"{family} is not in {TEXT.name}"
