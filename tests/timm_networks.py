"""Networks of timm, with which ours are compared."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

from edge_inspect.models.teacher import STRIDES


def check_equal_to_timms(own: nn.Module, name: str, options: dict[str, Any]) -> None:
    """Checks that a network gives timm's features at strides 4, 8 and 16, also where a side is no multiple of 16.

    Its tensors must be the first of timm's, in the same order, as both get the same random values.
    """
    torch.manual_seed(0)
    reductions = timm.create_model(name, features_only=True, **options).feature_info.reduction()
    last = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in STRIDES]
    theirs = timm.create_model(name, features_only=True, out_indices=last, **options)
    given = theirs.state_dict()
    for key, tensor in given.items():
        if key.endswith("running_mean"):
            tensor.normal_()
        elif tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)
    names = list(own.state_dict())
    assert names == list(given)[: len(names)]
    own.load_state_dict({key: given[key] for key in names})
    assert own.channels == tuple(theirs.feature_info.channels())
    for height, width in ((64, 96), (70, 90)):
        image = torch.randn(1, 3, height, width)
        with torch.no_grad():
            pairs = list(zip(own.eval()(image), theirs.eval()(image), strict=True))
        assert len(pairs) == 3 and all(torch.equal(ours, wanted) for ours, wanted in pairs)
