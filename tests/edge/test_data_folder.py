"""The folder `data` of a program: created, used by one process, and named with its key where it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_inspect.edge.data_folder import held
from edge_inspect.edge.errors import ConfigurationError


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    with held(folder):
        wrong = f"^data: {folder}: process {os.getpid()} uses it; stop that process"
        with pytest.raises(ConfigurationError, match=wrong), held(folder):
            pass
    with held(folder):
        assert folder.is_dir()


@pytest.mark.parametrize("folder", ["/proc/data2", "/dev/null/data"])
def test_a_folder_that_cannot_be_created_is_named_with_its_key(folder: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^data: {folder} cannot be created or written: "), held(Path(folder)):
        pass
