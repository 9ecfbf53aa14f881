"""Variants of good pictures: what the option takes, what a variant is, and what trainings make of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from cloth import cloth_pictures, write_cloth
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_teacher import SMALL

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.memory import Memory, local_features
from edge_inspect.models.teacher import Teacher
from edge_inspect.train import checkpoint
from edge_inspect.train import memory as memory_module
from edge_inspect.train.augmentation import FLIPS, MOST_PIXELS, SHOWN, Augmentation, Box, Change
from edge_inspect.train.cli import main
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.device import Arithmetic
from edge_inspect.train.material import Material, normalise
from edge_inspect.train.memory import cross_fit, fill
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.synthesis import Synthesis
from edge_inspect.train.training import fit as fit_system

CPU = torch.device("cpu")
ALL = Augmentation(light=10, gamma=8, shift=3, flip="both")


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return cloth_pictures()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cloth(tmp_path_factory.mktemp("cloth"))


def material_of(pictures: NDArray[np.uint8], augmentation: Augmentation, shown: list[Box] | None = None) -> Material:
    synthesis = Synthesis(pictures, seed=0, foreground="disc")
    return Material(pictures, synthesis, Arithmetic(CPU), 4, 0, 1.0, augmentation=augmentation, shown=shown)


def repadded(picture: NDArray[np.uint8], shown: Box) -> NDArray[np.uint8]:
    """The picture as if only `shown` showed a frame, and all around it were padding."""
    x0, y0, x1, y1 = shown
    rows, columns = (np.clip(np.arange(64), low, high - 1) for low, high in ((y0, y1), (x0, x1)))
    return picture[rows][:, columns]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("off", Augmentation()),
        ("light=5", Augmentation(light=5)),
        ("gamma=2.5,light=10", Augmentation(light=10, gamma=2.5)),
        (" shift = 2 , flip = horizontal ", Augmentation(shift=2, flip="horizontal")),
        ("flip=both,shift=16,gamma=50,light=0.5", Augmentation(0.5, 50, 16, "both")),
        ("light=0,shift=0", Augmentation()),
    ],
)
def test_the_option_is_read(text: str, read: Augmentation) -> None:
    assert Augmentation.read(text) == read == Augmentation.read(str(read))
    assert read.shown == (1 if str(read) == "off" else SHOWN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"--augment : '' is unknown; give off, or some of light, gamma, shift, flip"),
        ("on", r"'on' is unknown"),
        ("brightness=5", r"'brightness' is unknown"),
        ("light=5,,gamma=5", r"'' is unknown"),
        ("light=5,off", r"'off' is unknown"),
        ("light=5;gamma=5", r"light=5;gamma=5: give a number of per cent from 0 to 50, such as 5"),
        ("light", r"light=: give a number of per cent"),
        ("gamma=-1", r"gamma=-1: give a number of per cent"),
        ("light=nan", r"light=nan: give a number of per cent"),
        ("gamma=51", r"gamma=51: give a number of per cent"),
        ("shift=1.5", r"shift=1.5: give a whole number of pixels from 0 to 16, such as 2"),
        ("shift=" + 5000 * "9", r"give a whole number of pixels"),
        ("shift=17", r"shift=17: give a whole number"),
        ("shift=²", r"shift=²: give a whole number"),
        ("flip=left", r"flip=left: give one of horizontal, vertical, both"),
        ("flip", r"flip=: give one of"),
        ("light=5,light=6", r"light is there twice"),
    ],
)
def test_what_the_option_cannot_be_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Augmentation.read(text)
    assert str(caught.value).startswith(f"--augment {text}: ")


@given(st.text() | st.from_regex(r"(light|gamma|shift|flip)=[0-9a-z.]{0,4}(,(light|gamma|shift|flip)=[0-9.]{1,3})?"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = Augmentation.read(text)
    except UsageError:
        return
    assert 0 <= read.light <= 50 and 0 <= read.gamma <= 50 and 0 <= read.shift <= MOST_PIXELS
    assert Augmentation.read(str(read)) == dataclasses.replace(
        read, light=float(f"{read.light:g}"), gamma=float(f"{read.gamma:g}")
    )


def test_the_command_says_it_without_a_traceback(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["fit", "--data", str(data), "--out", str(tmp_path / "run")]
    assert main([*asked, "--augment", "light=5,tilt=3"]) != 0
    said = capsys.readouterr().err
    assert "--augment light=5,tilt=3: 'tilt' is unknown" in said and "Traceback" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "augmentation",
    [ALL, Augmentation(light=5), Augmentation(gamma=20), Augmentation(shift=1, flip="vertical")],
    ids=str,
)
def test_variants_stay_within_what_was_asked_for_and_reach_it(augmentation: Augmentation) -> None:
    changes = [augmentation.change(seed, i, variant) for seed in range(3) for i in range(50) for variant in (1, 2, 3)]
    lights, gammas = (np.array([getattr(change, name) for change in changes]) - 1 for name in ("light", "gamma"))
    for values, most in ((lights, augmentation.light / 100), (gammas, augmentation.gamma / 100)):
        assert np.abs(values).max() <= most and values.max() >= 0.9 * most and values.min() <= -0.9 * most
    whole = set(range(-augmentation.shift, augmentation.shift + 1))
    assert {change.shift[0] for change in changes} == {change.shift[1] for change in changes} == whole
    across, along = FLIPS[augmentation.flip] if augmentation.flip else (False, False)
    assert {change.mirrored[0] for change in changes} == ({False, True} if across else {False})
    assert {change.mirrored[1] for change in changes} == ({False, True} if along else {False})


def test_a_variant_depends_on_seed_picture_and_number_alone() -> None:
    drawn = {ALL.change(seed, i, variant) for seed in (0, 1) for i in (0, 1, 2) for variant in (1, 2, 3)}
    assert len(drawn) == 18
    assert ALL.change(1, 2, 3) == ALL.change(1, 2, 3) and ALL.change(1, 2, 0) == Change()


@pytest.mark.parametrize(("light", "gamma"), [(1.1, 1.0), (0.95, 1.0), (1.0, 0.9), (1.05, 1.1)])
def test_light_and_gamma_move_grey_levels_alike_in_all_channels(light: float, gamma: float) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    changed = Change(light=light, gamma=gamma).picture(levels)
    assert np.array_equal(changed, changed[..., :1].repeat(3, 2))
    for level in (0, 1, 60, 128, 200, 255):
        expected = min(255, (level / 255) ** gamma * 255 * light)
        assert abs(int(changed[level // 16, level % 16, 0]) - expected) <= 0.5


@pytest.mark.parametrize("shift", [(3, 0), (-2, 5), (0, -4), (16, 16)])
def test_a_shift_repeats_the_edge(pictures: NDArray[np.uint8], shift: tuple[int, int]) -> None:
    moved = Change(shift=shift).picture(pictures[0])
    rows, columns = (np.clip(np.arange(64) - by, 0, 63) for by in (shift[1], shift[0]))
    assert np.array_equal(moved, pictures[0][rows][:, columns])


@pytest.mark.parametrize("mirrored", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shown", [(0, 7, 64, 57), (4, 0, 60, 64), (10, 10, 13, 14)])
def test_padding_repeats_the_edges_of_what_has_moved(
    pictures: NDArray[np.uint8], mirrored: tuple[bool, bool], shown: Box
) -> None:
    x0, y0, x1, y1 = shown
    change = Change(shift=(5, -3), mirrored=mirrored)
    changed = change.picture(pictures[1], shown)
    inside = change.picture(np.ascontiguousarray(pictures[1, y0:y1, x0:x1]))
    assert np.array_equal(changed[y0:y1, x0:x1], inside)
    assert np.array_equal(changed, repadded(changed, shown))


def test_a_mask_moves_with_its_picture() -> None:
    for seed in range(10):
        change = ALL.change(seed, 0, 1)
        mask = (np.random.default_rng(seed).random((32, 48)) < 0.1).astype(np.uint8)
        picture = change.picture(mask[..., None].repeat(3, 2) * np.uint8(100), (0, 4, 48, 30))
        assert np.array_equal(picture[..., 0] > 0, change.moved(mask, (0, 4, 48, 30)) > 0)


@pytest.mark.parametrize("augmentation", [ALL, Augmentation(light=5), Augmentation(shift=2)], ids=str)
def test_pictures_as_they_are_come_first(pictures: NDArray[np.uint8], augmentation: Augmentation) -> None:
    material = material_of(pictures, augmentation)
    assert material.count == 40
    assert torch.equal(material.images(torch.arange(10)), normalise(pictures))
    every = material.images(torch.arange(40)).view(4, 10, 3, 64, 64)
    for variant in (1, 2, 3):
        for i in range(10):
            expected = augmentation.change(0, i, variant).picture(pictures[i])
            assert torch.equal(every[variant, i], normalise(expected[None])[0])
    seen = torch.cat([turn.index for turn in material.turns(range(10))])
    assert sorted(seen.tolist()) == list(range(40))


@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
def test_features_are_those_of_the_variants(pictures: NDArray[np.uint8], cache_gb: float) -> None:
    material = material_of(pictures, ALL)
    material.cache_gb = cache_gb
    features = material.features(lambda images: [images.mean((2, 3), keepdim=True)], "means")
    index = torch.tensor([3, 13, 23, 33, 39])
    assert torch.allclose(features.batch(index)[0], material.images(index).mean((2, 3), keepdim=True))


@pytest.mark.parametrize("shown", [None, [(0, 6, 64, 58)] * 10, [(9, 0, 50, 64)] * 10])
def test_defects_lie_on_the_variants_and_their_parts(pictures: NDArray[np.uint8], shown: list[Box] | None) -> None:
    boxes = shown or [(0, 0, 64, 64)] * 10
    padded = np.stack([repadded(picture, box) for picture, box in zip(pictures, boxes, strict=True)])
    material = material_of(padded, dataclasses.replace(ALL, shift=8), shown)
    parts = material.synthesis.foregrounds
    masks = {}
    for batch in material.defects(range(10)):
        outside = (batch.masks == 0).expand_as(batch.images)
        assert torch.equal(batch.images[outside], material.images(batch.index)[outside])
        assert bool((batch.foregrounds >= batch.masks).all())
        for place, number in enumerate(batch.index.tolist()):
            variant, i = divmod(number, 10)
            change = material.augmentation.change(0, i, variant)
            expected = change.moved(parts[i], boxes[i])
            assert torch.equal(batch.foregrounds[place, 0], torch.from_numpy(expected).float())
            masks[number] = (change, batch.masks[place, 0].numpy())
    assert len(masks) == 40
    # Each variant has a defect of its own, not that of its picture moved.
    same = sum(
        np.array_equal(masks[i + 10][0].moved(masks[i][1].astype(np.uint8), boxes[i]), masks[i + 10][1])
        for i in range(10)
    )
    assert same <= 2


@pytest.mark.parametrize("most", [160, 400, 10**6])
def test_a_memory_holds_variants_within_its_bound(
    most: int, pictures: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "MOST_VECTORS", most)
    seen: list[int] = []
    chosen = memory_module.k_centre

    def counted(vectors: torch.Tensor, *others: object) -> torch.Tensor:
        seen.append(len(vectors))
        return chosen(vectors, *others)

    monkeypatch.setattr(memory_module, "k_centre", counted)
    model = Memory(Teacher(SMALL), 20).eval()
    fill(model.banks, model.teacher, material_of(pictures, ALL))
    assert seen == [min(most, 40 * 64)] * 2


def test_no_variant_of_a_picture_is_in_the_memory_that_scores_it(pictures: NDArray[np.uint8]) -> None:
    blocks = [0, 0, 1, 1, 1, 2, 2, 2, 2, 2]
    material = material_of(pictures, ALL)
    model = Memory(Teacher(SMALL), 40 * 64).eval()
    without = fill(model.banks, model.teacher, material, np.array(blocks))
    assert len(without) == 3
    for number, i in [(0, 1), (1, 2), (2, 9)]:
        variants = torch.arange(i, 40, 10)
        with torch.inference_mode():
            local = local_features(model.teacher(material.images(variants)))
            assert float(model.banks.plain(local).amax()) < 0.01
            assert float(without[number].plain(local).flatten(1).amax(1).min()) > 0.1


def test_cross_fitted_scores_are_those_of_the_pictures_as_they_are(pictures: NDArray[np.uint8]) -> None:
    crossfit = CrossFit(Fit(64, 64), [(0, 0, 64, 64)] * 10, [0, 0, 1, 1, 1, 2, 2, 2, 2, 2], [True] * 10)
    material = material_of(pictures, ALL)
    model = Memory(Teacher(SMALL), 200).eval()
    scores = crossfit.scores(cross_fit(model, material, crossfit))
    without = fill(model.banks, model.teacher, material, crossfit.block_of_tile)
    for i, score in enumerate(scores):
        model.banks = without[crossfit.blocks[i]]
        with torch.inference_mode():
            assert score == pytest.approx(float(model.anomaly_map(normalise(pictures[i : i + 1])).max()), rel=1e-4)


@pytest.mark.parametrize("change", [Change(light=0.85), Change(gamma=1.15), Change(light=1.15)], ids=str)
def test_what_changed_light_raises_is_raised_less(pictures: NDArray[np.uint8], change: Change) -> None:
    torch.manual_seed(0)
    teacher, raised = Teacher(SMALL), []
    for augmentation in (Augmentation(), Augmentation(light=20, gamma=20)):
        model = Memory(teacher, 2000).eval()
        fill(model.banks, model.teacher, material_of(pictures[:8], augmentation))
        new = pictures[8:]
        changed = np.stack([change.picture(picture) for picture in new])
        with torch.inference_mode():
            before, after = (model(normalise(images)).flatten(1).mean(1) for images in (new, changed))
        raised.append(float((after / before).mean()) - 1)
    assert raised[1] < 0.85 * raised[0]


@pytest.mark.parametrize("model", ["memory", "rd", "aand", "dmdd"])
def test_every_system_learns_from_variants_and_says_so(
    model: str, data: Path, small_weights: Path, tmp_path: Path
) -> None:
    settings = TrainingSettings(
        data=data,
        category=".",
        out=tmp_path / "run",
        model=model,
        teacher=SMALL,
        teacher_weights=small_weights,
        memory=8 if model == "memory" else 0,
        fit=Fit(64, 64),
        steps=2,
        batch=4,
        augment=ALL,
        device="cpu",
    )
    about = fit_system(settings)
    assert about.training["augment"] == "light=10,gamma=8,shift=3,flip=both"
    plain = fit_system(dataclasses.replace(settings, out=tmp_path / "plain", augment=Augmentation()))
    assert plain.training["augment"] == "off" and plain.trained_on == about.trained_on
    tensors = [(tmp_path / name / checkpoint.TENSORS).read_bytes() for name in ("run", "plain")]
    assert tensors[0] != tensors[1]
    again = fit_system(dataclasses.replace(settings, out=tmp_path / "again"))
    assert again.training["augment"] == about.training["augment"]
    assert (tmp_path / "again" / checkpoint.TENSORS).read_bytes() == tensors[0]
