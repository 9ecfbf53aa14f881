"""The device that computes, and the precision in which it does."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.processor import features


@dataclass(frozen=True)
class Arithmetic:
    """A device, and whether networks multiply in bfloat16 there.

    Attributes:
        device: The device that computes.
        reduced: Whether `autocast` reduces products to bfloat16.
    """

    device: torch.device
    reduced: bool = False

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which networks run; the losses compute in float32 in any case."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced)


def open_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is the GPU if there is one.

    Raises:
        UsageError: This machine has no such device.
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
    """Return the device of that name and the precision; `auto` is bfloat16 if the hardware multiplies it.

    Raises:
        UsageError: This machine has no such device, or there is no such precision.
    """
    opened = open_device(device)
    if precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"--precision {precision}: there are auto, float32, bfloat16")
    if precision != "auto":
        return Arithmetic(opened, precision == "bfloat16")
    if opened.type == "cuda":
        return Arithmetic(opened, torch.cuda.is_bf16_supported(including_emulation=False))
    # Without hardware support, bfloat16 is several times slower than float32.
    return Arithmetic(opened, not features().isdisjoint({"amx_bf16", "avx512_bf16"}))
