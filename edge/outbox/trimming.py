"""Which entries of the file have to go: what waited too long, what is above the bound, and the history's oldest."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from edge_inspect.edge.outbox import KINDS, Kind, WhenFull

Row = tuple[int, Kind, int]
"""Id, kind and size of an entry."""


class Trim(NamedTuple):
    """What has to go of what waits.

    Attributes:
        old: It waited too long.
        surplus: It is above the bound.
    """

    old: list[Row]
    surplus: list[Row]


def choose(database: sqlite3.Connection, too_old: float, excess: int, when_full: WhenFull) -> Trim:
    """Return what has to go of what waits: what is too old, then what is too much, verdicts before defects.

    Args:
        database: Of the outbox.
        too_old: What was created before goes, by the outbox's own clock.
        excess: How many bytes wait above the bound; may be negative.
        when_full: Which verdicts go first, and when there are none, which defects.
    """
    query = "SELECT id, created, size FROM entries WHERE sent = 0 AND kind = ? ORDER BY id"
    old: dict[int, Row] = {}
    surplus: list[Row] = []
    for kind in KINDS:
        for number, created, size in database.execute(query, (kind,)):
            if created >= too_old:
                break
            old[number] = (number, kind, size)
            excess -= size
    for kind in KINDS:
        if excess <= 0:
            break
        order = "" if when_full == "drop_oldest" else " DESC"
        for number, _, size in database.execute(query + order, (kind,)):
            if excess <= 0:
                break
            if number not in old:
                surplus.append((number, kind, size))
                excess -= size
    return Trim(list(old.values()), surplus)


def choose_history(database: sqlite3.Connection, excess: int, at_least: int) -> tuple[list[int], int]:
    """Return the ids of the oldest acknowledged entries and their bytes, which are `excess` and `at_least`, or more."""
    query = "SELECT id, size FROM entries INDEXED BY entries_sent WHERE sent = 1 ORDER BY id"
    chosen, freed = [], 0
    for number, size in database.execute(query):
        if freed >= excess and freed >= at_least:
            break
        freed += size
        chosen.append(number)
    return chosen, freed
