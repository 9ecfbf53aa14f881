from __future__ import annotations

import argparse
import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from edge_inspect.edge import cli
from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import BundleError, CheckFailed, ConfigurationError, EdgeInspectError, UsageError
from edge_inspect.edge.program import add_json_option, run_command, say, seed, write_json


def parser_of(error: BaseException | None) -> argparse.ArgumentParser:
    def handler(_: argparse.Namespace) -> None:
        if error is not None:
            raise error

    parser = argparse.ArgumentParser(prog="program")
    parser.set_defaults(handler=handler)
    return parser


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (CheckFailed("it does not hold"), 1),
        (UsageError("it is wrong"), 2),
        (ConfigurationError("it is wrong"), 2),
        (BundleError("it is wrong"), 2),
        (EdgeInspectError("it is wrong"), 2),
    ],
)
def test_the_exit_status_says_how_it_went(
    error: EdgeInspectError | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(parser_of(error), []) == status
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == ("" if error is None else f"program: {error}\n")


def test_an_interruption_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(parser_of(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "\nprogram: interrupted\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(parser_of(ZeroDivisionError()), [])


def test_wrong_use_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_command(parser_of(None), ["--unknown"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --unknown" in capsys.readouterr().err


def test_what_is_said_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("heard")
    assert capsys.readouterr() == ("", "heard\n")


def test_json_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"name": "Flänge", "scores": [0.5]}, tmp_path / "new" / "result.json")
    text = (tmp_path / "new" / "result.json").read_bytes().decode()
    assert json.loads(text) == {"name": "Flänge", "scores": [0.5]}
    assert "Flänge" in text and text.endswith("}\n")
    assert capsys.readouterr().out == ""


def test_json_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"a": 1}, Path("-"))
    assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize("undefined", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have_is_null(undefined: float, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    value = {"auroc": undefined, "scores": [0.5, undefined], "by_kind": {"a": (1, undefined)}, "none": None, "ok": True}
    write_json(value, Path("-"))
    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == {
        "auroc": None,
        "scores": [0.5, None],
        "by_kind": {"a": [1, None]},
        "none": None,
        "ok": True,
    }
    assert value["auroc"] is undefined


def test_json_not_asked_for_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"a": 1}, None)
    assert capsys.readouterr().out == ""


def test_a_json_file_that_cannot_be_written_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"result\.json: cannot be written: "):
        write_json({}, tmp_path / "file" / "result.json")
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        write_json({}, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "target"), [([], None), (["--json"], Path("-")), (["--json", "result.json"], Path("result.json"))]
)
def test_the_json_option(arguments: list[str], target: Path | None) -> None:
    parser = argparse.ArgumentParser()
    add_json_option(parser)
    assert parser.parse_args(arguments).json == target


def test_a_users_mistake_is_one_line(tmp_path: Path, program: list[str]) -> None:
    done = subprocess.run(
        [*program, "edge_inspect.edge.cli", "bench", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"edge-inspect: {tmp_path}/none: no such bundle; make one with calibrate bundle\n"


def test_a_configurations_mistakes_are_all_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("site: plant\nlune: a\n")
    assert main(["check", "--config", str(config)]) == 2
    output = capsys.readouterr().err
    assert output.startswith(f"edge-inspect: {config}: 3 mistakes\n")
    assert "lune: unknown key" in output and "Traceback" not in output


def test_a_reader_that_has_gone_is_no_error(program: list[str]) -> None:
    code = """
import argparse, sys
from edge_inspect.edge.program import run_command
def handler(_):
    while True:
        print("line " * 1000)
parser = argparse.ArgumentParser()
parser.set_defaults(handler=handler)
sys.exit(run_command(parser, []))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_the_doctor_writes_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["python"]["found"] is True
    assert set(found["gpu"]) == {"found", "needed", "detail"}
    assert "python" in output.err


@pytest.mark.parametrize("arguments", [["bench", "x", "--frames", "0"], ["bench", "x", "--size", "wide"]])
def test_wrong_numbers_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert arguments[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("Unable to allocate 26.6 PiB"), "this machine has too little memory: Unable to allocate"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "/data/x: No space left on device"),
        (OSError(errno.EACCES, "Permission denied", "/etc/x"), "/etc/x: Permission denied"),
        (OSError(errno.ENOTDIR, "Not a directory", "file"), "file: Not a directory"),
        (OSError(errno.EROFS, "Read-only file system"), "a file or the output: Read-only file system"),
    ],
)
def test_what_the_machine_does_not_do_is_no_traceback(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(parser_of(error), []) == 2
    assert capsys.readouterr().err.startswith(f"program: {said}")


def test_a_file_that_the_command_line_names_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    parser = parser_of(FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/out/log"))
    parser.add_argument("--out", type=Path)
    assert run_command(parser, ["--out", "/proc/out"]) == 2
    assert capsys.readouterr().err == "program: /proc/out/log: No such file or directory\n"


def test_another_error_of_files_is_a_bug() -> None:
    with pytest.raises(FileNotFoundError):
        run_command(parser_of(FileNotFoundError(errno.ENOENT, "No such file or directory", "x")), [])


PRINTS = """
import argparse
from edge_inspect.edge.program import run_command
parser = argparse.ArgumentParser(prog="program")
parser.set_defaults(handler=lambda _: print("line\\n" * {}))
raise SystemExit(run_command(parser, []))
"""


@pytest.mark.parametrize("lines", [1, 100_000])
def test_an_output_that_takes_nothing_is_said(lines: int) -> None:
    command = [sys.executable, "-c", PRINTS.format(lines)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "program: a file or the output: No space left on device\n")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_goes_is_no_mistake(lines: int) -> None:
    command = [sys.executable, "-c", PRINTS.format(lines)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 0


@pytest.mark.parametrize("text", ["-1", "1.5", "nan", "4294967296", "", "\u0663", "9" * 30])
def test_a_seed_is_a_number_that_every_generator_takes(text: str) -> None:
    assert (seed("0"), seed("4294967295")) == (0, 4294967295)
    with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number from 0 to 4294967295"):
        seed(text)


def test_the_choices_of_the_command_line_are_those_of_the_code() -> None:
    """The command line writes them itself: their modules load packages that may be missing."""
    assert set(cli.PRECISIONS) == set(get_args(Precision))
