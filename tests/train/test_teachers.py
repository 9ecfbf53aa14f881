"""Weight files: which are taken, and why others are not."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from small_teacher import SMALL
from torch import Tensor

from edge_inspect.edge.errors import CheckpointError, UsageError
from edge_inspect.models.teacher import EMBEDDED, Teacher
from edge_inspect.train.teachers import open_teacher, weights_digest


class Malice:
    """An object whose pickle writes a file when it is opened."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def resnet18() -> torchvision.models.ResNet:
    """torchvision's ResNet-18 with statistics like those of a trained one."""
    torch.manual_seed(5)
    network = torchvision.models.resnet18(weights=None).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return network


@pytest.fixture
def tensors(resnet18: torchvision.models.ResNet) -> dict[str, Tensor]:
    """Its tensors, in a dictionary of one's own."""
    return dict(resnet18.state_dict())


@torch.no_grad()
def torchvision_features(network: torchvision.models.ResNet, image: Tensor) -> list[Tensor]:
    x = network.maxpool(network.relu(network.bn1(network.conv1(image))))
    t1 = network.layer1(x)
    t2 = network.layer2(t1)
    return [t1, t2, network.layer3(t2)]


def same_features(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, two, strict=True))


def test_torchvisions_file_gives_torchvisions_features(
    resnet18: torchvision.models.ResNet, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(tensors, tmp_path / "resnet18.pth")
    assert {"fc.weight", "layer4.1.conv2.weight"} <= tensors.keys()
    image = torch.randn(2, 3, 64, 96)
    teacher = open_teacher("resnet18", tmp_path / "resnet18.pth")
    assert same_features(teacher(image), torchvision_features(resnet18, image))
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize("wrapping", ["module.", "state_dict", "half", "old counters"])
def test_usual_variations_of_the_file_are_taken(
    resnet18: torchvision.models.ResNet, tensors: dict[str, Tensor], tmp_path: Path, wrapping: str
) -> None:
    path = tmp_path / "resnet18.pth"
    if wrapping == "module.":
        torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, path)
    elif wrapping == "state_dict":
        torch.save({"epoch": 90, "state_dict": tensors}, path)
    elif wrapping == "half":
        torch.save({name: tensor.half() for name, tensor in tensors.items()}, path)
    else:  # files of the V1 family have no num_batches_tracked
        torch.save({n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}, path)
    image = torch.randn(1, 3, 64, 64)
    found = open_teacher("resnet18", path)(image)
    wanted = torchvision_features(resnet18, image)
    assert all(f.dtype == torch.float32 for f in found)
    tolerance = 0.02 if wrapping == "half" else 1e-5
    assert all(float((f - w).norm() / w.norm()) < tolerance for f, w in zip(found, wanted, strict=True))


def test_a_wide_resnet50_2_file_of_torchvision_is_taken(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = torchvision.models.wide_resnet50_2(weights=None).state_dict()
    # One number each, so that the file is small.
    tensors = {name: torch.tensor(0.01 * (i % 9)).expand(t.shape) for i, (name, t) in enumerate(shapes.items())}
    torch.save(tensors, tmp_path / "wide.pth")
    teacher = open_teacher("wide_resnet50_2", tmp_path / "wide.pth")
    assert teacher.channels == (256, 512, 1024)
    for name, tensor in teacher.network.state_dict().items():
        assert torch.equal(tensor, tensors[name].to(tensor.dtype)), name


def test_timms_own_file_is_taken(tmp_path: Path) -> None:
    network = timm.create_model("resnet18", pretrained=False).eval()
    torch.save(network.state_dict(), tmp_path / "timm.pth")
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = network.forward_intermediates(image, indices=[1, 2, 3], intermediates_only=True)
    assert same_features(open_teacher("resnet18", tmp_path / "timm.pth")(image), wanted)


def test_a_safetensors_file_is_taken(
    resnet18: torchvision.models.ResNet, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "resnet18.safetensors")
    image = torch.randn(1, 3, 64, 64)
    teacher = open_teacher("resnet18", tmp_path / "resnet18.safetensors")
    assert same_features(teacher(image), torchvision_features(resnet18, image))


def test_the_embedded_teacher_brings_its_weights() -> None:
    one, two = open_teacher(EMBEDDED), open_teacher(EMBEDDED)
    assert weights_digest(one) == weights_digest(two)
    assert all(torch.isfinite(f).all() for f in one(torch.randn(1, 3, 64, 64)))


def test_another_architectures_file_is_refused_by_its_missing_tensors(tmp_path: Path) -> None:
    network = timm.create_model("mobilenetv3_small_100", pretrained=False)
    torch.save(network.state_dict(), tmp_path / "mobile.pth")
    with pytest.raises(CheckpointError, match=r"is not a weight file of resnet18: .* missing, \S+ first; the file"):
        open_teacher("resnet18", tmp_path / "mobile.pth")


def test_a_shallower_network_of_the_family_is_refused_by_name(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(tensors, tmp_path / "resnet18.pth")
    with pytest.raises(CheckpointError, match=r"is not a weight file of resnet34: .*layer1\.2\.conv1\.weight first"):
        open_teacher("resnet34", tmp_path / "resnet18.pth")


def test_a_tensor_of_another_shape_is_refused_by_name(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(tensors | {"layer2.0.conv1.weight": torch.zeros(128, 64, 1, 1)}, tmp_path / "odd.pth")
    wanted = r"layer2\.0\.conv1\.weight is \(128, 64, 1, 1\) there and \(128, 64, 3, 3\) in the model"
    with pytest.raises(CheckpointError, match=wanted):
        open_teacher("resnet18", tmp_path / "odd.pth")


@pytest.mark.parametrize("container", ["zip", "plain", "safetensors"])
def test_a_pickle_with_code_is_refused_and_not_run(tensors: dict[str, Tensor], tmp_path: Path, container: str) -> None:
    marker = tmp_path / "ran"
    content = {**tensors, "conv1.weight": Malice(marker)}
    path = tmp_path / ("evil.safetensors" if container == "safetensors" else "evil.pth")
    if container == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=r"evil\.\w+: cannot be read safely as a weight file") as caught:
        open_teacher("resnet18", path)
    assert not marker.exists()
    assert "weights_only" not in str(caught.value)  # no advice to open it all the same


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut"])
def test_files_that_hold_no_weights_are_refused_in_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be read safely as a weight file: .") as caught:
        open_teacher("resnet18", path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"epoch": 3}, {0: torch.zeros(3)}])
def test_files_of_something_else_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other.pth: does not hold a dictionary of tensors"):
        open_teacher("resnet18", tmp_path / "other.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone.pth: no such weight file"):
        open_teacher("resnet18", tmp_path / "gone.pth")


@pytest.mark.parametrize("name", ["resnet9000", "Embedded", "Resnet18"])
def test_an_unknown_teacher_is_a_mistake_in_the_command(name: str) -> None:
    with pytest.raises(UsageError, match=rf"--teacher {name}: timm knows no model"):
        open_teacher(name)


def test_weights_that_cannot_be_fetched_are_said_with_a_teacher_that_needs_no_download() -> None:
    with pytest.raises(UsageError, match=r"^--teacher lcnet_035: .* fetched .*use --teacher embedded"):
        open_teacher("lcnet_035")  # timm has no weights of it


def test_the_digest_tells_weights_apart() -> None:
    torch.manual_seed(0)
    one = Teacher(SMALL)
    two = Teacher(SMALL)
    assert weights_digest(one) != weights_digest(two)
    two.load_state_dict(one.state_dict())
    assert weights_digest(one) == weights_digest(two)
    two.network.get_buffer("bn1.running_mean")[0] += 1e-3
    assert weights_digest(one) != weights_digest(two)


def test_a_teachers_own_tensors_can_be_loaded_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = Teacher(SMALL)
    save_file(teacher.network.state_dict(), tmp_path / "mine.safetensors")
    assert weights_digest(open_teacher(SMALL, tmp_path / "mine.safetensors")) == weights_digest(teacher)
    assert load_file(tmp_path / "mine.safetensors").keys() == teacher.network.state_dict().keys()


def test_the_weights_that_the_documentation_names_are_fetched(tmp_path: Path) -> None:
    """timm finds in its cache what it would fetch: one tensor tells whose weights were taken."""
    fetched = {"resnet10t": "resnet10t.c3_in1k", "resnet18": "resnet18.tv_in1k", "resnet18.a1_in1k": "resnet18.a1_in1k"}
    for number, (name, tagged) in enumerate(fetched.items(), 7):
        tensors = dict(timm.create_model(name).state_dict())
        tensors["bn1.running_mean"] = torch.full_like(tensors["bn1.running_mean"], number)
        snapshot = tmp_path / "hub" / f"models--timm--{tagged}" / "snapshots" / "1"
        snapshot.mkdir(parents=True)
        save_file(tensors, snapshot / "model.safetensors")
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("1")
    script = f"""from edge_inspect.train.teachers import open_teacher
for name in {list(fetched)}:
    print(*open_teacher(name).network.bn1.running_mean.unique().tolist())"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["7.0", "8.0", "9.0"], done.stderr
