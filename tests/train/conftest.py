"""Fixtures of several tests of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.train import training
from edge_inspect.train.cli import main


@pytest.fixture
def asked(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fit | None]:
    """Runs `fit` with some options up to the training itself; returns the fit it would train with, if any."""

    def ask(*options: str) -> Fit | None:
        found: list[Fit] = []

        def stop(settings: training.TrainingSettings) -> None:
            found.append(settings.fit)
            raise UsageError("far enough")

        monkeypatch.setattr(training, "fit", stop)
        where = ["--data", str(data), "--category", CATEGORY, "--out", str(tmp_path / "run")]
        assert main(["fit", *where, *options]) == 2
        return found[0] if found else None

    return ask
