from __future__ import annotations

from typing import Any

from opcua_parts import part

from edge_inspect.edge.opcua.result_values import content

REGION = {"bbox": [1, 2, 3, 4], "area_px": 100, "peak": 0.8}


def facts(**fields: Any) -> list[tuple[str, Any]]:
    made = part(1, ok=False, **fields)
    return [(each.Value.Key.Name, each.Value.Value.Value) for each in content(made)]


def test_regions_of_several_views_name_their_view() -> None:
    found = facts(regions=[REGION | {"view": "top"}, REGION, REGION | {"view": "side"}])
    assert [value for key, value in found if key == "region"] == [[1, 2, 3, 4, 100, 0.8]] * 3
    assert dict(found)["region_views"] == ["top", "", "side"]


def test_regions_of_one_station_have_no_view() -> None:
    assert "region_views" not in dict(facts(regions=[REGION]))
