"""The ResNets are those of timm, to the last bit and by their tensors' names."""

from __future__ import annotations

import pytest
from timm_networks import check_equal_to_timms

from edge_inspect.models.blocks import BlockStyle
from edge_inspect.models.resnet import SHAPES, ResNet


@pytest.mark.parametrize("name", ["embedded", "resnet18", "resnet34", "resnet50", "wide_resnet50_2"])
def test_it_is_timms(name: str) -> None:
    halved = {"channels": (32, 64, 128, 256), "stem_width": 32} if name == "embedded" else {}
    check_equal_to_timms(ResNet(SHAPES[name]), "resnet18" if name == "embedded" else name, halved)


def test_a_student_gets_blocks_of_the_same_style() -> None:
    assert ResNet(SHAPES["resnet34"]).style == BlockStyle("basic", 1.0, (3, 4, 6, 3))
    assert ResNet(SHAPES["resnet50"]).style == BlockStyle("bottleneck", 0.25, (3, 4, 6, 3))
