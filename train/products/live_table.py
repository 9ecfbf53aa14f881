"""The table of all products in the terminal; where the output is no terminal, a line for each change."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from edge_inspect.edge.fleet.row_table import columns
from edge_inspect.edge.program import say
from edge_inspect.train.products.product_row import NOTHING, TITLES, ProductRow

_CLEAR_LINE, _UP = "\x1b[K", "\x1b[{}A"


class LiveTable:
    """Shows the products on standard error: a table that is drawn over itself, or lines."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._drawn = 0
        self._states: dict[str, str] = {}

    def show(self, rows: Sequence[ProductRow]) -> None:
        """Show the present rows."""
        if not self._live:
            for row in rows:
                if self._states.get(row.name) != row.state:
                    self._states[row.name] = row.state
                    say(line_of(row))
            return
        size = shutil.get_terminal_size()
        lines = [line[: size.columns - 1] for line in table_of(rows)]
        if len(lines) > size.lines - 1:  # what is above the screen cannot be drawn over
            lines = [*lines[: size.lines - 2], f"... and {len(lines) - size.lines + 2} more; products.html has all"]
        up = _UP.format(self._drawn) if self._drawn else ""
        print(up + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines), end="", file=sys.stderr, flush=True)
        self._drawn = len(lines)


def table_of(rows: Sequence[ProductRow]) -> list[str]:
    """Return the table as lines of equal columns."""
    return columns([TITLES, *(row.cells for row in rows)])


def line_of(row: ProductRow) -> str:
    """Return a row as a sentence: `bottle: done, image AUROC 0.9990, bundle bundles/bottle-12345678.zip`."""
    told = [f"{title} {cell}" for title, cell in zip(TITLES[2:], row.cells[2:], strict=True) if cell != NOTHING]
    return f"{row.name}: {', '.join([row.state, *told])}" + (f" ({row.note})" if row.note else "")
