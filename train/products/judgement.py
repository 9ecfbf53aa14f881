"""Judges a product's test pictures with its bundle, as a station would: in the precision and at the threshold it ships.

python -m edge_inspect.train.products.judgement BUNDLE DATA CATEGORY FILE
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge_inspect.edge.inspection import inspect_files
from edge_inspect.edge.program import write_json
from edge_inspect.edge.text import clean
from edge_inspect.train.datasets import Category, NoDefects


def judge(bundle: Path, data: Path, category: str) -> dict[str, list[int]]:
    """Return how many of the defective and of the good test parts the bundle rejects, and how many there are.

    Returns:
        `defects` and `false_rejects`: each the number of rejected parts, and of all. Empty if there are no defects.

    Raises:
        DataSetError: The pictures are missing.
        EngineError: No engine reproduces the golden frames here.
    """
    try:
        images = Category.open(data, category).test_images()
    except NoDefects:
        return {}
    good = {clean(image.path): image.good for image in images}
    judged = list(inspect_files(bundle, [image.path for image in images], None, None))
    counts = {}
    for name, wanted in (("defects", False), ("false_rejects", True)):
        rejected = [not each["ok"] for each in judged if "ok" in each and good[each["path"]] is wanted]
        counts[name] = [sum(rejected), len(rejected)]
    return counts


def main(words: Sequence[str]) -> int:
    """Write the counts to FILE as JSON; return the exit status."""
    bundle, data, category, file = words
    write_json(judge(Path(bundle), Path(data), category), Path(file))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
