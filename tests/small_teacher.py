"""A small teacher for tests: ResNet-10 at a quarter of its width, with random weights.

It has what many tests look at: residual blocks in layer1 to layer3, and features after a ReLU. timm knows it in
processes that import this module; a program that a test starts does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from timm.models import register_model

from edge_inspect.models.teacher import Teacher

CHANNELS = (16, 32, 64)


@register_model
def quarter_resnet10(**options: Any) -> torch.nn.Module:
    """The network; its residual branches do not begin as zero, as those of timm's own do."""
    shape = {"layers": (1, 1, 1, 1), "channels": (*CHANNELS, 128), "stem_width": 16}
    return timm.create_model("resnet18", **{**shape, "zero_init_last": False, **options})


SMALL = quarter_resnet10.__name__


def write_weights(path: Path, seed: int) -> Path:
    """Writes random weights of it as safetensors; returns the path."""
    torch.manual_seed(seed)
    save_file(Teacher(SMALL).network.state_dict(), path)
    return path
