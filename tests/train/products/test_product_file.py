from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.train.products.product_file import ProductSettings, read_products

WHOLE: dict[str, Any] = {
    "out": "results",
    "defaults": {
        "data": "DATA",
        "fit": {"model": "memory", "steps": 10},
        "sign": {"key": "key.pem"},
        "resources": {"num_cpus": 2, "memory": "4 GB"},
    },
    "products": {
        "bottle": {"category": "bottle"},
        "can": {
            "data": "s3://plant/can",
            "fit": {"steps": 20},
            "resources": {"num_gpus": 0.25},
            "out": "s3://elsewhere",
        },
        "lid": None,
    },
}


def read(folder: Path, whole: Any) -> dict[str, ProductSettings]:
    file = folder / "products.yaml"
    file.write_text(yaml.safe_dump(whole))
    return read_products(file)


def mistakes(folder: Path, whole: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        read(folder, whole)
    assert str(folder / "products.yaml") in str(refused.value)
    return str(refused.value)


def test_a_product_has_the_defaults_and_in_sections_key_by_key(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert [*found] == ["bottle", "can", "lid"]
    bottle, can, lid = found.values()
    assert (bottle.data, bottle.category, bottle.out) == ("DATA", "bottle", str(Path("results").absolute()))
    assert bottle.fit == lid.fit == {"model": "memory", "steps": 10}
    assert (can.data, can.fit, can.out) == ("s3://plant/can", {"model": "memory", "steps": 20}, "s3://elsewhere")
    assert can.resources.model_dump() == {"num_cpus": 2, "num_gpus": 0.25, "memory": 4_000_000_000}
    assert str(can.sign.key if can.sign else None) == "key.pem"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"products": {}}, "products: "),
        ({"products": {"a/b": {}}}, "'a/b' is no name for a product"),
        ({"products": {"bundles": {}}}, "none of bundles, proposed"),
        ({"products": {"a": {"categori": "x"}}}, "products.a.categori: unknown key; the keys are data, category"),
        ({"products": {"a": {"category": "all"}}}, "names several; give each product its own entry"),
        ({"products": {"a": {"category": "x,y"}}}, "names several"),
        (
            {"products": {"a": {"resources": {"num_gpus": 1.5}}}},
            "products.a.resources.num_gpus: must be a whole number",
        ),
        ({"products": {"a": {"resources": {"num_cpus": 0}}}}, "products.a.resources.num_cpus"),
        ({"products": {"a": {"resources": {"memory": "much"}}}}, "'much' is no amount of memory; write bytes"),
        ({"products": {"a": {"fit": {"steps": {"many": 1}}}}}, "products.a.fit.steps"),
        ({"products": {"a": {"sign": {}}}, "defaults": {"data": "D"}}, "products.a.sign.key: is missing"),
        ({"products": {"a": {"teach": {"bundle": "b"}}}}, "products.a.teach.labels: is missing"),
        ({"defaults": {"fit": []}}, "defaults.fit"),
        ({"defaults": {"datas": "D"}}, "defaults.datas"),
        ({"out": None}, "products.bottle.out: is missing; give out at the top of the file"),
        ({"defaults": {}}, "products.bottle.data: is missing"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    assert told in mistakes(tmp_path, {**WHOLE, **change})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", "4 GB", "all"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["data", "fit", "teach", "sign", "resources", "a", "category"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["out", "defaults", "products", "more"]), VALUES, max_size=4))
def test_any_file_is_read_or_refused_with_its_name(tmp_path: Path, whole: dict[str, Any]) -> None:
    try:
        found = read(tmp_path, whole)
    except ConfigurationError as refused:
        assert "products.yaml" in str(refused)
        return
    assert all(product.out is not None for product in found.values())
