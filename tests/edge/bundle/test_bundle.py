from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limited import run_limited
from small_bundle import contents, fields, write

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle, write_bundle
from edge_inspect.edge.errors import BundleError
from edge_inspect.edge.frame.fit import Fit


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test changes."""
    return write(tmp_path_factory.mktemp("whole") / "flange").path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """One that a test may change."""
    return Path(shutil.copytree(whole, tmp_path / "flange"))


def pack(folder: Path, archive: Path, top: str = "", compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(archive, "w", compression) as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, f"{top}{path.relative_to(folder)}")
    return archive


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edits the manifest, which carries no digest of its own."""
    manifest = yaml.safe_load((folder / "manifest.yaml").read_bytes())
    edit(manifest)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))


def said(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def check_whole(bundle: Bundle) -> None:
    assert bundle.manifest.name == "flänge-v1"
    assert bundle.fit == Fit(64, 32)
    assert bundle.model("int8") == contents()["model.int8.onnx"]
    first, second = bundle.golden()
    assert (first.score, second.score) == (0.125, 0.75)
    assert first.frame.shape == (48, 80, 3) and first.frame.dtype == np.uint8
    assert second.map.shape == (32, 64) and second.map.dtype == np.float32


def test_what_was_written_is_opened(tmp_path: Path) -> None:
    written = write(tmp_path / "above" / "flange")
    check_whole(written)
    opened = open_bundle(tmp_path / "above" / "flange")
    check_whole(opened)
    assert opened.digest == written.digest
    assert opened.manifest == written.manifest
    assert opened.model_path("fp32") == tmp_path / "above" / "flange" / "model.fp32.onnx"


@pytest.mark.parametrize("top", ["", "flange/", "some/where/flange-v1/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_the_same_bundle(folder: Path, tmp_path: Path, top: str, compression: int) -> None:
    opened = open_bundle(pack(folder, tmp_path / "flange.zip", top, compression))
    check_whole(opened)
    assert opened.digest == open_bundle(folder).digest
    assert opened.model_path("fp32") is None


def test_a_precision_it_has_not_is_refused(whole: Path) -> None:
    with pytest.raises(BundleError, match="has no fp16 model; it has int8, fp32"):
        open_bundle(whole).model("fp16")


@pytest.mark.parametrize("name", sorted(contents()))
def test_one_changed_byte_is_found(folder: Path, tmp_path: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    assert f"{name} was changed after the bundle was made" in said(folder)
    assert f"{name} was changed after the bundle was made" in said(pack(folder, tmp_path / "flange.zip", "flange/"))


@pytest.mark.parametrize("name", sorted(contents()))
def test_a_missing_file_is_found(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name} is missing or cannot be read; copy the bundle again" in said(folder)
    assert f"{name} is missing or cannot be read; copy the bundle again" in said(pack(folder, tmp_path / "flange.zip"))


def test_a_folder_without_a_manifest_is_no_bundle(folder: Path, tmp_path: Path) -> None:
    (folder / "manifest.yaml").unlink()
    assert "holds no manifest.yaml; it is no bundle, or an incomplete copy of one" in said(folder)
    assert "holds no manifest.yaml" in said(pack(folder, tmp_path / "flange.zip"))


def test_what_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    assert "no such bundle; make one with calibrate bundle" in said(tmp_path / "none")


def test_a_file_that_is_no_zip_is_refused(folder: Path) -> None:
    assert "neither the folder of a bundle nor its .zip" in said(folder / "model.fp32.onnx")


def test_an_empty_zip_is_no_bundle(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "flange.zip", "w").close()
    assert "holds no manifest.yaml" in said(tmp_path / "flange.zip")


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_another_format_is_refused(folder: Path, version: object) -> None:
    change(folder, lambda manifest: manifest.update(format=version))
    assert f"manifest.yaml has format {version!r}; this program reads format 1" in said(folder)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"a: [", id="open bracket"),
        pytest.param(b"\xff\xfe\xfa", id="no text"),
        pytest.param(b"a: 1\n---\na: 1", id="two documents"),
        pytest.param(b"a: !!timestamp no", id="no time"),
        pytest.param(b"a: !!int ''", id="no number"),
        pytest.param(b"[" * 500, id="deep"),
        pytest.param(b"\x00", id="zero byte"),
        pytest.param(b"- !!python/name:os.system", id="python tag"),
    ],
)
def test_a_manifest_that_is_no_yaml_is_refused(folder: Path, text: bytes) -> None:
    (folder / "manifest.yaml").write_bytes(text)
    assert "manifest.yaml is no YAML" in said(folder)


def test_a_manifest_that_says_something_twice_is_refused(folder: Path) -> None:
    manifest = folder / "manifest.yaml"
    manifest.write_text(manifest.read_text() + "preferred: fp32\n")
    assert "manifest.yaml: preferred: is given twice, lines " in said(folder)


@pytest.mark.parametrize("text", ["", "5", "[1, 2]", "format", "format: 1\n1: 2\n", "format: 1\n"])
def test_a_manifest_of_another_kind_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.yaml").write_text(text)
    assert "manifest.yaml" in said(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(shape=3), "shape: Extra inputs are not permitted"),
        (lambda m: m["decision"].update(sharpness=3), "decision.sharpness: Extra inputs"),
        (lambda m: m.pop("decision"), "decision: Field required"),
        (lambda m: m["decision"].update(sigma=0), "decision.sigma: Input should be greater than 0"),
        (lambda m: m["decision"]["thresholds"]["fp32"].update(image="high"), "thresholds.fp32.image: Input should be"),
        (
            lambda m: m["decision"]["thresholds"]["fp32"].update(image=float("nan")),
            "fp32.image: Input should be a finite",
        ),
        (lambda m: m["decision"]["thresholds"].pop("int8"), "thresholds or tolerance missing for int8"),
        (lambda m: m["golden"]["tolerance"].pop("fp32"), "thresholds or tolerance missing for fp32"),
        (lambda m: m.update(preferred="fp16"), "missing for fp16"),
        (lambda m: m.update(order={"openvino": ["fp16"]}), "order: openvino must name precisions of the bundle"),
        (lambda m: m.update(order={"tensorrt": []}), "order: tensorrt must name precisions of the bundle"),
        (
            lambda m: m.update(order={"openvino": ["int8", "int8"]}),
            "order: openvino must name precisions of the bundle",
        ),
        (lambda m: m.update(order={"onnxruntime": ["int8"]}), "order.onnxruntime"),
        (lambda m: m.update(precisions=[]), "precisions: List should have at least 1"),
        (lambda m: m["outputs"].update(student=["s1", "s2"]), "teacher and student must name as many outputs"),
        (lambda m: m["files"].pop("golden.npz"), "files: golden.npz missing"),
        (lambda m: m["files"]["golden.npz"].update(sha256="X" * 64), "sha256: String should match pattern"),
        (lambda m: m["input"]["fit"].update(width=100), "fit: input width 100 must be a positive multiple of 32"),
        (lambda m: m["input"]["fit"].update(width=64.0), "fit: input width 64.0 must be a positive multiple of 32"),
        (lambda m: m["input"]["fit"].update(width="64"), "fit: input width 64 must be"),
        (lambda m: m["input"]["fit"].update(mode="squash"), "fit 'squash' is unknown; there are stretch, pad, crop"),
        (lambda m: m["input"]["fit"].update(region=[1, 2]), "must be four whole numbers"),
        (lambda m: m["input"]["fit"].update(tiles=[3, 1]), "fit: fit stretch has one tile, not 3x1"),
        (lambda m: m["input"]["fit"].update(mode="tile", tiles=[3]), "fit: tiles (3,) must be two positive whole"),
        (lambda m: m["input"]["fit"].update(mode="tile", tiles=3), "input: Value error, fit: "),
        (lambda m: m["input"]["fit"].update(mode="tile", tiles=[1, 2], overlap=17), "fit: overlap 17 must be at most"),
        (lambda m: m["input"]["fit"].update(region=5), "input: Value error, fit: "),
        (lambda m: m["input"]["fit"].update(colour=True), "input: Value error, fit: "),
        (lambda m: m["input"].update(fit=3), "input.fit: Input should be a valid dictionary"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_key(
    folder: Path, edit: Callable[[dict[str, Any]], Any], message: str
) -> None:
    change(folder, edit)
    assert message in said(folder)


@pytest.mark.parametrize(
    "name", ["../secret", "report/../../secret", "/etc/hostname", "zero\0byte", "\ud800", ".", "report"]
)
def test_files_outside_the_bundle_and_no_files_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"")
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    change(folder, lambda manifest: manifest["files"].update({name: {"sha256": digest, "bytes": 0}}))
    message = said(folder)
    if "secret" in name or name.startswith("/"):
        assert f"names a file outside the bundle: {name}" in message
    with pytest.raises(BundleError):
        open_bundle(pack(folder, tmp_path / "flange.zip"))


def test_a_bundle_that_is_there_is_left_alone(folder: Path) -> None:
    before = (folder / "manifest.yaml").read_bytes()
    with pytest.raises(BundleError, match="already exists; give another --out or remove it"):
        write_bundle(folder, {**fields(), "name": "another"}, contents())
    assert (folder / "manifest.yaml").read_bytes() == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_bundle_on_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    message = run_limited(
        """
from edge_inspect.edge.bundle.bundle import write_bundle
from edge_inspect.edge.errors import BundleError
from small_bundle import contents, fields
full(2000)
try:
    write_bundle(Path(sys.argv[1]), fields(), contents() | {"report/large.png": bytes(100_000)})
except BundleError as error:
    print(error)
""",
        str(tmp_path / "flange"),
    )
    assert message == f"{tmp_path / 'flange'}: cannot be written: File too large; nothing was left behind"
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_utf8_in_every_locale(tmp_path: Path) -> None:
    name = run_limited(
        """
import _locale, locale
_locale.getencoding = locale.getpreferredencoding = lambda *_: "latin-1"
from small_bundle import write
print(ascii(write(Path(sys.argv[1])).manifest.name))
""",
        str(tmp_path / "flange"),
    )
    assert name == ascii("flänge-v1")


any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a manifest with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(value, key), *places(inner)]]


fast = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.data())
@fast
def test_a_manifest_with_any_value_anywhere_is_opened_or_refused(folder: Path, data: st.DataObject) -> None:
    manifest = {"format": 1, **fields(), "files": {name: {"sha256": "0" * 64, "bytes": 1} for name in contents()}}
    container, key = data.draw(st.sampled_from(places(manifest)))
    container[key] = data.draw(any_value)
    (folder / "manifest.yaml").write_bytes(yaml.safe_dump(manifest).encode("utf-8", "surrogatepass"))
    said(folder)


@given(st.binary(max_size=60) | st.text(alphabet="[]{}:-!&*#?|>'\"%@` \n\tformat10", max_size=40).map(str.encode))
@fast
def test_any_bytes_as_manifest_are_refused(folder: Path, text: bytes) -> None:
    (folder / "manifest.yaml").write_bytes(text)
    said(folder)


@given(st.integers(0, 10**9), st.integers(1, 255), st.booleans())
@fast
def test_a_changed_manifest_is_opened_or_refused(folder: Path, whole: Path, at: int, flip: int, cut: bool) -> None:
    text = bytearray((whole / "manifest.yaml").read_bytes())
    at %= len(text)
    text[at] ^= flip
    (folder / "manifest.yaml").write_bytes(text[:at] if cut else text)
    try:
        open_bundle(folder)
    except BundleError as error:
        assert str(folder) in str(error)


@given(st.integers(0, 10**9), st.integers(1, 255), st.booleans())
@settings(fast, max_examples=60)
def test_a_zip_with_a_changed_byte_or_cut_off_is_whole_or_refused(
    whole: Path, tmp_path: Path, at: int, flip: int, cut: bool
) -> None:
    archive = tmp_path / "flange.zip"
    data = bytearray(pack(whole, archive).read_bytes())
    at %= len(data)
    data[at] ^= flip
    archive.write_bytes(data[:at] if cut else data)
    try:
        opened = open_bundle(archive)
    except BundleError as error:
        assert str(archive) in str(error)
    else:
        check_whole(opened)


def test_golden_frames_are_never_unpickled(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.savez(file, frame0=np.array([{}], dtype=object), scores=np.zeros(1), maps=np.zeros((1, 32, 64), np.float32))
    written = write_bundle(tmp_path / "flange", fields(), contents() | {"golden.npz": file.getvalue()})
    with pytest.raises(BundleError, match="allow_pickle=False"):
        written.golden()


def test_a_bundle_may_be_moved(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    check_whole(open_bundle(moved))
