from __future__ import annotations

import re

import pytest

from edge_inspect.train.products.board import Standing
from edge_inspect.train.products.cluster import Outcome
from edge_inspect.train.products.live_table import LiveTable, table_of
from edge_inspect.train.products.product_row import ProductRow, row_of
from edge_inspect.train.products.products_page import render
from edge_inspect.train.products.record import Made

MADE = Made(
    digest="0" * 64,
    state="done",
    image_auroc=0.99,
    synthetic=True,
    defects=(3, 4),
    false_rejects=(1, 20),
    bundle="bundles/a-00000000.zip",
)


def rows() -> list[ProductRow]:
    return [
        row_of("a", Standing("sign"), Outcome(MADE)),
        row_of("b<b>", Standing("fit", 75.0, "box\x1b[31m"), None),
        row_of("c", None, None),
        row_of("d", None, Outcome(None, "fit ended with status 2 & more", ("last line",))),
    ]


def test_the_page_shows_every_product_and_asks_for_nothing() -> None:
    page = render(rows(), "products.yaml", running=True)
    assert 'http-equiv="refresh"' in page
    assert 'http-equiv="refresh"' not in render(rows(), "products.yaml", running=False)
    assert "<title>1 of 4 products finished</title>" in page
    for text in ("0.9900 (synthetic)", "3 of 4", "1 of 20", "bundles/a-00000000.zip", "1 min 15 s", "b&lt;b&gt;"):
        assert text in page
    assert "status 2 &amp; more" in page
    assert not re.search(r'(src|href)="', page)
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "\x1b" not in page


def test_the_table_has_equal_columns() -> None:
    lines = table_of(rows())
    assert len(lines) == 5
    assert (
        len({line.index(word) for line, word in zip(lines[1:], ("done", "fit", "waiting", "failed"), strict=True)}) == 1
    )


def test_without_a_terminal_each_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    table = LiveTable()
    table.show(rows())
    table.show(rows())
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    assert said[0] == (
        "a: done, image AUROC 0.9900 (synthetic), recall 3 of 4, false rejects 1 of 20, bundle bundles/a-00000000.zip"
    )
    assert said[3] == "d: failed (fit ended with status 2 & more)"
