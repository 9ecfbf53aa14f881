"""The EfficientNet-Lites are those of timm, to the last bit and by their tensors' names."""

from __future__ import annotations

import pytest
from timm_networks import check_equal_to_timms

from edge_inspect.models.efficientnet_lite import SCALES, EfficientNetLite


@pytest.mark.parametrize("name", SCALES)
def test_it_is_timms(name: str) -> None:
    check_equal_to_timms(EfficientNetLite(*SCALES[name]), name, {})


def test_what_is_beyond_stride_16_is_not_built() -> None:
    assert len(EfficientNetLite(1.0, 1.0).blocks) == 5
