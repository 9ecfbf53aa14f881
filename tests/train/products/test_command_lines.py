from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from program_parsers import arguments_of

from edge_inspect.calibrate.bundle_options import add_bundle
from edge_inspect.calibrate.signing import make_keys
from edge_inspect.train.fit_options import add_options
from edge_inspect.train.products.command_lines import FILES, RaisingParser, check_products, files_of, words_of
from edge_inspect.train.products.product_file import ProductSettings


def product(**keys: Any) -> ProductSettings:
    return ProductSettings.model_validate({"data": "DATA", "out": "results", **keys})


@settings(deadline=None)
@given(st.text(min_size=1), st.integers(), st.booleans(), st.lists(st.text(), max_size=3))
def test_words_give_a_parser_the_same_values(text: str, number: int, switch: bool, several: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--text")
    parser.add_argument("--whole-number", type=int)
    parser.add_argument("--switch", action="store_true")
    parser.add_argument("--each", action="append", default=[])
    parser.add_argument("--never")
    options = {"text": text, "whole_number": number, "switch": switch, "each": several, "never": None}
    found = parser.parse_args(words_of(options))
    assert vars(found) == options


def test_the_options_that_name_files_are_known() -> None:
    named = set()
    for add in (add_options, add_bundle):
        add(parser := RaisingParser())
        named |= {
            action.option_strings[0][2:]
            for action in arguments_of(parser)
            if action.type is Path and action.option_strings
        }
    assert named - {"data", "out"} == set(FILES) - {"group"}  # which may name a table
    options = {
        "look": "a.yaml",
        "teacher_weights": "s3://b",
        "model": "memory",
        "group": "table:t.csv:lot",
        "good": None,
    }
    assert files_of(options) == ["t.csv", "a.yaml", "s3://b"]
    assert files_of({"group": "name:(.*)-"}) == []


def test_every_mistake_of_every_product_is_found_before_anything_starts(tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys")
    wrong = {
        "good": product(fit={"model": "rd", "steps": 5}, bundle={"seed": 3}, sign={"key": str(keys.private)}),
        "unknown": product(fit={"stepz": 5}),
        "value": product(fit={"steps": "many"}),
        "range": product(fit={"batch": 1}),
        "foreign": product(fit={"model": "memory", "student-width": "half"}),
        "tiles": product(fit={"tiles": "3x1"}),
        "align": product(fit={"align-turn": 3}),
        "augment": product(fit={"augment": "fog=3"}),
        "memory": product(fit={"memory": "off", "model": "memory"}),
        "set": product(fit={"data": "other"}, bundle={"out": "b"}),
        "rate": product(bundle={"false-reject-rate": "1%"}),
        "beyond": product(bundle={"false_reject_rate": 2}),
        "budget": product(bundle={"budget-rank": 3}),
        "key": product(sign={"key": str(keys.public)}),
        "nokey": product(sign={"key": str(tmp_path / "none.pem")}),
        "teach": product(teach={"bundle": "B", "labels": "L", "since": "yesterday"}),
        "what": product(teach={"bundle": "B", "labels": "L", "options": {"what": "student"}}),
    }
    told = "\n".join(check_products(wrong))
    assert "products.good" not in told
    for words in (
        "products.unknown.fit: unrecognized arguments: --stepz=5",
        "products.value.fit: argument --steps: invalid int value: 'many'",
        "products.range.fit: --steps must be at least 1, and --batch at least 2",
        "products.foreign.fit: --student-width half: --model memory has no such option",
        "products.tiles.fit: --tiles and --overlap belong to --fit tile",
        "products.align.fit: --align-turn belongs to --align shift or rigid",
        "products.augment.fit: ",
        "products.memory.fit: --memory off",
        "products.set.fit.data: is set by the product's own keys; remove it",
        "products.set.bundle.out: is set",
        "products.rate.bundle: argument --false-reject-rate: '1%' is neither auto nor a share",
        "products.beyond.bundle: --false-reject-rate 2.0 must lie between 0 and 1",
        "products.budget.bundle: --budget-rank",
        "products.key.sign: ",
        "products.nokey.sign: ",
        "products.teach.teach: argument --since: 'yesterday' is neither a time",
        "products.what.teach: argument --what: invalid choice: 'student'",
    ):
        assert words in told
