"""What the pyramid's layers compute under autocast."""

from __future__ import annotations

import torch

from edge_inspect.models.pyramid import ReceptiveFields


def test_gradients_in_bfloat16_are_those_of_float32() -> None:
    """Several times: a gradient that torch has not written is wrong only where the memory was used before."""
    torch.manual_seed(0)
    fields = ReceptiveFields(64).train().to(memory_format=torch.channels_last)
    weights = [field[0].weight for field in fields.fields]
    for _ in range(12):
        x = torch.randn(8, 64, 64, 64).relu().contiguous(memory_format=torch.channels_last)
        g = torch.randn_like(x)
        wanted = torch.autograd.grad(fields(x), weights, g)
        with torch.autocast("cpu", torch.bfloat16):
            y = fields(x)
        for got, exact in zip(torch.autograd.grad(y, weights, g.to(y.dtype)), wanted, strict=True):
            assert float((got - exact).norm()) < 0.1 * float(exact.norm())
