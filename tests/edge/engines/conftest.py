"""Bundles one of whose precisions is slower than the other on any processor."""

from __future__ import annotations

import pytest
import tiny_bundle

from edge_inspect.edge.bundle.bundle import Bundle


@pytest.fixture(scope="session")
def slow_int8(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that prefers INT8, whose INT8 is slower than its FP32 on any processor."""
    return tiny_bundle.write(tmp_path_factory.mktemp("slow") / "int8", slow="int8")


@pytest.fixture(scope="session")
def slow_fp32(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("slow") / "fp32", slow="fp32")
