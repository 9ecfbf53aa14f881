"""The command as a whole: tasks on a real cluster of Ray, and the steps of one task without it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import taught_parts
import yaml

from edge_inspect.calibrate.signing import make_keys
from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.signature import read_public_key
from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.train.cli import main
from edge_inspect.train.products.child_run import StepFailed
from edge_inspect.train.products.product_file import ProductSettings
from edge_inspect.train.products.product_task import JUDGED, LOG, METRICS, RUN, Order, run_order, zipped
from edge_inspect.train.products.record import digest_of, read_record


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray, of the extra [ray]")
def test_a_mistake_ends_no_other_product(data: Path, tmp_path: Path, program: list[str]) -> None:
    """On a cluster of one machine; tests/benchmarks/products.py trains on two nodes and kills them."""
    results = tmp_path / "results"
    whole = {
        "out": str(results),
        "defaults": {"data": str(data), "category": CATEGORY},
        "products": {name: {"fit": {"model": "memory", "size": 64, "hold-out": 0.99}} for name in ("one", "two")},
    }
    file = tmp_path / "products.yaml"
    file.write_text(yaml.safe_dump(whole))
    command = [*program, "edge_inspect.train.cli", "products", str(file), "--cpus", "1"]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    for name in ("one", "two"):
        assert f"{name}: fit ended with status 2" in ended.stderr
        assert read_record(name, str(results)) is None
    assert "has 1 good images to learn from" in ended.stderr, "the last lines of the log"
    assert "edge-train: not made: one, two; the reasons are above" in ended.stderr
    assert "failed" in (results / "products.html").read_text()


def order_of(settings: dict[str, Any], name: str = "flange") -> Order:
    product = ProductSettings.model_validate(settings)
    return Order(name, digest_of(product), product, str(Path.cwd()))


def test_a_product_is_judged_signed_packed_and_not_made_again(
    data: Path, run: Path, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steps before are those of other tests: their results lie in the folder as after an interruption."""
    keys, results = make_keys(tmp_path / "keys"), tmp_path / "results"
    settings: dict[str, Any] = {"data": str(data), "category": CATEGORY, "sign": {"key": str(keys.private)}}
    order = order_of({**settings, "out": str(results)})
    work = Path(order.work)
    shutil.copytree(run, work / RUN)
    shutil.copytree(bundle_path, work / order.bundle)
    (work / METRICS).write_text(json.dumps({"image_auroc": 0.5}))
    told: list[str] = []
    made = run_order(order, lambda state, left: told.append(state))
    assert [*dict.fromkeys(told)] == ["judge", "sign"]
    assert (made.state, made.bundle) == ("done", f"bundles/{order.bundle}.zip")
    assert made.defects is not None
    assert made.defects[1] == 4
    assert made.false_rejects is not None
    assert made.false_rejects[1] == 4
    packed = open_bundle(results / str(made.bundle), [read_public_key(keys.public)])
    assert packed.digest == made.bundle_digest
    assert zipped(work / order.bundle) == (results / str(made.bundle)).read_bytes()
    assert (work / JUDGED).exists()

    file = tmp_path / "products.yaml"
    file.write_text(yaml.safe_dump({"out": str(results), "defaults": settings, "products": {"flange": None}}))
    capsys.readouterr()
    assert main(["products", str(file)]) == 0
    said = capsys.readouterr().err
    assert "1 products, 1 of them done already" in said
    assert "flange: done, image AUROC 0.5000, recall" in said
    assert "1 of 1 products finished" in (results / "products.html").read_text()


@pytest.mark.parametrize("chosen", [{}, {"repeatable": False}])
def test_no_clock_decides_a_bundle_unless_the_file_asks_for_it(
    data: Path, run: Path, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    settings = {"data": str(data), "category": CATEGORY, "out": str(tmp_path / "results")}
    wrong = {"calibration-images": "none"}  # so that the step fails when its command line is logged
    order = order_of({**settings, "bundle": {**chosen, **wrong}})
    shutil.copytree(run, Path(order.work, RUN))
    with pytest.raises(StepFailed):
        run_order(order, lambda state, left: None)
    (started,) = [line for line in Path(order.work, LOG).read_text().splitlines() if line.startswith("--- bundle:")]
    assert ("--repeatable" in started) == (not chosen)


def test_the_digest_is_that_of_data_and_options(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "good").mkdir(parents=True)
        (tmp_path / name / "good" / "1.png").write_bytes(b"one")
    (tmp_path / "areas.yaml").write_text("look: []")
    usual = {"data": str(tmp_path / "a"), "out": "results", "fit": {"look": str(tmp_path / "areas.yaml")}}

    def digest(**changed: Any) -> str:
        return digest_of(ProductSettings.model_validate({**usual, **changed}))

    first = digest()
    same = [digest(), digest(out="other"), digest(resources={"num_cpus": 2}), digest(data=str(tmp_path / "b"))]
    assert set(same) == {first}
    others = [digest(fit={**usual["fit"], "steps": 2}), digest(bundle={"seed": 1}), digest(category="good")]  # type: ignore[dict-item]
    (tmp_path / "areas.yaml").write_text("look: [1]")
    others.append(digest())
    (tmp_path / "areas.yaml").write_text("look: []")
    (tmp_path / "a/good/1.png").write_bytes(b"eno")
    others.append(digest())
    (tmp_path / "a/good/1.png").rename(tmp_path / "a/good/2.png")
    others.append(digest())
    assert len({first, *others}) == len(others) + 1


def test_a_taught_bundle_is_proposed_or_the_reason_is_said(tmp_path: Path) -> None:
    parent = taught_parts.write(tmp_path / "parent-1")
    good = [taught_parts.part(seed, "new") for seed in range(300, 306)]
    defects = [taught_parts.part(seed, "new", True) for seed in range(300, 302)]
    labels = taught_parts.label(tmp_path / "labels", good, defects)
    pytest.importorskip("fsspec")
    results = f"file://{tmp_path}/results"
    order = order_of({"out": results, "teach": {"bundle": str(parent.path), "labels": str(labels)}}, "taught")
    made = run_order(order, lambda state, left: None)
    assert made.state == "proposed"
    assert "no worse on the labelled parts (before: 6 of 6 good parts rejected" in made.note
    assert open_bundle(tmp_path / "results" / str(made.bundle)).digest == made.bundle_digest
    assert str(made.bundle).startswith("proposed/taught-")
    assert read_record("taught", results) == made

    known = taught_parts.label(tmp_path / "known", [taught_parts.part(seed) for seed in range(4)], [])
    options = {"what": "threshold"}
    teach = {"bundle": str(parent.path), "labels": str(known), "options": options}
    order = order_of({"out": results, "teach": teach}, "known")
    kept = run_order(order, lambda state, left: None)
    assert (kept.state, kept.bundle) == ("kept", None)
    assert "these labels change nothing" in kept.note
    assert [path.name for path in (tmp_path / "results/proposed").iterdir()] == [f"{Path(str(made.bundle)).name}"]
