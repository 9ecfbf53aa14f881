from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn

from edge_inspect.models import efficientnet_lite, resnet
from edge_inspect.models.blocks import BlockStyle
from edge_inspect.models.efficientnet_lite import EfficientNetLite
from edge_inspect.models.resnet import ResNet

STRIDES = (4, 8, 16)

_PROBE = 64

EMBEDDED = "embedded"
"""Name of the compact teacher that ships with the project: ResNet-18 at half width."""

TORCHVISION_V1 = "tv_in1k"
"""timm's tag of the weights that torchvision published first."""


class Teacher(nn.Module):
    """A frozen convolutional network; a student learns to predict its features at strides 4, 8 and 16.

    ResNets give layer1 to layer3, post-ReLU; layer4 is never built. Other CNNs of timm give the last feature map of
    each of these strides. The teacher stays in evaluation mode whatever `train()` says, and has no gradients.

    The networks of resnet.py and efficientnet_lite.py are built without timm, which takes three seconds to import.

    Args:
        name: `embedded`, or the name of a timm CNN (`resnet18`, `wide_resnet50_2.tv2_in1k`, ...).
        pretrained: Whether timm loads weights (from its cache or the model hub). A tag in the name decides which.
            Without a tag, they are torchvision's V1 weights if timm has them, as in the three papers, and otherwise
            timm's own choice.

    Attributes:
        channels: Number of channels of the three scales.
        style: Style of the residual blocks of which a student of this teacher is built.
        signed: Whether features may be negative, as in EfficientNets and MobileNets, whose stages do not end in a ReLU.

    Raises:
        ValueError: timm knows no such model, or it has no features at strides 4, 8 and 16; the message suggests others.
    """

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        self.name = name
        self.network: nn.Module
        self.channels: tuple[int, int, int]
        self.style: BlockStyle
        if (own := _own_network(name)) is not None:
            self.network, self.channels, self.style = own, own.channels, own.style
            if pretrained:
                fetched = _timms_network(name, pretrained=True)[0].state_dict()
                own.load_state_dict({key: fetched[key] for key in own.state_dict()})
        else:
            self.network, self.channels, self.style = _timms_network(name, pretrained=pretrained)
        self.requires_grad_(False)
        self.eval()
        self.signed = self._check()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode, because the BatchNorm statistics are part of what the teacher knows."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W), normalised as ImageNet, to three maps (N, c_k, H / stride_k, W / stride_k)."""
        return list(self.network(image))

    def _check(self) -> bool:
        """Return whether features may be negative; refuse a network that takes one input size, or has other maps."""
        wanted = [(c, _PROBE // stride, _PROBE // stride) for c, stride in zip(self.channels, STRIDES, strict=True)]
        try:
            features = self(torch.linspace(-2, 2, 3 * _PROBE**2).reshape(1, 3, _PROBE, _PROBE))
            given = [tuple(feature.shape[1:]) for feature in features]
        except (RuntimeError, AssertionError) as error:
            raise ValueError(_not_a_cnn(self.name, error)) from error
        if given != wanted:
            raise ValueError(_not_a_cnn(self.name, f"a {_PROBE}x{_PROBE} image gives {given}, not {wanted}"))
        return any(not feature.is_meta and bool((feature < 0).any()) for feature in features)


def _own_network(name: str) -> ResNet | EfficientNetLite | None:
    if name in resnet.SHAPES:
        return ResNet(resnet.SHAPES[name])
    return EfficientNetLite(*efficientnet_lite.SCALES[name]) if name in efficientnet_lite.SCALES else None


def _timms_network(name: str, *, pretrained: bool) -> tuple[nn.Module, tuple[int, int, int], BlockStyle]:
    """Return a network of timm, the channels of its three scales and the style of its blocks.

    Raises:
        ValueError: timm knows no such model, or it has no features at strides 4, 8 and 16.
    """
    import timm  # here, because it takes three seconds, and most teachers are built without it

    if not timm.is_model(name):
        raise ValueError(f"timm knows no model {name!r}; it knows {', '.join(suggestions(name))}, ...")
    try:
        whole = timm.create_model(name, features_only=True)
        reductions = whole.feature_info.reduction()
        indices = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in STRIDES]
    except (RuntimeError, AttributeError, ValueError) as error:
        raise ValueError(_not_a_cnn(name, error)) from error
    network = timm.create_model(
        pretrained_name(name) if pretrained else name, features_only=True, out_indices=indices, pretrained=pretrained
    )
    return network, tuple(network.feature_info.channels()), _style_of(whole)


def pretrained_name(name: str) -> str:
    """Return a timm name with the tag of the weights that it stands for.

    timm's own choice for an untagged ResNet changes with its version (`resnet18.a1_in1k` today). It differs from the
    weights that the papers use, and with it features and results.
    """
    import timm

    documented = f"{name}.{TORCHVISION_V1}"
    return documented if "." not in name and timm.is_model_pretrained(documented) else name


def _style_of(network: nn.Module) -> BlockStyle:
    """Return the style of the residual blocks of a timm network whose stages are all built.

    A network without the stages layer1 to layer4 has no such blocks, and its student is built of ResNet-18's. Students
    of grouped convolutions (ResNeXt) get their width, but no groups.
    """
    layers = (getattr(network, f"layer{number}", None) for number in range(1, 5))
    stages = [layer for layer in layers if isinstance(layer, nn.Sequential)]
    if len(stages) < 4:
        return BlockStyle()
    one, two, three, four = (len(stage) for stage in stages)
    block: Any = stages[0][0]
    last = getattr(block, "conv3", None)
    if last is None:
        return BlockStyle("basic", 1.0, (one, two, three, four))
    inner = last.in_channels / last.out_channels if isinstance(last, nn.Conv2d) else 1 / block.expansion
    return BlockStyle("bottleneck", inner, (one, two, three, four))


def _not_a_cnn(name: str, reason: object) -> str:
    return (
        f"{name} has no convolutional features at strides 4, 8 and 16: {reason}; "
        f"there are {EMBEDDED}, resnet18, wide_resnet50_2, mobilenetv3_small_100 and other CNNs of timm"
    )


def suggestions(name: str) -> list[str]:
    """Return names of timm models like `name`, the embedded teacher first."""
    import timm

    close = difflib.get_close_matches(name, timm.list_models(), n=4, cutoff=0.3)
    return [EMBEDDED, *(close or ["resnet18", "resnet34", "resnet50", "wide_resnet50_2"])]
