"""`calibrate teach`, from labelled parts to the next bundle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import taught_parts

from edge_inspect.calibrate.cli import main
from edge_inspect.calibrate.signing import make_keys
from edge_inspect.calibrate.verification import verify
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.manifest import PARENT, TAUGHT
from edge_inspect.edge.bundle.signature import read_public_key
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import BundleReference, FrameSize, Verdict, Word
from edge_inspect.edge.labels.label import Label
from edge_inspect.edge.labels.store import LabelStore


def run(*arguments: object) -> int:
    return main(["teach", *map(str, arguments)])


def rejected(bundle: Bundle, lot: taught_parts.Lot, *, defect: bool) -> float:
    """The share of 20 parts that nobody has labelled."""
    frames = [taught_parts.part(seed, lot, defect) for seed in range(500, 520)]
    limit = bundle.manifest.decision.thresholds["fp32"].image
    return float(np.mean([score > limit for score in taught_parts.scores(bundle, frames)]))


@pytest.mark.parametrize("kind", ["usual", "student", "tiles", "areas"])
def test_a_new_lot_passes_and_defects_do_not(
    bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path, kind: str
) -> None:
    parent = bundle_of(kind)
    assert rejected(parent, "new", defect=False) > 0.8
    assert run(parent.path, "--labels", labels, "--out", tmp_path / "next", "--json", tmp_path / "j") == 0
    made, told = open_bundle(tmp_path / "next"), json.loads((tmp_path / "j").read_text())
    assert rejected(made, "new", defect=False) <= 0.35
    assert rejected(made, "old", defect=False) <= rejected(parent, "old", defect=False)
    for lot in ("old", "new"):
        assert rejected(made, lot, defect=True) >= rejected(parent, lot, defect=True) - 0.2  # type: ignore[arg-type]
    assert told["prototypes"] == {"before": 64, "after": 80}
    assert told["labels"] == {"good": 12, "defect": 4, "unsure": 0}
    assert len(told["changes"]["now_accepted"]) >= 6 and told["changes"]["now_rejected"] == []
    assert told["digest"] == made.digest and told["threshold"]["after"] >= told["threshold"]["before"]
    assert any("No part that the bundle before accepted is rejected" in each for each in told["promise"])
    assert made.manifest.provenance[PARENT] == {"name": parent.manifest.name, "digest": parent.digest}
    verify(made.path, [], "openvino").raise_failed()


def test_every_precision_learns(bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path) -> None:
    parent = bundle_of("memory")
    assert run(parent.path, "--labels", labels, "--out", tmp_path / "next") == 0
    made = open_bundle(tmp_path / "next")
    old, new = (each.manifest.decision.thresholds for each in (parent, made))
    moves = {round(new[each].image - old[each].image, 6) for each in made.manifest.precisions}
    assert len(moves) == 1, "thresholds are as far apart as in the parent"
    frames = [taught_parts.part(seed, "new") for seed in range(520, 530)]
    for precision in made.manifest.precisions:
        before, after = (taught_parts.scores(each, frames, precision) for each in (parent, made))
        # INT8's steps are those of the old lot, so it follows less closely.
        least = 0.6 if precision == "int8" else 0.2
        assert np.mean(np.array(after) > new[precision].image) <= least
        assert np.mean(np.array(before) > old[precision].image) == 1.0


def test_only_the_threshold(bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path) -> None:
    parent = bundle_of("memory")
    assert run(parent.path, "--labels", labels, "--out", tmp_path / "next", "--what", "threshold") == 0
    made = open_bundle(tmp_path / "next")
    models = [name for name in parent.manifest.files if name.endswith(".onnx")]
    assert models and all(made.file(name) == parent.file(name) for name in models)
    assert made.manifest.decision.thresholds["fp32"].image > parent.manifest.decision.thresholds["fp32"].image
    assert rejected(made, "new", defect=False) <= 0.2
    lesson = made.manifest.provenance[TAUGHT]
    assert lesson["what"] == "threshold" and lesson["prototypes"] is None


def test_a_second_lesson_counts_only_new_pictures(
    bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle_of("memory").path, "--labels", labels, "--out", tmp_path / "two") == 0
    capsys.readouterr()
    assert run(tmp_path / "two", "--labels", labels, "--out", tmp_path / "three", "--prototypes", 16) in (0, 2)
    if (tmp_path / "three").exists():
        made = open_bundle(tmp_path / "three").manifest
        assert made.provenance[TAUGHT]["scored"] == 0, "the memory knows all these pictures"
        known = open_bundle(tmp_path / "two").manifest.decision.thresholds
        assert made.decision.thresholds["fp32"].image == known["fp32"].image
    else:
        assert "change nothing" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [300, 309])
def test_a_defect_that_also_is_labelled_good_stays_visible(
    bundle_of: Callable[[str], Bundle], tmp_path: Path, seed: int
) -> None:
    """Nearly the same picture of a blot is labelled good by mistake."""
    parent, blot = bundle_of("memory"), taught_parts.part(seed, "old", True)
    twin = blot.copy()
    twin[0, 0] = 0
    good = [*(taught_parts.part(each, "new") for each in range(300, 306)), twin]
    given = taught_parts.label(tmp_path / "labels", good, [blot])
    assert (
        run(parent.path, "--labels", given, "--prototypes", 64, "--out", tmp_path / "next", "--json", tmp_path / "j")
        == 0
    )
    made, told = open_bundle(tmp_path / "next"), json.loads((tmp_path / "j").read_text())
    limit = made.manifest.decision.thresholds["fp32"].image
    assert taught_parts.scores(made, [blot])[0] > limit
    found = {each["id"]: each["why"] for each in told["contradictions"]}
    assert "good/006.png" in found["defects/blot/000.png"] and "good/006.png" in found


def test_a_picture_labelled_both_ways_is_left_out(
    bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path
) -> None:
    given = tmp_path / "labels"
    shutil.copytree(labels, given)
    image = cv2.imread(str(given / "good" / "003.png"))
    cv2.imwrite(str(given / "defects" / "again.bmp"), image)
    assert run(bundle_of("memory").path, "--labels", given, "--out", tmp_path / "next", "--json", tmp_path / "j") == 0
    told = json.loads((tmp_path / "j").read_text())
    assert told["labels"] == {"good": 11, "defect": 4, "unsure": 0}
    assert [each["id"] for each in told["contradictions"]][0] == "defects/again.bmp"


def store(folder: Path, station: str, words: dict[int, Word | None], recipe: str | None = None) -> None:
    """Writes labels of parts of the new lot, by their seeds."""
    with LabelStore(folder) as labels:
        for seed, word in words.items():
            frame = taught_parts.part(seed, "new", word == "defect")
            verdict = Verdict(
                boot_id="b",
                sequence=seed,
                captured_at=utc_now(),
                decided_at=utc_now(),
                ok=False,
                score=9.0,
                threshold=1.0,
                bundle=BundleReference(name="memory-1", digest="d"),
                recipe=recipe,
                precision="fp32",
                engine="openvino",
                latency_ms=1.0,
                frame=FrameSize(width=taught_parts.WIDTH, height=taught_parts.HEIGHT),
            )
            label = Label(by="emma", word=word, site="s", line="l", station=station, verdict=verdict)
            _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 92])
            labels.add(label, data.tobytes())


def test_labels_come_from_the_store_of_a_page(bundle_of: Callable[[str], Bundle], tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    store(folder, "a", {**dict.fromkeys(range(300, 310), "good"), 310: "defect", 311: "unsure", 312: None})
    store(folder, "b", {320: "good"})
    parent = bundle_of("memory")
    arguments = (parent.path, "--labels", folder, "--station", "s/l/a", "--json", tmp_path / "j")
    assert run(*arguments, "--out", tmp_path / "next") == 0
    told = json.loads((tmp_path / "j").read_text())
    assert told["labels"] == {"good": 10, "defect": 1, "unsure": 1}
    with LabelStore(folder, read_only=True) as labels:
        ids = {label.verdict.id for label in labels.current("s/l/a") if label.word == "good"}
    assert set(told["changes"]["now_accepted"]) <= ids and len(told["changes"]["now_accepted"]) >= 8
    assert rejected(open_bundle(tmp_path / "next"), "new", defect=False) <= 0.2


def test_labels_of_another_recipe_are_left_out(bundle_of: Callable[[str], Bundle], tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    store(folder, "a", dict.fromkeys(range(300, 310), "good"), "disc")
    store(folder, "a", {310: "good", 311: "defect", 312: "unsure"}, "flange")
    store(folder, "a", {313: "good"})
    for number, (recipe, expected) in enumerate([(["--recipe", "disc"], (10, 0, 0)), ([], (12, 1, 1))]):
        answer = tmp_path / f"{number}.json"
        arguments = (bundle_of("memory").path, "--labels", folder, "--out", tmp_path / f"next-{number}", *recipe)
        assert run(*arguments, "--json", answer) == 0
        assert json.loads(answer.read_text())["labels"] == dict(
            zip(("good", "defect", "unsure"), expected, strict=True)
        )


def test_it_is_signed(bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys")
    out = tmp_path / "next"
    assert run(bundle_of("memory").path, "--labels", labels, "--out", out, "--key", keys.private) == 0
    signed = open_bundle(out, [read_public_key(keys.public)])
    assert signed.signed_by is not None and sorted(each.name for each in tmp_path.iterdir()) == ["keys", "next"]


def test_show_and_diff_speak_of_it(
    bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = bundle_of("memory")
    assert run(parent.path, "--labels", labels, "--out", tmp_path / "next") == 0
    capsys.readouterr()
    assert main(["show", str(tmp_path / "next")]) == 0
    shown = capsys.readouterr().out
    assert "12 parts labelled good" in shown and parent.digest[:16] in shown and "grew to 80" in shown
    assert main(["diff", str(parent.path), str(tmp_path / "next")]) == 0
    assert "provenance.teach.labels.good" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--what", "student"], "needs --run RUN"),
        (["--what", "student", "--run", "/nowhere"], "and --good DIR"),
        (["--run", "/nowhere"], "--run belongs to --what student"),
        (["--new-run", "/nowhere"], "--new-run belongs to --what student"),
        (["--labels", "/nowhere"], "no such folder"),
        (["--prototypes", "0"], "at least 1"),
        (["--prototypes", "5", "--what", "threshold"], "belongs to"),
        (["--station", "a/b/c"], "no label store"),
        (["--recipe", "disc"], "no label store"),
        (["--key", "/nowhere.pem"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    bundle_of: Callable[[str], Bundle],
    labels: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    why: str,
) -> None:
    assert run(bundle_of("memory").path, "--labels", labels, "--out", tmp_path / "next", *options) == 2
    error = capsys.readouterr().err.splitlines()
    assert why in error[-1] and "Traceback" not in "".join(error)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path) -> None:
    (tmp_path / "next").mkdir()
    assert run(bundle_of("memory").path, "--labels", labels, "--out", tmp_path / "next") == 2
    assert list((tmp_path / "next").iterdir()) == []


@pytest.mark.parametrize(
    ("what", "missing"), [("threshold", ("torch", "onnx", "scipy", "tqdm")), ("memory", ("torch", "tqdm"))]
)
def test_a_box_needs_no_torch(
    bundle_of: Callable[[str], Bundle], labels: Path, tmp_path: Path, what: str, missing: tuple[str, ...]
) -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r})); from edge_inspect.calibrate.cli import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["teach", str(bundle_of("memory").path), "--labels", str(labels), "--out", str(tmp_path / "next")]
    done = subprocess.run([sys.executable, "-c", program, *arguments, "--what", what], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
