from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import pytest
from bridge_parts import KINDS
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import ModbusTcpClient

from edge_inspect.edge.bridge.registers import (
    ACKNOWLEDGED,
    BLOCK,
    CAUSES,
    CLASSES,
    FLAGS,
    NEWEST,
    PART_FIELDS,
    PART_FLAGS,
    RING,
    SLOT,
    SLOTS,
    STATES,
    STATION_FIELDS,
    WARNINGS,
    RegisterField,
    document,
    encode,
)
from edge_inspect.edge.contract.health import Cause, HealthWarning

PAGE = Path(__file__).parents[3] / "docs" / "bridge.md"


PLACES = [(STATION_FIELDS, [*range(NEWEST), *range(NEWEST + SLOT, SLOTS)]), (PART_FIELDS, [*range(SLOT)])]


@pytest.mark.parametrize(("fields", "room"), PLACES)
def test_fields_lie_apart_and_inside(fields: tuple[RegisterField, ...], room: list[int]) -> None:
    taken = [field.offset + i for field in fields for i in range(field.registers)]
    assert len(taken) == len(set(taken)) and set(taken) <= set(room)
    assert len({field.name for field in fields}) == len(fields)


def test_the_block_is_read_in_few_requests() -> None:
    assert NEWEST + SLOT <= 125 and NEWEST + SLOT <= SLOTS and SLOTS + RING * SLOT <= BLOCK
    assert next(field.offset for field in STATION_FIELDS if field.name == "acknowledged") == ACKNOWLEDGED
    assert sum(field.name.startswith("class_") for field in STATION_FIELDS) == CLASSES


VALUES = {
    "u16": st.integers(0, 0xFFFF),
    "u32": st.integers(0, 0xFFFFFFFF),
    "f32": st.floats(width=32, allow_nan=False, allow_infinity=False).filter(lambda value: abs(value) < 3e38),
    "text": st.text(st.characters(min_codepoint=32, codec="utf-8"), max_size=8),
}


@settings(deadline=None)
@given(st.fixed_dictionaries({field.name: VALUES[field.kind] for field in PART_FIELDS}), st.booleans())
def test_pymodbus_reads_what_was_written(values: dict[str, Any], low_first: bool) -> None:
    registers = encode(PART_FIELDS, values, SLOT, low_first=low_first)
    for field in PART_FIELDS:
        own = registers[field.offset : field.offset + field.registers]
        order: Any = "little" if low_first and field.kind != "text" else "big"
        kind = getattr(ModbusTcpClient.DATATYPE, KINDS[field.kind])
        assert ModbusTcpClient.convert_from_registers(own, kind, word_order=order) == values[field.name]


def test_counts_begin_anew_and_long_texts_are_cut_between_characters() -> None:
    values: dict[str, Any] = {field.name: "" if field.kind == "text" else 0 for field in PART_FIELDS}
    one = encode(PART_FIELDS, {**values, "number": 2**32 + 7, "part_id": "x" + "é" * 20}, SLOT, low_first=False)
    assert one[:2] == [0, 7]
    assert b"".join(word.to_bytes(2, "big") for word in one[16:]).rstrip(b"\0").decode() == "x" + "é" * 15
    assert all(math.isfinite(word) for word in encode(PART_FIELDS, {**values, "score": 1e300}, SLOT, low_first=True))


def test_the_page_has_the_map() -> None:
    page = PAGE.read_text()
    assert document() in page
    for at, (name, meaning) in enumerate(FLAGS.items()):
        assert f"| {at} | `{name}` | {meaning} |" in page
    for at, (name, meaning) in enumerate(WARNINGS.items()):
        assert f"| {at} | `{name}` | {meaning} |" in page
    assert ", ".join(f"{number} {cause}" for number, cause in enumerate(CAUSES)) in page
    for at, (name, meaning) in enumerate(PART_FLAGS.items()):
        assert f"| {at} | `{name}` | {meaning} |" in page
    assert ", ".join(f"{number} {state}" for number, state in enumerate(STATES)) in page


def test_the_warnings_and_causes_are_the_contracts() -> None:
    assert set(WARNINGS) == set(get_args(HealthWarning))
    assert ("none", *get_args(Cause)) == CAUSES
