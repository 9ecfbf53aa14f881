"""The command as a whole: tasks on a real cluster of Ray, and the steps of one task without it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import taught_parts
import yaml
from mosquitto import wait_until

from edge_inspect.calibrate.signing import make_keys
from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.signature import read_public_key
from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.train.cli import main
from edge_inspect.train.products.product_file import ProductSettings
from edge_inspect.train.products.product_task import JUDGED, METRICS, RUN, Order, run_order, zipped
from edge_inspect.train.products.record import digest_of, read_record

SMALLEST = {"model": "rd", "memory": "off", "teacher": "embedded", "size": 64, "batch": 4, "steps": 16}
PATIENCE = 420.0


def training_in(folder: Path) -> psutil.Process | None:
    """The process that trains below a folder."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "edge_inspect.train.products.child" in words and "fit" in words and str(folder) in " ".join(words):
            return process
    return None


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process if the block fails."""
    try:
        yield
    except BaseException:
        process.terminate()
        raise


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray, of the extra [ray]")
@pytest.mark.timeout(900)
def test_a_killed_worker_costs_only_what_was_not_saved_and_mistakes_end_no_other_product(
    data: Path, tmp_path: Path, program: list[str]
) -> None:
    results = tmp_path / "results"
    whole = {
        "out": str(results),
        "defaults": {"data": str(data), "category": CATEGORY, "resources": {"num_cpus": 0.5}},
        "products": {
            "few": {"fit": {"model": "memory", "size": 64, "hold-out": 0.99}},
            # Its training is killed and ends well; then there are no pictures to set a threshold with.
            "killed": {"fit": {**SMALLEST, "save-seconds": 0}, "bundle": {"good": str(tmp_path / "nothing")}},
        },
    }
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "notes.txt").touch()
    file = tmp_path / "products.yaml"
    file.write_text(yaml.safe_dump(whole))
    command = [*program, "edge_inspect.train.cli", "products", str(file), "--cpus", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running, ended(running):
        saved = "killed/*/run/resume.safetensors"
        wait_until(lambda: running.poll() is not None or list(results.glob(saved)), PATIENCE)
        assert running.poll() is None, running.communicate()
        child = training_in(results / "killed")
        assert child is not None
        worker = child.parent()
        assert worker is not None
        assert worker.pid != running.pid
        worker.kill()
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, PATIENCE)
        _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == 1, said
    (log,) = results.glob("killed/*/log.txt")
    told = log.read_text()
    assert told.count("--- fit") == 2
    assert "rd flange: resumes from the save after" in told
    assert (log.parent / RUN / "checkpoint.yaml").exists()
    assert "few: fit ended with status 2" in said
    assert "has 1 good images to learn from" in said, "the last lines of the log"
    assert "killed: bundle ended with status 2" in said
    assert "edge-train: not made: few, killed; the reasons are above" in said
    assert "failed" in (results / "products.html").read_text()
    assert read_record("killed", str(results)) is None


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
