"""Example maps: the same pictures and defects each time, what the network sees, and a model left as it was."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from parsed_page import Page
from small_teacher import SMALL

from edge_inspect.edge.errors import ImageError, UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, write_image
from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.examples import Examples
from edge_inspect.train.thumbnails import THUMBNAIL


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Four pictures of 400x200 pixels."""
    rng = np.random.default_rng(2)
    paths = [tmp_path / f"<{i}>.png" for i in range(4)]
    for path in paths:
        write_image(path, np.kron(rng.integers(60, 200, (10, 20, 3)), np.ones((20, 20, 1))).astype(np.uint8))
    return paths


@pytest.fixture(scope="module")
def model() -> ReverseDistillation:
    """In training, but for one layer."""
    torch.manual_seed(3)
    model = ReverseDistillation(Teacher(SMALL)).train()
    next(model.decoder.children()).eval()
    return model


def pictures(page: Page) -> list[Frame]:
    return [
        np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8), cv2.IMREAD_COLOR))
        for source in page.references
    ]


@pytest.mark.parametrize(
    ("fit", "size"),
    [
        (Fit(64, 64), (THUMBNAIL // 2, THUMBNAIL)),
        (Fit(64, 64, "pad"), (THUMBNAIL // 2, THUMBNAIL)),
        (Fit(64, 64, "crop"), (200, 200)),
        (Fit(64, 64, "tile", tiles=(2, 2), overlap=0), (100, 200)),
    ],
)
def test_three_pictures_without_and_with_a_defect(
    paths: list[Path], model: ReverseDistillation, fit: Fit, size: tuple[int, int]
) -> None:
    examples = Examples(paths, fit)
    html = examples.draw(model)
    page = Page(html)
    scale, *shown = pictures(page)
    assert len(shown) == 3 * (2 + 3)
    assert {picture.shape for picture in shown} == {(*size, 3)}  # the frame's proportions; no padding
    assert "<0>.png with a defect" in page.text and "<3>.png" not in page.text
    assert "<0>.png with a defect: the true defect, outlined" in page.alts
    assert np.abs(shown[0].astype(int) - shown[2].astype(int)).max() > 20  # the defect is in the picture
    assert examples.draw(model) == html == Examples(paths, fit).draw(model)


def test_the_model_and_all_random_numbers_stay_as_they_are(paths: list[Path], model: ReverseDistillation) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    assert True in modes and False in modes
    numbers = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    Examples(paths, Fit(64, 64)).draw(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), numbers[0])
    assert np.array_equal(np.random.get_state()[1], numbers[1])
    assert random.getstate() == numbers[2]


def test_a_model_that_fails_is_left_in_its_mode(
    paths: list[Path], model: ReverseDistillation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    modes = [module.training for module in model.modules()]
    monkeypatch.setattr(model, "anomaly_map", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Examples(paths, Fit(64, 64)).draw(model)
    assert [module.training for module in model.modules()] == modes


def test_the_map_is_the_models(paths: list[Path], monkeypatch: pytest.MonkeyPatch, model: ReverseDistillation) -> None:
    def change(images: torch.Tensor) -> torch.Tensor:
        assert not model.training and not torch.is_grad_enabled()
        return (images - images[:1]).abs().amax(1, keepdim=True)  # the first of a pair is the good one

    monkeypatch.setattr(model, "anomaly_map", change)
    page = Page(Examples(paths[:1], Fit(64, 64)).draw(model))
    assert "<0>.png score 0.0000" in page.text
    _, _, plain, bad, _, marked = pictures(page)
    grey = np.ptp(plain.astype(int), axis=2)
    assert grey.max() < 60 < np.ptp(marked.astype(int), axis=2).max()


def test_what_cannot_be_shown_is_named(paths: list[Path], model: ReverseDistillation) -> None:
    with pytest.raises(UsageError, match="foreground 'moon' is unknown"):
        Examples(paths, Fit(64, 64), "moon").draw(model)
    paths[1].write_bytes(b"no picture")
    with pytest.raises(ImageError, match="<1>.png"):
        Examples(paths, Fit(64, 64)).draw(model)
