"""Every system goes the whole way: trained, evaluated, exported, calibrated, and run by `edge-inspect` on OpenVINO.

A lamp blinks in all pictures, in an area that is ignored.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from small_teacher import SMALL

from edge_inspect.calibrate.area_scales import with_scales
from edge_inspect.calibrate.cli import main as calibrate
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.cli import main as inspect
from edge_inspect.edge.demo.line import CATEGORY, HEIGHT, WIDTH
from edge_inspect.edge.engines.opening import open_engine
from edge_inspect.edge.frame.images import Frame, list_images, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.cli import main as train
from edge_inspect.train.evaluation import torch_predictor
from edge_inspect.train.systems import SYSTEMS


def write_areas(path: Path) -> Path:
    """Ignores a corner of the part and some of the belt, and looks at both halves of the part."""
    lamp = {"name": "lamp", "polygon": [[150, 60], [230, 60], [230, 150], [150, 150]]}
    halves = [
        {"name": "left", "polygon": [[120, 40], [320, 40], [320, 440], [120, 440]]},
        {"name": "right", "polygon": [[321, 40], [520, 40], [520, 440], [321, 440]]},
    ]
    path.write_text(yaml.safe_dump({"size": [WIDTH, HEIGHT], "look": halves, "ignore": [lamp]}))
    return path


def check_that_areas_share_one_threshold(bundle: Bundle, told: list[dict[str, Any]]) -> None:
    """One area keeps its map, the other's is multiplied; what is rejected has the area's name."""
    assert bundle.fit.areas is not None and with_scales(bundle.fit, {}) != bundle.fit
    scales = sorted(area.scale for area in bundle.fit.areas.look)
    assert scales[0] == 1 < scales[1] <= 10
    regions = [region for each in told for region in each["regions"]]
    assert {region["area_name"] for region in regions} <= {"left", "right"}
    for region in regions:
        x, _, width, _ = region["bbox"]
        assert (region["area_name"] == "left") or x + width > 320


def check_that_nothing_ignored_is_seen(bundle: Bundle, frame: Frame) -> None:
    """In every precision, map and score are the same, to the last bit, whatever the lamp shows."""
    assert bundle.fit.areas is not None
    seen = bundle.fit.areas.looked_at()[..., None]
    others = [np.where(seen, frame, np.uint8(level)) for level in (0, 140, 255)]
    for precision in bundle.manifest.precisions:
        with open_engine(bundle, precision) as engine:
            told = [(anomaly.score, anomaly.values.copy()) for anomaly in map(engine.infer, [frame, *others])]
        for score, values in told[1:]:
            assert score == told[0][0] and np.array_equal(values, told[0][1]), precision


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("system", "further"),
    [
        *((system, []) for system in ("rd", "memory", "aand", "dmdd")),
        pytest.param("rd", ["--student-width", "half", "--memory", "off"], id="rd-half"),
    ],
)
def test_a_system_goes_the_whole_way(
    system: str,
    further: list[str],
    data: Path,
    small_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """RD4AD with the default teacher; the others with a small one, for their graphs are large."""
    run, bundle_path, result = tmp_path / "run", tmp_path / "bundle", tmp_path / "result.json"
    good = data / CATEGORY / "train" / "good"
    if not further:
        areas = str(write_areas(tmp_path / "areas.yaml"))
        further = ["--ignore", areas, *(["--look", areas] if system == "memory" else [])]
    options = ["--size", "64", "--steps", "3", "--batch", "4", "--hold-out", "0.25", "--model", system, *further]
    if system != "rd" or "--student-width" in further:
        options += ["--teacher", SMALL, "--teacher-weights", str(small_weights)]
    assert train(["fit", "--data", str(data), "--category", CATEGORY, "--out", str(run), *options]) == 0
    assert train(["evaluate", str(run), "--data", str(data), "--json", str(result)]) == 0
    assert 0 <= json.loads(result.read_text())["image_auroc"] <= 1
    # One system is searched for layers to leave in float: the one whose graph compiles fastest.
    search = ["--search-seconds", "5" if system == "memory" else "0"]
    options = ["--good", str(good), "--out", str(bundle_path), "--calibration-images", "4", *search]
    assert calibrate(["bundle", str(run), *options]) == 0
    assert calibrate(["verify", str(bundle_path)]) == 0
    capsys.readouterr()

    about, model = checkpoint.load(run)
    assert about.model == model.name == system
    bundle = open_bundle(bundle_path)
    predict = torch_predictor(model, torch.device("cpu"), bundle.fit)
    engine = open_engine(bundle, "fp32")
    frames = [read_image(path) for path in list_images(good)[:3]]
    for frame in frames:
        np.testing.assert_allclose(engine.infer(frame).values, predict(about.fit.apply(frame)[0]), atol=1e-3)
    assert with_scales(bundle.fit, {}) == about.fit, "the bundle's own checkpoint is known by its fit"
    assert (about.fit.areas is None) == ("--ignore" not in further)
    if about.fit.areas is not None:
        check_that_nothing_ignored_is_seen(bundle, frames[0])
    int8 = onnx.load_from_string(bundle.model("int8"))
    assert any(node.op_type == "QuantizeLinear" for node in int8.graph.node)
    assert [(opset.domain, opset.version) for opset in int8.opset_import] == [("", 17)]

    defects = [str(path) for path in list_images(data / CATEGORY / "test" / "good")]
    assert inspect(["image", str(bundle_path), *defects, "--json", "-"]) in (0, 1)
    told = json.loads(capsys.readouterr().out)
    assert len(json.dumps(told)) > 100
    if "--look" in further:
        check_that_areas_share_one_threshold(bundle, told["images"])


def test_every_system_is_tested_here() -> None:
    assert list(SYSTEMS) == ["rd", "memory", "aand", "dmdd"]
