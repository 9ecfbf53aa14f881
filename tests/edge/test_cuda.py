from __future__ import annotations

import sys

import pytest

from edge_inspect.edge.cuda import Cuda, Gpu, explain
from edge_inspect.edge.errors import EngineError


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("cuMemAlloc failed: out of memory", "end them, or choose engine"),
        ("cuInit failed: no CUDA-capable device is detected", "no NVIDIA GPU is visible"),
        ("cuInit failed: system has unsupported display driver / cuda driver combination", "reboot after an update"),
        ("cuStreamSynchronize failed: unspecified launch failure", "restart the service"),
        ("cuStreamSynchronize failed: an illegal memory access was encountered", "restart the service"),
        ("cuStreamSynchronize failed: uncorrectable ECC error encountered", "replace the GPU"),
        ("cuModuleLoad failed: named symbol not found", "edge-inspect doctor"),
    ],
)
def test_what_the_driver_says_comes_with_a_remedy(said: str, remedy: str) -> None:
    assert said in explain(said) and remedy in explain(said)


def test_without_pycuda_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(EngineError, match="pycuda is not installed.*needs nvcc"):
        Cuda()


def test_a_gpu_is_told_in_a_line() -> None:
    assert str(Gpu("Orin", (8, 7), "12.6", 7620)) == "Orin, compute capability 8.7, 7620 MB, driver for CUDA 12.6"
