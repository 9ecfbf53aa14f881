"""The client in docs/opcua.md runs as it is printed, but for the names of server, user and station."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from documents import ROOT, codes
from opcua_parts import KEY, PATIENCE, PREFIX, Served
from page_server import PASSWORDS
from replier import Replier

DOCUMENT = ROOT / "docs" / "opcua.md"


def test_the_client_of_the_document_runs(served: Served, tmp_path: Path) -> None:
    (certificate,) = [code.text for code in codes(DOCUMENT) if code.text.startswith("openssl ")]
    subprocess.run(certificate, shell=True, cwd=tmp_path, check=True, capture_output=True)
    (program,) = [code.text for code in codes(DOCUMENT) if code.language == "python"]
    for printed, ours in {
        "opc.tcp://127.0.0.1:4840/edge-inspect": served.settings.listen.url,
        '"mes"': '"otto"',
        "the password of mes": PASSWORDS["otto"],
        "plant1/line1/station1": KEY,
    }.items():
        assert printed in program
        program = program.replace(printed, ours)
    (tmp_path / "client.py").write_text(program)
    command = [sys.executable, "client.py"]
    with Replier(served.broker, served.station):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("score: ") and lines[1].startswith("error, reason: [0, ")
    assert f"{PREFIX}.Inspection.Score 3:Score" in lines and f"{PREFIX}.Inspection.Trigger 3:Trigger" in lines
