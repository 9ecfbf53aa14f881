"""Parameters and operations of a network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def millions(module: nn.Module) -> float:
    """Parameters."""
    return sum(p.numel() for p in module.parameters()) / 1e6


def multiply_adds(model: nn.Module, size: int) -> dict[str, float]:
    """GMAC of the convolution layers for one image, by the model's direct children; the model is on `meta`."""
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    counts = {name: 0.0 for name, _ in model.named_children()}

    def counter(part: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(module, convolutions)
            at = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output  # where the kernel is laid once
            counts[part] += module.weight.numel() * at.shape[2] * at.shape[3] / 1e9

        return count

    hooks = [
        module.register_forward_hook(counter(part))
        for part, child in model.named_children()
        for module in child.modules()
        if isinstance(module, convolutions)
    ]
    model(torch.zeros(1, 3, size, size, device="meta"))
    for hook in hooks:
        hook.remove()
    return counts
