from __future__ import annotations

from pathlib import Path

import pytest
from kernels.host import Host, build, compiler


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels, built for the host once a session."""
    if compiler() is None:
        pytest.skip("NO C++ COMPILER: the GPU kernels' arithmetic is NOT checked; apt install g++")
    return build(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(params=[0, 1, 2])
def host(library: Path, request: pytest.FixtureRequest) -> Host:
    """The kernels in the plain order of blocks and threads, and in two random ones."""
    return Host(library, request.param)
