from __future__ import annotations

from page_parts import jpeg, png

from edge_inspect.edge.page.pictures import LARGEST_BYTES, PictureMemory, is_picture


def test_what_was_used_last_is_forgotten_first() -> None:
    memory = PictureMemory(30)
    for name in "abc":
        memory.put((name,), bytes(10))
    assert memory.get(("a",)) == bytes(10)
    memory.put(("d",), bytes(10))
    assert [(name,) in memory for name in "abcd"] == [True, False, True, True]


def test_the_bound_is_in_bytes() -> None:
    memory = PictureMemory(30)
    memory.put(("a",), bytes(10))
    memory.put(("b",), bytes(25))
    assert ("a",) not in memory and ("b",) in memory
    memory.put(("b",), bytes(5))
    memory.put(("c",), bytes(25))
    assert ("b",) in memory and ("c",) in memory
    memory.put(("d",), bytes(31))
    assert [(name,) in memory for name in "bcd"] == [False, False, False]


def test_a_picture_is_known_by_its_first_bytes_and_its_size() -> None:
    assert is_picture("picture", jpeg()) and is_picture("map", png())
    assert not is_picture("picture", png()) and not is_picture("map", jpeg())
    assert not is_picture("picture", b"<svg onload=alert(1)>") and not is_picture("map", b"")
    assert not is_picture("map", png() + bytes(LARGEST_BYTES["map"]))
