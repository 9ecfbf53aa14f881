"""`calibrate bundle`, `verify` and `show`, as their user runs them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import onnx
import pytest
from parsed_page import Page

from edge_inspect.calibrate.cli import main
from edge_inspect.calibrate.counts import found_defects
from edge_inspect.calibrate.flaw_sizes import WIDTHS
from edge_inspect.calibrate.precisions.verdicts import Agreement, agreements, escapes, judge_defects
from edge_inspect.calibrate.thresholds.pairing import pair
from edge_inspect.calibrate.thresholds.threshold import tail_threshold
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.manifest import PRECISIONS, DefectsFound
from edge_inspect.edge.bundle.promise import promise_of
from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.engines.golden import check_golden
from edge_inspect.edge.engines.opening import open_checked_engine, open_engine
from edge_inspect.edge.engines.openvino import default_type
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import list_images, pixel_digest, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.evaluation import torch_predictor


@pytest.fixture
def good(data: Path) -> Path:
    return data / CATEGORY / "train" / "good"


def test_the_fp32_engine_gives_the_trained_models_maps(run: Path, bundle: Bundle, good: Path) -> None:
    import torch

    about, model = checkpoint.load(run)
    predict = torch_predictor(model, torch.device("cpu"), about.fit)
    engine = open_engine(bundle, "fp32")
    for path in list_images(good)[:3]:
        frame = read_image(path)
        anomaly = engine.infer(frame)
        wanted = predict(about.fit.apply(frame)[0])
        np.testing.assert_allclose(anomaly.values, wanted, atol=1e-4)
        assert anomaly.score == pytest.approx(wanted.max(), abs=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_reproduces_the_golden_frames(bundle: Bundle, precision: str) -> None:
    assert check_golden(bundle, open_engine(bundle, precision)) <= bundle.manifest.golden.tolerance[precision]


def test_int8_is_explicit_and_folded(bundle: Bundle) -> None:
    model = onnx.load_from_string(bundle.model("int8"))
    kinds = [node.op_type for node in model.graph.node]
    assert "QuantizeLinear" in kinds and "DequantizeLinear" in kinds
    assert "BatchNormalization" not in kinds
    assert model.opset_import[0].version == 17
    stored = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    weights = sum(len(tensor.raw_data) for tensor in stored)
    assert len(bundle.model("int8")) < len(bundle.model("fp32")) - 2.9 * weights, "a byte a weight, not four"


def test_fp16_is_strongly_typed_and_half_the_size(bundle: Bundle) -> None:
    model = onnx.load_from_string(bundle.model("fp16"))
    weights = [tensor for tensor in model.graph.initializer if tensor.name.endswith("weight_half")]
    assert weights and all(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in weights)
    assert [value.type.tensor_type.elem_type for value in model.graph.input] == [onnx.TensorProto.FLOAT]
    assert {value.type.tensor_type.elem_type for value in model.graph.output} == {onnx.TensorProto.FLOAT}
    assert model.opset_import[0].version == 17
    assert 0.45 < len(bundle.model("fp16")) / len(bundle.model("fp32")) < 0.6


def test_the_page_holds_every_precision_and_needs_nothing_else(bundle: Bundle) -> None:
    text = (bundle.path / "report" / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags["svg"] == len(bundle.manifest.precisions) + 2 and page.tags["img"] > 6
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in page.references)
    report = json.loads((bundle.path / "report" / "calibration.json").read_text())
    for precision, told in report["precisions"].items():
        assert f"Scores in {precision}" in text
        assert f"{told['threshold']:.4f}" in text and f"{told['latency_ms_median']:.1f}" in text
    assert report["int8_chosen"]["recipe"] in text
    assert "report/index.html" in bundle.manifest.files


def test_the_pages_policy_lets_its_own_script_run_and_no_other(bundle: Bundle) -> None:
    text = (bundle.path / "report" / "index.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in text and "default-src 'none'" in text


def test_the_slider_judges_every_picture_again(bundle: Bundle) -> None:
    text = (bundle.path / "report" / "index.html").read_text(encoding="utf-8")
    (told,) = re.findall(r'<script type="application/json" id="judged">(.*?)</script>', text)
    judged, report = json.loads(told), json.loads((bundle.path / "report" / "calibration.json").read_text())
    preferred = bundle.manifest.preferred
    limit = bundle.manifest.decision.thresholds[preferred].image
    assert judged["levels"] == sorted(judged["levels"])
    assert judged["levels"][judged["shipped"]] == pytest.approx(limit, abs=1e-6)
    assert judged["groups"][0]["scores"] == report["precisions"][preferred]["good_scores"]
    assert [group["scores"] for group in judged["groups"][1:]] == [each["scores"] for each in report["flaws"]["widths"]]
    assert text.count("data-score=") == sum(report["validation"].values())


def test_what_the_threshold_does_is_said_everywhere_alike(
    bundle: Bundle, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promise = promise_of(bundle.manifest)
    flaws = bundle.manifest.decision.flaws
    assert [each.width for each in flaws] == list(WIDTHS) and all(each.drawn == 48 for each in flaws)
    assert promise.sentences[0] == "Of good parts at most 53 in 100 will be rejected (90 % sure)."
    assert promise.sentences[1].startswith("Of synthetic flaws of 10 % of the part's width ")
    report = json.loads((bundle.path / "report" / "calibration.json").read_text())
    assert report["promise"] == {"warning": promise.warning, "sentences": promise.sentences}
    text = unescape((bundle.path / "report" / "index.html").read_text(encoding="utf-8"))
    assert main(["show", str(bundle_path)]) == 0
    said = capsys.readouterr().out
    for line in promise.lines:
        assert line in said and line in text
    assert not promise.warning or said.startswith(promise.warning)


def test_defects_found_are_counted_by_kind() -> None:
    found = found_defects(["cut", "bent", "cut"], [0.4, 0.9, 0.6], 0.5)
    assert found == [DefectsFound(kind="bent", images=1, found=1), DefectsFound(kind="cut", images=2, found=1)]


def test_the_report_says_what_openvino_would_do_by_itself(bundle: Bundle) -> None:
    text = (bundle.path / "report" / "index.html").read_text(encoding="utf-8")
    told = json.loads((bundle.path / "report" / "calibration.json").read_text())["own_default"]
    assert (told is None) == (default_type() == "f32") == ("OpenVINO left to itself" not in text)
    kept = told is not None and told["type"] == "bf16" and not told["broken"]
    assert ("bf16" in bundle.manifest.precisions) == kept, "also where INT8 is faster here"
    if told is not None:
        assert told["type"] == default_type() and told["latency_ms"] > 0 and told["int8_latency_ms"] > 0
        assert 0 < told["damage"]["score_noise"] < 1
        assert f"{told['latency_ms'] / told['int8_latency_ms']:.2f} times as fast" in text


def test_the_manifest_says_what_was_measured_and_in_which_order_engines_try(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.order is not None and manifest.order["openvino"][0] == manifest.preferred
    assert manifest.order["openvino"][-1] == manifest.order["tensorrt"][-1] == "fp32"
    assert "bf16" not in manifest.order["tensorrt"]
    measured = manifest.provenance["measured"]
    assert measured["int8"]["latency_ms"] > 0 and measured["fp32"]["latency_ms"] > 0
    assert {"lost_image_auroc", "lost_aupro"} <= measured["int8"].keys()


def test_the_threshold_comes_from_images_the_model_has_not_seen(run: Path, bundle: Bundle) -> None:
    about, _ = checkpoint.load(run)
    assert bundle.manifest.decision.held_out_images == len(about.held_out) == 4
    report = json.loads((bundle.path / "report" / "calibration.json").read_text())
    assert len(report["precisions"]["int8"]["good_scores"]) == 4
    assert report["precisions"]["int8"]["verdicts_as_fp32"]["images"] == 4
    made = bundle.manifest.provenance
    assert report["int8_chosen"]["recipe"].startswith(f"{made['int8_plan']}; clipped by {made['int8_method']}")
    whole = [each for each in (report["int8_chosen"], *report["int8_trials"]) if "left float" not in each["recipe"]]
    assert len(whole) == 5 + 3, "forms, and other ways to clip one"
    assert report["validation"] == {"good": 4, "flawed": 12}


def test_manifest_and_report_carry_what_each_threshold_promises(bundle: Bundle) -> None:
    decision = bundle.manifest.decision
    assert (decision.false_reject_rate, decision.images_wanted) == (0.05, 107)  # the most that 4 images resolve
    pictures = bundle.manifest.input.pictures
    assert pictures is not None and 0 < pictures.level_low < 255 and pictures.sharpness_low > 0
    report = json.loads((bundle.path / "report" / "calibration.json").read_text())
    for precision, limits in decision.thresholds.items():
        exact = report["precisions"]["fp32"]["good_scores"]
        fit = tail_threshold(exact, decision.false_reject_rate)
        if precision != "fp32":
            fit = pair(exact, report["precisions"][precision]["good_scores"]).moved(fit)
        assert limits.image == pytest.approx(fit.threshold, abs=1e-4)
        assert (
            (limits.rate_low, limits.rate_high) == (fit.rate_low, fit.rate_high) == (0, pytest.approx(0.527, abs=1e-3))
        )
        assert limits.image_low is not None and limits.image_high is not None
        assert limits.image_low <= limits.image <= limits.image_high
        assert limits.method == fit.method or precision != "fp32"
        assert limits.scores is not None
        shift = limits.image - decision.thresholds["fp32"].image
        assert limits.scores.mean == pytest.approx(np.mean(exact) + shift, abs=1e-4)
        assert limits.scores.deviation == pytest.approx(np.std(exact, ddof=1), abs=1e-4)
        told = report["precisions"][precision]
        assert (told["enough"], told["images_wanted"], told["rate_high"]) == (False, 107, limits.rate_high)


def test_escapes_have_an_interval_and_precisions_are_compared() -> None:
    found = escapes([0.1, 0.2, 0.5, 0.6], 0.5)
    assert (found.images, found.rejected, found.escape_rate) == (4, 1, 0.75)
    assert 0 < found.escape_low < 0.75 < found.escape_high < 1
    assert str(found).startswith("3 of 4 defective images escape, 75 %")
    assert escapes([1.0] * 10, 0.5).escape_low == 0
    agreed = agreements({"int8": [1.0, 2.0, 3.0], "fp32": [0.1, 0.2, 0.3]}, {"int8": 1.5, "fp32": 0.25})
    assert agreed == {"int8": Agreement(3, 2)}


def test_defects_are_judged_in_every_precision(bundle: Bundle, data: Path) -> None:
    frames = [read_image(path) for path in list_images(data / CATEGORY / "test" / "scratch")]
    said: list[str] = []
    # BF16 is among them where this processor is faster with it.
    precisions = bundle.manifest.precisions
    report, scores = judge_defects(bundle, frames, dict.fromkeys(precisions, 0.0), said.append)
    assert {name: len(each) for name, each in scores.items()} == dict.fromkeys(precisions, len(frames))
    assert report["fp32"]["rejected"] == report["int8"]["rejected"] == len(frames)
    assert report["int8"]["verdicts_as_fp32"] == {"images": len(frames), "same": len(frames)}
    others = [precision for precision in precisions if precision != "fp32"]
    assert [line.split()[0].rstrip(":") for line in said] == [*precisions, *others]


def test_images_all_trained_on_are_refused(
    run: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = set(checkpoint.load(run)[0].trained_on)
    folder = tmp_path / "seen"
    folder.mkdir()
    for path in list_images(good):
        if pixel_digest(read_image(path)) in trained:
            shutil.copy(path, folder)
    assert main(["bundle", str(run), "--good", str(folder), "--out", str(tmp_path / "b")]) == 2
    assert "trained on each of these 12 images" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--good", "{tmp}/nowhere"], "no such folder"),
        (["--good", "{tmp}/empty"], "holds no images"),
        (["--good", "{good}", "--false-reject-rate", "1.5"], "between 0 and 1"),
        (["--good", "{good}", "--budget-auroc", "-1"], "--budget-auroc -1.0 must be at least 0"),
        (["--good", "{good}", "--budget-verdicts", "-0.5"], "--budget-verdicts -0.5 must be at least 0"),
        (["--good", "{good}", "--budget-rank", "2"], "--budget-rank 2.0 must be from -1 to 1"),
        (["--good", "{good}", "--out", "{tmp}"], "already exists"),
        (["--good", "{good}", "--defects", "{tmp}/empty"], "holds no images"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    filled = [option.format(tmp=tmp_path, good=good) for option in options]
    assert main(["bundle", str(run), "--out", str(tmp_path / "b"), *filled]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert sorted(tmp_path.iterdir()) == before


def test_a_truncated_good_image_is_named(
    run: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "good"
    shutil.copytree(good, folder)
    image = list_images(folder)[0]
    image.write_bytes(image.read_bytes()[:2000])
    assert main(["bundle", str(run), "--good", str(folder), "--out", str(tmp_path / "b")]) == 2
    assert f"{image}: is cut off" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_verify_passes_a_good_bundle_and_names_a_changed_byte(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle_path, copy)
    assert main(["verify", str(copy), "--json"]) == 0
    assert {"int8", "fp16", "fp32"} <= set(json.loads(capsys.readouterr().out)["golden"]) <= set(PRECISIONS)
    model = copy / "model.int8.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert main(["verify", str(copy)]) == 1
    assert "model.int8.onnx was changed" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "nowhere")]) == 2


def test_an_engine_that_drifts_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    """The golden maps of another model: digests hold, the numbers do not."""
    import io

    import yaml

    copy = tmp_path / "copy"
    shutil.copytree(bundle_path, copy)
    with np.load(copy / "golden.npz") as arrays:
        changed = {**arrays, "maps": arrays["maps"] + 1.0}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **changed)
    (copy / "golden.npz").write_bytes(buffer.getvalue())
    manifest = yaml.safe_load((copy / "manifest.yaml").read_text())
    manifest["files"]["golden.npz"] = {
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "bytes": len(buffer.getvalue()),
    }
    (copy / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    drifting = open_bundle(copy)
    with pytest.raises(EngineError, match=r"does not reproduce the golden frames: a map value differs by 1,"):
        check_golden(drifting, open_engine(drifting, "fp32"))
    assert main(["verify", str(copy)]) == 1


def test_show_says_what_it_is(bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(bundle_path)]) == 0
    said = capsys.readouterr().out
    assert "rd for flange" in said and "96x96, crop" in said and "int8" in said
    assert "to reject 5 % of good parts, from 4 held-out; 107 would be enough" in said
    assert "will reject 0 % to 52.7 % of good parts (90 % confidence)" in said


def test_a_station_falls_back_to_the_next_precision_and_says_so(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    allowed = bundle.manifest.golden.tolerance
    tolerance = dict.fromkeys(allowed, -1.0) | {"fp32": allowed["fp32"]}
    golden = bundle.manifest.golden.model_copy(update={"tolerance": tolerance})
    manifest = bundle.manifest.model_copy(update={"golden": golden, "preferred": "int8", "order": None})
    strict = Bundle(bundle.path, manifest, bundle.digest, lambda name: (bundle.path / name).read_bytes())
    assert open_checked_engine(strict).precision == "fp32"
    assert "int8 openvino engine does not reproduce the golden frames" in caplog.text
    with pytest.raises(EngineError, match="int8 openvino engine"):
        open_checked_engine(strict, "int8")
