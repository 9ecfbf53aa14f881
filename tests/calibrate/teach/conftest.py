"""Bundles to teach, made once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import taught_parts

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.frame.areas import Areas
from edge_inspect.edge.frame.fit import Fit

AREAS: dict[str, Any] = {
    "size": [taught_parts.WIDTH, taught_parts.HEIGHT],
    "look": [{"name": "disc", "rings": [[[10, 10], [85, 10], [85, 85], [10, 85]]], "scale": 1.5}],
}
KINDS: dict[str, dict[str, Any]] = {
    "memory": {},
    "usual": {"usual": True},
    "student": {"system": "rd"},
    "tiles": {"fit": Fit(64, 64, mode="tile", tiles=(2, 1), overlap=16)},
    "pad": {"fit": Fit(64, 64, mode="pad")},
    "areas": {"fit": Fit(64, 64, areas=Areas.from_dict(AREAS))},
}


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Gives the bundle of a kind; each is written once a session."""
    made: dict[str, Bundle] = {}

    def give(kind: str) -> Bundle:
        if kind not in made:
            made[kind] = taught_parts.write(tmp_path_factory.mktemp(kind) / f"{kind}-1", **KINDS[kind])
        return made[kind]

    return give


@pytest.fixture(scope="session")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled parts of the new lot: 12 good ones and 4 defects."""
    good = [taught_parts.part(seed, "new") for seed in range(300, 312)]
    defects = [taught_parts.part(seed, "new", True) for seed in range(300, 304)]
    return taught_parts.label(tmp_path_factory.mktemp("labels"), good, defects)
