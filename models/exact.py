from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor


def exact(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which products are computed in the type of their factors, even under autocast.

    Args:
        tensor: One of the factors; autocast is switched off on its device.
    """
    device = tensor.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)
