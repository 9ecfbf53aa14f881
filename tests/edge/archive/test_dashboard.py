"""The dashboard's queries run in a real PostgreSQL and say what the parts say."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from archive_parts import NOON, Fed, opened, part, parts
from grafana import DASHBOARD, queries
from sqlalchemy import text

from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.fields import utc_now


def answers(postgresql: str, tmp_path: Path, part_id: str = "SN-7") -> dict[str, list[dict[str, Any]]]:
    """The answers of all queries, by the panel's title: 40 parts of which 4 are rejected, and one in shadow."""
    engine = opened(postgresql, tmp_path)
    fed = Fed(engine)
    made = parts(40)
    fed.give([*made, part(41, part_id=part_id, shadow=True, score=0.9), part(42, threshold=0.7)])
    label: Any = examples()["label"][0]
    fed.give([label.model_copy(update={"verdict": made[0], "word": "good", "at": utc_now()})])
    found = {}
    now = utc_now()
    with engine.connect() as connection:
        for query in queries(min(NOON, now) - timedelta(hours=1), max(NOON, now) + timedelta(hours=1), "1", part_id):
            rows = [dict(row) for row in connection.execute(text(query.sql.replace(":", "\\:"))).mappings()]
            found[query.title] = rows
            if query.form == "time_series":
                assert rows and list(rows[0])[:2] == ["time", "metric"], query.title
    engine.dispose()
    return found


def test_every_query_says_what_the_parts_say(postgresql: str, tmp_path: Path) -> None:
    found = answers(postgresql, tmp_path)
    numbers = {title: next(iter(rows[0].values())) for title, rows in found.items() if title.endswith("(stat)")}
    assert float(numbers.pop("Share of rejects (stat)")) == pytest.approx(4 / 42)
    assert numbers == {
        "Parts (stat)": 42,
        "Rejected (stat)": 4,
        "Unusual in shadow (stat)": 1,
        "Missing parts (stat)": 0,
        "Lost parts (stat)": 0,
    }
    assert sum(row["parts"] for row in found["Parts (timeseries)"]) == 42
    assert found["Why parts were rejected (barchart)"] == [{"outcome": "defect", "parts": 4}]
    assert [row["regions"] for row in found["Where in the frame (xychart)"]] == [4]
    assert found["What people said (barchart)"] == [{"word": "good, accepted", "parts": 1}]
    assert [row["sequence"] for row in found["Newest rejected parts (table)"]] == [40, 30, 20, 10]
    (change,) = found["Changes of bundle, threshold and recipe (table)"]
    assert (change["from_part"], change["before"], change["after"]) == (42, "0.5", "0.7")
    assert found["variable station"] == [{"__text": "plant/line1/a", "__value": 1}]


@pytest.mark.parametrize("part_id", ["SN-7", "O'Neill's; --"])
def test_a_part_is_found_by_its_id(postgresql: str, tmp_path: Path, part_id: str) -> None:
    (row,) = answers(postgresql, tmp_path, part_id)["Find a part (table)"]
    assert (row["sequence"], row["part_id"], row["bundle"]) == (41, part_id, "flange")


def test_the_panels_of_the_dashboard_are_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) > 10
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24 and not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["type"] == "grafana-postgresql-datasource"
        for target in panel["targets"]:
            assert target["rawQuery"] and target["format"] in ("table", "time_series")
