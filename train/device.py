"""Where the arithmetic happens, and in which precision."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.processor import features


@dataclass(frozen=True)
class Arithmetic:
    """A device, and whether it multiplies in bfloat16 where that is safe.

    Attributes:
        device: Where.
        reduced: Whether `autocast` reduces to bfloat16.
    """

    device: torch.device
    reduced: bool = False

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which networks run; losses compute in float32 all the same."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced)


def open_device(name: str) -> torch.device:
    """Return the device to compute on; `auto` is the GPU where there is one.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return device


def open_arithmetic(device: str, precision: str) -> Arithmetic:
    """Return the device by name, and the precision: `auto` is bfloat16 where the hardware multiplies it.

    Raises:
        UsageError: There is no such device here, or no such precision.
    """
    opened = open_device(device)
    if precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"--precision {precision}: there are auto, float32, bfloat16")
    if precision != "auto":
        return Arithmetic(opened, precision == "bfloat16")
    if opened.type == "cuda":
        return Arithmetic(opened, torch.cuda.is_bf16_supported(including_emulation=False))
    # Emulated, it is several times slower than float32.
    return Arithmetic(opened, not features().isdisjoint({"amx_bf16", "avx512_bf16"}))
