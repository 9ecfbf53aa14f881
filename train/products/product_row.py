"""One product in the table of the terminal and of the page."""

from __future__ import annotations

from typing import NamedTuple

from edge_inspect.edge.text import clean
from edge_inspect.train.journal import duration
from edge_inspect.train.products.board import Standing
from edge_inspect.train.products.cluster import Outcome
from edge_inspect.train.products.record import Made

TITLES = ("product", "state", "time left", "image AUROC", "recall", "false rejects", "bundle")
NOTHING = "–"


class ProductRow(NamedTuple):
    """A product's row.

    Attributes:
        name: Name of the product.
        state: `waiting`, the present step, `done`, `proposed`, `kept` or `failed`.
        left: Time that the present step says is left.
        auroc: Image AUROC; with the word synthetic if it is measured on synthetic flaws.
        recall: How many defective test parts the bundle rejects at its threshold.
        false_rejects: How many good test parts it rejects.
        bundle: File of the bundle.
        note: What else there is to say.
    """

    name: str
    state: str
    left: str = NOTHING
    auroc: str = NOTHING
    recall: str = NOTHING
    false_rejects: str = NOTHING
    bundle: str = NOTHING
    note: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells below `TITLES`."""
        return self[: len(TITLES)]


def row_of(name: str, standing: Standing | None, outcome: Outcome | None) -> ProductRow:
    """Return the row of a product.

    Args:
        name: Name of the product.
        standing: How far its task is; `None` if it has not begun.
        outcome: How its task ended; `None` if it has not.
    """
    if outcome is not None and outcome.made is None:
        return ProductRow(name, "failed", note=clean(outcome.mistake))
    if outcome is not None and outcome.made is not None:
        return _made(name, outcome.made)
    if standing is None:
        return ProductRow(name, "waiting")
    left = NOTHING if standing.left is None else duration(standing.left)
    return ProductRow(name, standing.state, left, note=f"on {clean(standing.host)}")


def _made(name: str, made: Made) -> ProductRow:
    auroc = NOTHING if made.image_auroc is None else f"{made.image_auroc:.4f}"
    return ProductRow(
        name,
        made.state,
        auroc=f"{auroc} (synthetic)" if made.synthetic else auroc,
        recall=_share(made.defects),
        false_rejects=_share(made.false_rejects),
        bundle=made.bundle or NOTHING,
        note=made.note,
    )


def _share(counts: tuple[int, int] | None) -> str:
    return NOTHING if counts is None else f"{counts[0]} of {counts[1]}"
