from __future__ import annotations

from pathlib import Path

import pytest
from kernels.host import Runner, build, compiler, runner


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--card", action="store_true", help="run the kernels on the first GPU: tests/kernels/card.py")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The kernels, built for the host once a session, or for the GPU."""
    folder = tmp_path_factory.mktemp("kernels")
    if pytestconfig.getoption("--card", False):
        from kernels.card import build_for_card

        return build_for_card(folder)
    if compiler() is None:
        pytest.skip("NO C++ COMPILER: the GPU kernels' arithmetic is NOT checked; apt install g++")
    return build(folder)


@pytest.fixture(params=[0, 1, 2])
def host(library: Path, request: pytest.FixtureRequest) -> Runner:
    """Run the kernels with blocks and threads in plain order and in two random orders. A GPU chooses its own order."""
    return runner(library, request.param)
