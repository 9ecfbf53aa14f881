"""The queries of a Grafana dashboard for PostgreSQL, with its macros and variables filled in as Grafana does."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

DASHBOARD = Path(__file__).parents[1] / "docs" / "monitoring" / "archive-dashboard.json"


class Query(NamedTuple):
    """A query with the title of its panel, and how Grafana reads the answer: table or time_series."""

    title: str
    sql: str
    form: str


def queries(since: datetime, until: datetime, stations: str, part: str, interval_s: int = 300) -> list[Query]:
    """All queries of the dashboard for a time, stations (`1,2`) and a part id."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = []
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            sql = re.sub(
                r"\$__timeFilter\(([\w.]+)\)",
                rf"\1 BETWEEN '{since.isoformat()}' AND '{until.isoformat()}'",
                target["rawSql"],
            )
            sql = sql.replace("$__interval", f"{interval_s // 60}m")
            quoted = part.replace("'", "''")
            sql = sql.replace("${part:sqlstring}", f"'{quoted}'").replace("$station", stations)
            found.append(Query(f"{panel['title']} ({panel['type']})", sql, target["format"]))
    found += [
        Query(f"variable {variable['name']}", variable["query"], "table")
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    ]
    assert not [query for query in found if "$" in query.sql], "a macro or a variable that is not filled in"
    return found
