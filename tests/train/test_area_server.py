"""The server of `edge-train regions`, asked as a browser, another program and a hostile page would."""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import psutil
import pytest
from areas import LAMP, PINS

from edge_inspect.edge.errors import ConfigurationError, EdgeInspectError, UsageError
from edge_inspect.edge.frame.images import read_image
from edge_inspect.train.area_drawing import read_drawing
from edge_inspect.train.area_editor import LARGEST_FILE, AreaEditor
from edge_inspect.train.area_server import EditorServer
from edge_inspect.train.cli import main

SIZE = (640, 480)
JSON = {"Content-Type": "application/json"}
BOW_TIE = {"kind": "look", "name": "tie", "polygon": [[0, 0], [10, 10], [10, 0], [0, 10]]}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks a server for what is behind its token, or whatever else a test wants."""

    def __init__(self, server: EditorServer, editor: AreaEditor) -> None:
        self.server, self.editor, self.out = server, editor, editor.out
        self.token = server.url.rstrip("/").rpartition("/")[2]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, host: str = ""
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True)
            wanted = {"Host": host or f"127.0.0.1:{self.server.port}", **(headers or {})}
            if body is not None:
                wanted.setdefault("Content-Length", str(len(body)))
            for name, value in wanted.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, name: str) -> Answer:
        return self.ask("GET", f"/{self.token}/{name}")

    def post(self, name: str, content: Any) -> Answer:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.ask("POST", f"/{self.token}/{name}", body, JSON)

    def save(self, *areas: Any, **more: Any) -> Answer:
        dumped = [area if isinstance(area, dict) else area.model_dump() for area in areas]
        return self.post("save", {"areas": dumped, "version": self.get("drawing").json["version"], **more})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "part.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8))
    return path


@pytest.fixture
def client(picture: Path, tmp_path: Path) -> Iterator[Client]:
    editor = AreaEditor(picture, tmp_path / "regions.yaml")
    server = EditorServer(editor)
    yield Client(server, editor)
    server.close()


def test_the_page_comes_with_all_that_it_names_and_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("")
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert {"main.js", "style.css"} <= set(named)
    waiting, seen, size = set(named) - {"data:,"}, set(), len(page.body)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        part = client.get(name)
        assert part.status == 200, name
        text = part.body.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\((?!#)", text), name
        waiting |= set(re.findall(r'from "\./([^"]+)"', text)) - seen
        size += len(part.body)
    assert len(seen) > 5 and size < 60_000


@pytest.mark.parametrize("name", ["", "main.js", "style.css", "picture", "drawing", "nothing"])
def test_every_answer_keeps_other_pages_out(client: Client, name: str) -> None:
    headers = client.get(name).headers
    assert (
        "default-src 'none'" in headers["Content-Security-Policy"]
        and "unsafe" not in headers["Content-Security-Policy"]
    )
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin" and headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"


def test_it_listens_on_loopback_alone(client: Client) -> None:
    assert client.server.url.startswith("http://127.0.0.1:")
    port = int(client.server.url.split(":")[2].split("/")[0])
    listening = [each.laddr for each in psutil.Process().net_connections() if each.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]


@pytest.mark.parametrize(
    "path", ["/", "/x", "/x/", "/x/picture", "/x/drawing", "//picture", "/%2e%2e/", "/{token}", "/{token}x/picture"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_without_the_token_nothing_is_given(client: Client, method: str, path: str) -> None:
    body = b'{"areas": []}' if method == "POST" else None
    answer = client.ask(method, path.format(token=client.token), body, JSON)
    assert answer.status == 403 and len(answer.body) < 200
    assert client.token.encode() not in answer.body


def test_tokens_are_not_the_same_twice(client: Client) -> None:
    other = EditorServer(AreaEditor(client.editor.picture, client.out))
    other.close()
    assert other.url.rpartition(":")[2].split("/")[1] != client.token and len(client.token) > 20


def test_a_person_reads_text_and_no_json(client: Client) -> None:
    answer = client.ask("GET", "/", headers={"Accept": "text/html,*/*"})
    assert answer.status == 403 and answer.body.decode().startswith("Open the whole link")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "[::1]:{port}",
        "0.0.0.0:{port}",
        "@127.0.0.1",
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(client: Client, host: str) -> None:
    host = host.format(port=client.server.port)
    assert client.ask("GET", f"/{client.token}/picture", host=host).status == 403
    assert client.ask("POST", f"/{client.token}/save", b'{"areas": []}', JSON, host).status == 403
    assert not client.out.exists()


@pytest.mark.parametrize("host", ["localhost:{port}", "LocalHost", "127.0.0.1:9"])
def test_a_forwarded_port_is_taken(client: Client, host: str) -> None:
    """As ssh -L forwards it: the name is loopback's, and the port may be another."""
    assert client.ask("GET", f"/{client.token}/", host=host.format(port=client.server.port)).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**JSON, "Origin": "http://evil.example"}, 403),
        ({**JSON, "Origin": "null"}, 403),
        ({**JSON, "Origin": "http://127.0.0.1:1"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
    ],
)
def test_what_a_page_of_another_site_can_send_is_refused(client: Client, headers: dict[str, str], status: int) -> None:
    answer = client.ask("POST", f"/{client.token}/save", b'{"areas": []}', headers)
    assert answer.status == status and answer.json["error"]
    assert not client.out.exists()


def test_the_own_page_may_save(client: Client) -> None:
    origin = {**JSON, "Origin": f"http://127.0.0.1:{client.server.port}"}
    assert client.ask("POST", f"/{client.token}/save", b'{"areas": []}', origin).status == 200


def pictures() -> dict[str, Any]:
    deep = np.linspace(0, 65535, 30 * 20).reshape(20, 30).astype(np.uint16)
    return {
        "grey.png": deep.astype(np.uint8),
        "deep.png": deep,
        "deep.tif": np.dstack([deep] * 3),
        "alpha.png": np.dstack([(deep >> 8).astype(np.uint8)] * 4),
        "photo.jpg": np.dstack([(deep >> 8).astype(np.uint8)] * 3),
        "plain.pgm": (deep >> 8).astype(np.uint8),
    }


@pytest.mark.parametrize("name", pictures())
def test_a_picture_is_shown_as_training_sees_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    cv2.imwrite(str(path), pictures()[name])
    editor = AreaEditor(path, tmp_path / "out.yaml")
    assert np.array_equal(cv2.imdecode(np.frombuffer(editor.png, np.uint8), cv2.IMREAD_COLOR), read_image(path))
    assert editor.load()["size"] == (30, 20)


def test_a_picture_of_12_bits_needs_to_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.linspace(0, 4095, 600).reshape(20, 30).astype(np.uint16))
    assert main(["regions", str(path), "--out", str(tmp_path / "out.yaml")]) == 2
    assert "--bits 12" in capsys.readouterr().err
    frame = cv2.imdecode(np.frombuffer(AreaEditor(path, tmp_path / "out.yaml", 12).png, np.uint8), cv2.IMREAD_COLOR)
    assert frame.max() == 255


def test_what_is_saved_is_read_and_loaded_again(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    answer = client.save(LAMP, PINS)
    assert answer.status == 200
    assert read_drawing(client.out, SIZE) == [PINS, LAMP]
    assert answer.json["file"] == str(client.out)
    command = f"edge-train fit --data DIR --out RUN --look {client.out} --ignore {client.out}"
    assert answer.json["command"] == command and command in capsys.readouterr().err
    loaded = client.get("drawing").json
    assert loaded["areas"] == [PINS.model_dump(), LAMP.model_dump()] and loaded["version"] == answer.json["version"]


def test_the_next_command_names_what_there_is(client: Client) -> None:
    assert "--ignore" not in client.save(PINS).json["command"]
    assert "--look" not in client.save(LAMP).json["command"]


@pytest.mark.parametrize(
    "wrong", [BOW_TIE, {**BOW_TIE, "polygon": [[0, 0], [5, 5]]}, {**BOW_TIE, "polygon": [[0, 0], [9, 0], [9, 999]]}]
)
def test_an_area_with_a_problem_is_told_and_the_file_stays(client: Client, wrong: dict[str, Any]) -> None:
    client.save(PINS)
    before = client.out.read_bytes()
    assert [p["area"] for p in client.post("problems", {"areas": [PINS.model_dump(), wrong]}).json["problems"]] == [1]
    answer = client.save(PINS, wrong, replace=True)
    assert answer.status == 422 and [problem["area"] for problem in answer.json["problems"]] == [1]
    assert client.out.read_bytes() == before


BROKEN = {
    "nothing": b"",
    "no json": b"{",
    "no utf-8": b'{"areas": [\xff]}',
    "another shape": b"[]",
    "no areas": b'{"version": ""}',
    "an unknown key": b'{"areas": [], "path": "/etc/passwd"}',
    "an unknown kind": b'{"areas": [{"kind": "see", "name": "a", "polygon": []}]}',
    "no whole number": b'{"areas": [{"kind": "look", "name": "a", "polygon": [[1.5, 2]]}]}',
    "no number": b'{"areas": [{"kind": "look", "name": "a", "polygon": [["1", 2]]}]}',
    "NaN": b'{"areas": [{"kind": "look", "name": "a", "polygon": [[NaN, 2]]}]}',
    "three coordinates": b'{"areas": [{"kind": "look", "name": "a", "polygon": [[1, 2, 3]]}]}',
    "no name": b'{"areas": [{"kind": "look", "polygon": []}]}',
    "too deep": b'{"areas": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge number": b'{"areas": [{"kind": "look", "name": "a", "polygon": [[' + b"9" * 100_000 + b", 2]]}]}",
    "too many points": b'{"areas": [{"kind": "look", "name": "a", "polygon": [' + b"[1, 2], " * 1000 + b"[1, 2]]}]}",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("name", ["save", "problems"])
def test_a_broken_request_gets_a_clear_answer_and_loses_nothing(client: Client, name: str, body: bytes) -> None:
    client.save(PINS)
    before = client.out.read_bytes()
    answer = client.post(name, body)
    assert answer.status == 400 and answer.json["error"].startswith("Not saved: the request cannot be read")
    assert len(answer.body) < 1000
    assert client.out.read_bytes() == before and client.save(PINS).status == 200


@pytest.mark.parametrize("size", [LARGEST_FILE + 1, 5 * LARGEST_FILE])
def test_a_request_that_is_too_large_is_refused(client: Client, size: int) -> None:
    answer = client.post("save", b" " * size)
    assert answer.status == 413 and "delete some points" in answer.json["error"]
    assert not client.out.exists()


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "9" * 5000, "٣"])
def test_a_length_that_is_none_is_refused(client: Client, length: str) -> None:
    value = length.encode().decode("latin-1")
    assert client.ask("POST", f"/{client.token}/save", b"", {**JSON, "Content-Length": value}).status == 411


def test_a_body_in_chunks_is_refused(client: Client) -> None:
    # Only the head is sent: the server closes before it has read the body, which would break the pipe now and then.
    chunked = {**JSON, "Transfer-Encoding": "chunked"}
    assert client.ask("POST", f"/{client.token}/save", None, chunked).status == 411


@pytest.mark.parametrize("name", ["picture", "drawing", "nothing", "main.js", "", "save/x", "../save"])
def test_nothing_else_can_be_posted_to(client: Client, name: str) -> None:
    assert client.post(name, {"areas": []}).status == 404
    assert not client.out.exists()


@pytest.mark.parametrize(
    "name", ["nothing", "index.html", "../area_editor.py", "..%2farea_editor.py", "save", "/etc/passwd"]
)
def test_no_other_file_can_be_read(client: Client, name: str) -> None:
    assert client.get(name).status == 404


def test_a_file_that_somebody_else_changed_is_saved_over_only_on_request(client: Client) -> None:
    version = client.save(PINS).json["version"]
    theirs = client.out.read_bytes().replace(b"pins", b"theirs")
    client.out.write_bytes(theirs)
    mine = {"areas": [LAMP.model_dump()], "version": version}
    answer = client.post("save", mine)
    assert answer.status == 409 and answer.json["changed"] and client.out.read_bytes() == theirs
    assert client.post("save", {**mine, "replace": True}).status == 200
    assert read_drawing(client.out, SIZE) == [LAMP]


def test_a_file_that_was_made_or_deleted_meanwhile_has_changed_too(client: Client) -> None:
    client.out.write_text("theirs")
    assert client.post("save", {"areas": [], "version": ""}).status == 409
    assert client.out.read_text() == "theirs"
    client.out.unlink()
    assert client.post("save", {"areas": [], "version": "0" * 64}).status == 409


def test_a_file_that_cannot_be_written_is_told_and_can_be_saved_later(picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    editor = AreaEditor(picture, folder / "regions.yaml")
    server = EditorServer(editor)
    client = Client(server, editor)
    try:
        folder.write_text("no folder")
        answer = client.post("save", {"areas": [PINS.model_dump()]})
        assert (
            answer.status == 500
            and "Not a directory" in answer.json["error"]
            and str(editor.out) in answer.json["error"]
        )
        folder.unlink()
        assert client.save(PINS).status == 200
        assert [path.name for path in folder.iterdir()] == ["regions.yaml"]
    finally:
        server.close()


@pytest.mark.parametrize("text", ["size: [1", "size: [1, 1]", "look: 3"])
def test_a_file_that_was_spoilt_meanwhile_is_told_when_the_page_is_loaded(client: Client, text: str) -> None:
    client.out.write_text(text)
    answer = client.get("drawing")
    assert answer.status == 409 and str(client.out) in answer.json["error"]
    assert client.out.read_text() == text


def test_a_folder_that_took_the_place_of_the_file_is_told(client: Client) -> None:
    client.out.mkdir()
    assert client.get("drawing").status == 409
    answer = client.post("save", {"areas": [PINS.model_dump()], "replace": True})
    assert answer.status == 500 and "Is a directory" in answer.json["error"]


def refusal(picture: Path, out: Path) -> EdgeInspectError:
    with pytest.raises(EdgeInspectError) as caught:
        AreaEditor(picture, out)
    return caught.value


def test_a_file_that_is_none_of_areas_is_not_opened(picture: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("site: plant\n")
    assert isinstance(refusal(picture, other), ConfigurationError)
    assert isinstance(refusal(picture, picture), ConfigurationError)
    error = refusal(picture, tmp_path)
    assert isinstance(error, UsageError) and "is a folder" in str(error) and "regions.yaml" in str(error)


@pytest.mark.parametrize(
    "option", [["--port", "0"], ["--port", "65536"], ["--port", "x"], ["--port", "-1"], ["--bits", "9"]]
)
def test_an_option_that_cannot_be_is_refused(picture: Path, tmp_path: Path, option: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["regions", str(picture), "--out", str(tmp_path / "out.yaml"), *option])
    assert caught.value.code == 2


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_what_is_no_picture_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "part.png"
    if content is not None:
        path.write_bytes(content)
    assert main(["regions", str(path), "--out", str(tmp_path / "out.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"edge-train: {path}: ")


def test_a_port_that_is_taken_is_named(client: Client, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(client.server.port)
    assert main(["regions", str(picture), "--out", str(client.out), "--port", port]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--port {port}: cannot be used" in line and "leave it out" in line


@pytest.mark.parametrize(
    ("display", "options", "opened"),
    [({"DISPLAY": ":9"}, [], True), ({}, [], False), ({"DISPLAY": ":9"}, ["--no-browser"], False)],
)
def test_a_browser_is_opened_where_there_is_a_display(
    program: list[str], picture: Path, tmp_path: Path, display: dict[str, str], options: list[str], opened: bool
) -> None:
    """Another program stands in for the browser, as the variable BROWSER allows, and writes down what it was given."""
    given, browser = tmp_path / "given", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {given}.part && mv {given}.part {given}\n')
    browser.chmod(0o755)
    without = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment = {**without, **display, "BROWSER": str(browser)}
    command = [
        *program,
        "edge_inspect.train.cli",
        "regions",
        str(picture),
        "--out",
        str(tmp_path / "out.yaml"),
        *options,
    ]
    with start(command, env=environment) as process:
        assert process.stderr is not None
        link = process.stderr.readline().split()[-1]
        while opened and not given.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert given.exists() is opened and (not opened or given.read_text().strip() == link)


def start(command: list[str], env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a program that heeds Ctrl-C, even if these tests run in the background, where a shell has it ignored."""
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, preexec_fn=heed)


def test_the_command_says_where_the_page_is_and_ends_at_ctrl_c(
    program: list[str], picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "regions.yaml"
    command = [*program, "edge_inspect.train.cli", "regions", str(picture), "--out", str(out), "--no-browser"]
    with start(command) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", process.stderr.readline())
        assert found is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        connection.request("POST", f"/{found[2]}/save", json.dumps({"areas": [PINS.model_dump()]}), JSON)
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"Next: edge-train fit --data DIR --out RUN --look {out}" in said and "Traceback" not in said
    assert said.rstrip().endswith(f"Ended. {out}: saved")
    assert read_drawing(out, SIZE) == [PINS]
