"""The page `products.html` beside the results: every product with its state and its figures.

The page is one file that needs no others: nothing is fetched, there is no script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from edge_inspect.edge import __version__
from edge_inspect.train.journal import REFRESH
from edge_inspect.train.pages import fill, now, show_facts, show_tiles
from edge_inspect.train.products.product_row import TITLES, ProductRow

PAGE = "products.html"
_ENDED = ("done", "proposed", "kept", "failed")


def render(rows: Sequence[ProductRow], file: str, *, running: bool) -> str:
    """Return the page, HTML.

    Args:
        rows: The products.
        file: The file of `edge-train products`.
        running: Whether the command runs; the page then reloads itself.
    """
    states = Counter(row.state if row.state in (*_ENDED, "waiting") else "running" for row in rows)
    tiles = [(str(states[state]), state) for state in ("running", "waiting", *_ENDED) if states[state]]
    title = f"{states['done'] + states['proposed'] + states['kept']} of {len(rows)} products finished"
    standing = (
        "The command is running, and rewrites this page as it goes. If the time above stands still, it was "
        "interrupted; the same command continues."
        if running
        else "The command has ended."
    )
    return fill(
        "products.html",
        package=__package__,
        head=f"{REFRESH if running else ''}<title>{escape(title)}</title>",
        title=escape(title),
        facts=show_facts({"products": file, "written": now()}),
        tiles=show_tiles(tiles),
        standing=standing,
        titles="".join(f"<th>{escape(each)}</th>" for each in (*TITLES, "remark")),
        rows="\n".join(_row(row) for row in rows),
        footer=f"Written by edge-train products, edge-inspect {escape(__version__)}.",
    )


def _row(row: ProductRow) -> str:
    name, *cells = (escape(each) for each in (*row.cells, row.note))
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{each}</td>" for each in cells)}</tr>'
