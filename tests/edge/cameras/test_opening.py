from __future__ import annotations

import pytest

from edge_inspect.edge.cameras.opening import parse_uri
from edge_inspect.edge.errors import CameraError


def test_every_option_is_read() -> None:
    scheme, address = parse_uri(
        "aravis:Basler-1234?exposure=8000.5&gain=-2&region=16,8,640,480&format=Mono8&fps=25&trigger=Line1&timeout=5"
    )
    assert scheme == "aravis"
    assert (address.path, address.exposure, address.gain, address.region) == (
        "Basler-1234",
        8000.5,
        -2,
        (16, 8, 640, 480),
    )
    assert (address.format, address.fps, address.trigger, address.timeout) == ("Mono8", 25, "Line1", 5)
    assert parse_uri("v4l2:///dev/video0?size=1280x720")[1].size == (1280, 720)
    assert parse_uri("genicam:/opt/a%20b/x.cti?device=77")[1].device == "77"
    assert parse_uri("aravis:")[1].path == ""


def test_a_stream_keeps_its_own_query_and_fragment() -> None:
    _, address = parse_uri("rtsp://cam:554/live?channel=1&subtype=0#timeout=5")
    assert (address.path, address.timeout) == ("rtsp://cam:554/live?channel=1&subtype=0", 5)
    assert parse_uri("rtsps://cam/a#b")[1].path == "rtsps://cam/a#b"


def test_a_pipeline_is_taken_as_it_is() -> None:
    pipeline = "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1920 ! nvvidconv ? #1"
    _, address = parse_uri(f"gst:{pipeline}")
    assert (address.path, address.shown) == (pipeline, "gst:nvarguscamerasrc")
    assert parse_uri(f"gst: {pipeline} #timeout=9")[1].timeout == 9


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://admin:se%40cret@cam:99999/x",
        "rtsp://admin:secret@cam/x#speed=1",
        "rtsp://cam/user=admin&password=secret#timeout=x",
        "rtsp://admin:sec/ret@cam/live",
        "gst:rtspsrc location=rtsp://admin:secret@cam/x user-pw=secret#timeout=0",
        "http://admin:secret@cam/x",
    ],
)
def test_no_message_tells_a_password(uri: str) -> None:
    try:
        shown = parse_uri(uri)[1].shown
    except CameraError as error:
        shown = str(error)
    assert "cret" not in shown


@pytest.mark.parametrize("name", ["a\nb", "a\tb\r", "C#7", "[1", "100 % ü😀", "a//b"])
def test_a_path_keeps_every_character(name: str) -> None:
    for given in (name, name.replace("%", "%25").replace("#", "%23")):
        assert parse_uri(f"folder:/data/{given}?fps=2")[1].path == f"/data/{name}"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("v4l2:///dev/video0?size=1280", "size=1280 must be WIDTHxHEIGHT"),
        ("v4l2:///dev/video0?region=1,2,3,4", "unknown option region; there are exposure, gain, size"),
        ("folder:/data/what?/good", r"unknown option /good; there are fps, loop, bits; a \? in the path .* %3F"),
        ("aravis:x?region=1,2,3", "region=1,2,3 must be X,Y,WIDTH,HEIGHT"),
        ("aravis:x?size=2x2&region=0,0,2,2", "has both size and region"),
        ("aravis:x?exposure=nan", "exposure=nan is not finite"),
        ("aravis:x?format=", "format= is empty"),
        ("aravis:x?timeout=0", "timeout=0 must be 0.1 to 3600, in seconds"),
        ("rtsp:", "it needs //host:port/path"),
        ("rtsp://cam:port/x", "it needs //host:port/path"),
        ("gst:", "names no path"),
        ("genicam:?device=1", "names no path"),
    ],
)
def test_a_mistake_is_named(uri: str, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        parse_uri(uri)
