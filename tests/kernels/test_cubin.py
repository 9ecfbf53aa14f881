"""The kernels' machine code is compiled by the real nvcc, if there is one, kept, and compiled again if necessary."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.kernels import cubin
from edge_inspect.edge.kernels.cubin import TOOLKIT, load_cubin

NVCC = shutil.which("nvcc") or shutil.which("nvcc", path=TOOLKIT)
KERNELS = ("head", "resize", "preprocess_float16", "arrange_float32", "distance_nhwc_float16")


@pytest.mark.skipif(NVCC is None, reason="NO NVCC: the GPU kernels are NOT compiled; apt install nvidia-cuda-toolkit")
def test_nvcc_makes_one_module_of_all_kernels(tmp_path: Path) -> None:
    code = load_cubin((8, 7), tmp_path / "engines")
    assert code.startswith(b"\x7fELF") and all(f".text.{name}\0".encode() in code for name in KERNELS)
    (kept,) = (tmp_path / "engines").iterdir()
    assert kept.read_bytes() == code and kept.name.startswith("kernels-sm_87-")


@pytest.fixture
def nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for nvcc that reports a version, logs its runs and writes its version as output."""
    program = tmp_path / "bin" / "nvcc"
    program.parent.mkdir()
    write_nvcc(program, "release 12.6")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def write_nvcc(program: Path, version: str, failing: str = "") -> None:
    program.write_text(
        f"""#!/bin/sh
[ "$1" = --version ] && echo "{version}" && exit 0
[ -n "{failing}" ] && echo "{failing}" >&2 && exit 1
echo "$*" >> {program}.log
while [ "$1" != -o ]; do shift; done
echo "{version}" > "$2"
"""
    )
    program.chmod(0o755)


def runs(nvcc: Path) -> list[str]:
    log = nvcc.with_name("nvcc.log")
    return log.read_text().splitlines() if log.exists() else []


def test_it_is_compiled_once_for_each_gpu_release_and_source(
    nvcc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "engines"
    assert load_cubin((8, 7), folder) == load_cubin((8, 7), folder) == b"release 12.6\n"
    assert len(runs(nvcc)) == 1 and "-arch=sm_87" in runs(nvcc)[0]
    assert caplog.text.count("compiling the GPU kernels for sm_87") == 1
    load_cubin((9, 0), folder)
    write_nvcc(nvcc, "release 13.0")
    assert load_cubin((8, 7), folder) == b"release 13.0\n"
    sources = tmp_path / "kernels"
    shutil.copytree(cubin.FOLDER, sources)
    (sources / "head.cuh").write_text("// changed\n")
    monkeypatch.setattr(cubin, "FOLDER", sources)
    load_cubin((8, 7), folder)
    assert len(runs(nvcc)) == len(list(folder.iterdir())) == 4


def test_where_nvcc_fails_its_words_are_said_and_nothing_is_kept(nvcc: Path, tmp_path: Path) -> None:
    write_nvcc(nvcc, "release 11.4", failing="nvcc fatal: Unsupported gpu architecture 'sm_110'")
    with pytest.raises(EngineError, match=r"for sm_110: nvcc fatal: Unsupported gpu architecture.*CUDA of this GPU"):
        load_cubin((11, 0), tmp_path / "engines")
    assert not (tmp_path / "engines").exists()


def test_without_nvcc_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cubin, "TOOLKIT", str(tmp_path))
    with pytest.raises(EngineError, match="install JetPack's cuda-toolkit"):
        load_cubin((8, 7), tmp_path)


def test_a_folder_that_cannot_be_written_is_named(nvcc: Path, tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file")
    with pytest.raises(EngineError, match=r"engines/kernels-sm_87-.* cannot be written to this file: .*engine\.cache"):
        load_cubin((8, 7), tmp_path / "engines")
