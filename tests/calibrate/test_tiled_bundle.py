"""A product in tiles: from `edge-train fit --fit tile` to the engine's map of the whole canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
import torch
from small_teacher import SMALL

from edge_inspect.calibrate.cli import main as calibrate
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.engines.golden import check_golden
from edge_inspect.edge.engines.opening import open_engine
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, list_images, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.cli import main as train
from edge_inspect.train.datasets import Category, load_fitted
from edge_inspect.train.evaluation import evaluate, torch_predictor

TILES = Fit(64, 32, "tile", tiles=(2, 2), overlap=8)


@pytest.fixture(scope="module")
def tiled_run(data: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tiles") / "run"
    options = ["--size", "64x32", "--fit", "tile", "--tiles", "2x2", "--overlap", "8"]
    options += ["--steps", "2", "--batch", "4", "--hold-out", "0.25", "--model", "rd"]
    options += ["--teacher", SMALL, "--teacher-weights", str(small_weights)]
    assert train(["fit", "--data", str(data), "--category", CATEGORY, "--out", str(out), *options]) == 0
    return out


@pytest.fixture(scope="module")
def tiled_bundle(data: Path, tiled_run: Path) -> Bundle:
    out = tiled_run.parent / "bundle"
    good = data / CATEGORY / "train" / "good"
    options = ["--good", str(good), "--out", str(out), "--calibration-images", "8", "--search-seconds", "0"]
    assert calibrate(["bundle", str(tiled_run), *options]) == 0
    return open_bundle(out)


@pytest.fixture
def frames(data: Path) -> list[Frame]:
    return [read_image(path) for path in list_images(data / CATEGORY / "train" / "good")[:3]]


def test_the_fit_travels_in_checkpoint_and_bundle(
    tiled_run: Path, tiled_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint.load(tiled_run)[0].fit == tiled_bundle.fit == TILES
    assert calibrate(["show", str(tiled_bundle.path)]) == 0
    assert "64x32, tile 2x2 to 120x56" in capsys.readouterr().out


def test_the_engines_map_is_the_trained_models_on_the_canvas(
    tiled_run: Path, tiled_bundle: Bundle, frames: list[Frame]
) -> None:
    about, model = checkpoint.load(tiled_run)
    predict = torch_predictor(model, torch.device("cpu"), about.fit)
    engine = open_engine(tiled_bundle, "fp32")
    for frame in frames:
        wanted = predict(about.fit.apply(frame)[0])
        anomaly = engine.infer(frame)
        assert anomaly.values.shape == wanted.shape == (56, 120)
        np.testing.assert_allclose(anomaly.values, wanted, atol=1e-3)
        assert anomaly.score == pytest.approx(wanted.max(), abs=1e-3)


def test_each_tile_counts_as_if_it_were_alone(tiled_bundle: Bundle, frames: list[Frame]) -> None:
    """The middle of a tile, which no other covers, is what the same network says of that tile by itself."""
    part = tiled_bundle.manifest.input.model_copy(update={"fit": Fit(64, 32).as_dict()})
    manifest = tiled_bundle.manifest.model_copy(update={"input": part})
    folder = tiled_bundle.path
    alone = OpenVinoEngine(Bundle(folder, manifest, "", lambda name: (folder / name).read_bytes()), "fp32")
    fitted = TILES.apply(frames[0])[0]
    whole = OpenVinoEngine(tiled_bundle, "fp32").infer_fitted(fitted)
    for tile, (rows, columns) in zip(TILES.cut(fitted), TILES.grid.places(), strict=True):
        values = alone.infer_fitted(tile)
        np.testing.assert_allclose(whole[rows, columns][8:-8, 8:-8], values[8:-8, 8:-8], atol=1e-5)


def test_the_golden_maps_are_of_the_canvas_and_every_precision_reproduces_them(tiled_bundle: Bundle) -> None:
    assert all(golden.map.shape == (56, 120) for golden in tiled_bundle.golden())
    for precision in tiled_bundle.manifest.precisions:
        check_golden(tiled_bundle, open_engine(tiled_bundle, precision))
    assert calibrate(["verify", str(tiled_bundle.path)]) == 0


def test_maps_share_one_buffer_and_the_last_frame_leaves_nothing_in_it(
    tiled_bundle: Bundle, frames: list[Frame]
) -> None:
    engine = open_engine(tiled_bundle, "fp32")
    first = engine.infer(frames[0]).values
    before = first.copy()
    engine.infer(frames[1])
    again = engine.infer(frames[0]).values
    assert again is first
    np.testing.assert_array_equal(again, before)


def test_regions_lie_in_the_frame(tiled_bundle: Bundle, frames: list[Frame]) -> None:
    decider = Decider(tiled_bundle, "fp32")
    frame = frames[0].copy()
    frame[200:280, 300:400] = (0, 0, 255)
    height, width = frame.shape[:2]
    for region in decider.decide(open_engine(tiled_bundle, "fp32").infer(frame)).regions:
        x, y, w, h = region.bbox
        assert 0 <= x < x + w <= width and 0 <= y < y + h <= height


def test_a_frame_is_refused_if_the_map_of_one_tile_is_not_finite(tmp_path: Path) -> None:
    bundle = tiny_bundle.write(tmp_path / "b", tiles=(2, 2), fails_in_the_dark=True)
    engine, bright = OpenVinoEngine(bundle, "fp32"), np.full((64, 64, 3), 200, np.uint8)
    assert np.isfinite(engine.infer(bright).values).all()
    dark = bright.copy()
    dark[:38, 26:] = 0  # all that one of the tiles sees
    with pytest.raises(EngineError, match="not finite"):
        engine.infer(dark)


def test_torch_and_the_engine_measure_a_test_split_alike(data: Path, tiled_run: Path, tiled_bundle: Bundle) -> None:
    about, model = checkpoint.load(tiled_run)
    images = Category.open(data, CATEGORY).test_images()[:5]
    torch_maps = evaluate(torch_predictor(model, torch.device("cpu"), about.fit), images, about.fit)
    engine = OpenVinoEngine(tiled_bundle, "fp32")
    engine_maps = evaluate(engine.infer_fitted, images, about.fit)
    assert len(torch_maps.maps) == len(engine_maps.maps) == 5
    for of_torch, of_engine in zip(torch_maps.maps, engine_maps.maps, strict=True):
        np.testing.assert_allclose(of_torch, of_engine, atol=1e-3)


def test_training_sees_every_tile_of_every_picture(data: Path) -> None:
    paths = list_images(data / CATEGORY / "train" / "good")[:2]
    pictures = load_fitted(paths, TILES)
    assert pictures.shape == (8, 32, 64, 3)
    for i, path in enumerate(paths):
        np.testing.assert_array_equal(pictures[4 * i : 4 * i + 4], TILES.cut(TILES.apply(read_image(path))[0]))
