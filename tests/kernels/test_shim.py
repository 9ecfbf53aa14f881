"""The shim reports faults that a GPU would not report, and its half-precision numbers equal numpy's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kernels.host import Host, KernelFault

from edge_inspect.edge.kernels.launch import Launch, structure

FAULT = structure([("from", "u8"), ("to", "u8"), ("which", "i4")])
FAULTS = {
    2: "waits for threads that have left",
    3: "waits for threads that wait elsewhere",
    4: "waits for lanes that do not come",
    5: "reads one that does not take part",
    6: "misaligned",
    8: "more was written than it asked for",
}


def run(library: Path, which: int, seed: int = 0) -> np.ndarray:
    source, result = np.arange(68, dtype=np.float32), np.full(64, -1, np.float32)
    parameters = np.zeros(1, FAULT)
    parameters[0] = (source.ctypes.data, result.ctypes.data, which)
    Host(library, seed).run(Launch("fault", (1, 1, 1), (64, 1, 1), parameters))
    return result


@pytest.mark.parametrize("seed", range(4))
def test_a_kernel_without_a_fault_runs(library: Path, seed: int) -> None:
    assert run(library, 0, seed).tolist() == list(range(63, -1, -1))


def test_a_missing_barrier_shows_as_another_result(library: Path) -> None:
    found = [run(library, 1, seed) for seed in range(4)]
    assert all(np.isnan(values).any() for values in found), "memory that nobody wrote must be poisoned"
    assert not np.array_equal(found[0], found[1], equal_nan=True)


@pytest.mark.parametrize("which", FAULTS)
def test_a_fault_is_named_with_its_place(library: Path, which: int) -> None:
    with pytest.raises(KernelFault, match=FAULTS[which]) as caught:
        run(library, which)
    assert which == 8 or "faults.cu:" in str(caught.value)


def test_the_argument_must_have_the_kernels_size(library: Path) -> None:
    with pytest.raises(KernelFault, match="of another size"):
        Host(library).run(Launch("head", (1, 1, 1), (128, 1, 1), np.zeros(1, FAULT)))


def test_halves_are_numpys(library: Path) -> None:
    """All 65,536 of them, through `arrange`."""
    from edge_inspect.edge.kernels.discrepancy import arrange

    halves = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(256, 256)
    floats = np.zeros((256, 256), np.float32)
    Host(library).run(arrange(halves.ctypes.data, floats.ctypes.data, (256, 256), 1, kind="float16", columns=1))
    np.testing.assert_array_equal(floats, halves.astype(np.float32))
