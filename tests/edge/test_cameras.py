from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.cameras import Camera, Place
from edge_inspect.edge.cameras.opening import check_uri, open_camera
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.errors import CameraError
from edge_inspect.edge.frame.images import write_image

VIDEO_FRAMES = 5


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three pictures, which get brighter in the order of their names, and a file that is not a picture."""
    folder = tmp_path / "parts #1"
    for name, value in (("b.png", 20), ("a.png", 10), ("c.png", 30)):
        write_image(folder / name, np.full((8, 12, 3), value, np.uint8))
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (64, 48))
    assert writer.isOpened()
    for number in range(VIDEO_FRAMES):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()
    return path


def part_ids(camera: Camera, count: int) -> list[str | None]:
    captures = [camera.read(None) for _ in range(count)]
    return [capture.part_id if capture else "end" for capture in captures]


def test_a_folder_comes_in_the_order_of_names_and_ends(pictures: Path) -> None:
    camera = open_camera(f"folder:{pictures}")
    assert part_ids(camera, 5) == ["a", "b", "c", "end", "end"]
    camera.close()


def test_a_capture_says_when_it_was_taken(pictures: Path) -> None:
    before = utc_now()
    capture = open_camera(f"folder:{pictures}").read(None)
    assert capture is not None
    assert capture.frame.shape == (8, 12, 3)
    assert (capture.frame == 10).all()
    assert before <= capture.captured_at <= utc_now()
    assert capture.captured_at.utcoffset() == timedelta(0)


def test_a_folder_loops(pictures: Path) -> None:
    camera = open_camera(f"folder:{pictures}?loop=true")
    assert part_ids(camera, 7) == ["a", "b", "c", "a", "b", "c", "a"]


def test_a_folder_keeps_its_pace(pictures: Path) -> None:
    camera = open_camera(f"folder:{pictures}?fps=50&loop=true")
    started = time.monotonic()
    part_ids(camera, 6)
    assert time.monotonic() - started >= 5 / 50


def test_a_source_that_fell_behind_does_not_burst(pictures: Path) -> None:
    camera = open_camera(f"folder:{pictures}?fps=50&loop=true")
    part_ids(camera, 1)
    time.sleep(0.1)
    started = time.monotonic()
    part_ids(camera, 3)
    assert time.monotonic() - started >= 2 / 50


def test_a_broken_picture_is_an_error_and_the_next_one_is_read(pictures: Path) -> None:
    (pictures / "b.png").write_bytes((pictures / "b.png").read_bytes()[:-20])
    camera = open_camera(f"folder:{pictures}")
    assert part_ids(camera, 1) == ["a"]
    with pytest.raises(CameraError, match=r"b\.png: is cut off before its end"):
        camera.read(None)
    assert part_ids(camera, 2) == ["c", "end"]


def test_a_picture_that_went_is_an_error_and_the_next_one_is_read(pictures: Path) -> None:
    camera = open_camera(f"folder:{pictures}")
    (pictures / "a.png").unlink()
    with pytest.raises(CameraError, match=r"a\.png: cannot be read: No such file"):
        camera.read(None)
    assert part_ids(camera, 1) == ["b"]


def test_each_round_of_a_loop_takes_the_pictures_that_are_there(pictures: Path) -> None:
    camera = open_camera(f"folder:{pictures}?loop=true")
    assert part_ids(camera, 3) == ["a", "b", "c"]
    (pictures / "a.png").rename(pictures / "d.png")
    assert part_ids(camera, 3) == ["b", "c", "d"]


def test_a_path_may_be_quoted(pictures: Path) -> None:
    quoted = str(pictures).replace(" ", "%20").replace("#", "%23")
    assert part_ids(open_camera(f"folder:{quoted}"), 1) == ["a"]


def test_a_folder_s_hidden_files_are_no_parts(tmp_path: Path) -> None:
    for name in ("b.png", "a.PGM"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8), np.uint8))
    (tmp_path / "._b.png").write_bytes(bytes(4096))
    (tmp_path / "day.png").mkdir()
    assert part_ids(open_camera(f"folder:{tmp_path}"), 2) == ["a", "b"]


def test_a_folder_of_12_of_16_bits_is_read_where_it_is_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8), 2048, np.uint16))
    with pytest.raises(CameraError, match=r"camera: .*a\.png: has 16 bits per pixel but no value above 2048"):
        open_camera(f"folder:{tmp_path}").read(None)
    capture = open_camera(f"folder:{tmp_path}?bits=12").read(None)
    assert capture is not None and (capture.frame == 128).all()
    with pytest.raises(CameraError, match="camera option bits=11 must be one of 10, 12, 14, 16"):
        open_camera(f"folder:{tmp_path}?bits=11")


def test_a_folder_of_other_files_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.heic").touch()
    with pytest.raises(CameraError, match=rf"folder:{tmp_path}: holds no images \(1 file skipped \(.heic 1\)"):
        open_camera(f"folder:{tmp_path}")


def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=f"folder:{tmp_path}/none: no such folder"):
        open_camera(f"folder:{tmp_path}/none")
    with pytest.raises(CameraError, match="holds no images"):
        open_camera(f"folder:{tmp_path}")


def test_a_video_is_read_to_its_end(video: Path) -> None:
    camera = open_camera(f"video:{video}?fps=0")
    levels = []
    while (capture := camera.read(None)) is not None:
        assert capture.frame.shape == (48, 64, 3)
        assert capture.frame.dtype == np.uint8
        levels.append(float(capture.frame.mean()))
    camera.close()
    np.testing.assert_allclose(levels, [40 * number for number in range(VIDEO_FRAMES)], atol=3)


def test_a_video_loops(video: Path) -> None:
    camera = open_camera(f"video:{video}?fps=0&loop=true")
    captures = [camera.read(None) for _ in range(2 * VIDEO_FRAMES + 1)]
    levels = [float(capture.frame.mean()) for capture in captures if capture is not None]
    camera.close()
    expected = [40 * (number % VIDEO_FRAMES) for number in range(2 * VIDEO_FRAMES + 1)]
    np.testing.assert_allclose(levels, expected, atol=3)


def test_a_video_keeps_its_own_pace(video: Path) -> None:
    camera = open_camera(f"video:{video}")
    started = time.monotonic()
    for _ in range(VIDEO_FRAMES):
        camera.read(None)
    camera.close()
    assert time.monotonic() - started >= (VIDEO_FRAMES - 1) / 50


@pytest.mark.parametrize("shape", [(48, 64, 3), (10, 10, 3)])
def test_a_video_writes_over_a_frame_given_back(video: Path, shape: tuple[int, ...]) -> None:
    camera = open_camera(f"video:{video}?fps=0")
    camera.read(None)
    capture = camera.read(np.zeros(shape, np.uint8))
    camera.close()
    assert capture is not None and capture.frame.shape == (48, 64, 3)
    assert abs(float(capture.frame.mean()) - 40) < 3


def test_a_missing_video_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no such file"):
        open_camera(f"video:{tmp_path}/none.mp4")
    (tmp_path / "text.mp4").write_text("this is a text")
    with pytest.raises(CameraError, match="OpenCV cannot decode it; re-encode it as H.264 MP4"):
        open_camera(f"video:{tmp_path}/text.mp4")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "the scheme must be one of folder:, video:"),
        ("/data/parts", "the scheme must be one of folder:, video:"),
        ("ftp://user:secret@camera/1", "camera 'ftp://camera/1': the scheme must be one of"),
        ("folder:", "names no path"),
        ("folder:?loop=true", "names no path"),
        ("folder:/data?speed=3&fps=2", "unknown option speed; there are fps, loop"),
    ],
)
def test_a_wrong_uri_is_refused_without_looking(uri: str, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        check_uri(uri)
    with pytest.raises(CameraError, match=message):
        open_camera(uri)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("fps=fast", "fps=fast is not a number"),
        ("fps=", "fps= is not a number"),
        ("fps=-1", "must be at least 0"),
        ("fps=nan", "fps=nan is not finite"),
        ("fps=inf", "fps=inf is not finite"),
        ("loop=yes", "loop=yes must be true or false"),
    ],
)
def test_a_wrong_option_is_refused(pictures: Path, option: str, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        open_camera(f"folder:{pictures}?{option}")


def test_a_good_uri_need_not_point_anywhere_yet() -> None:
    check_uri("folder:/not/there?fps=10&loop=true")
    check_uri("VIDEO:relative/line.mp4")


@given(st.text(max_size=30) | st.text(alphabet="folder:video/?=&%#[]@", max_size=30))
def test_any_text_is_a_uri_or_a_camera_error(uri: str) -> None:
    try:
        check_uri(uri)
    except CameraError as error:
        assert str(error).startswith("camera ")


@pytest.mark.parametrize("given", [0, 1, 2, 3])
@pytest.mark.parametrize("loop", ["true", "false"])
def test_a_folder_that_is_opened_again_goes_on_where_it_was(pictures: Path, given: int, loop: str) -> None:
    place = Place()
    assert part_ids(open_camera(f"folder:{pictures}?loop={loop}", place), given) == ["a", "b", "c"][:given]
    # One before the place and one behind it have come meanwhile, and one has gone.
    (pictures / "a.png").rename(pictures / "0.png")
    (pictures / "c.png").rename(pictures / "e.png")
    (pictures / "d.png").write_bytes((pictures / "b.png").read_bytes())
    left = ["0", "b", "d", "e"] if given == 0 else ["b", "d", "e"] if given == 1 else ["d", "e"]
    again = open_camera(f"folder:{pictures}?loop={loop}", place)
    assert part_ids(again, len(left) + 1) == [*left, "0" if loop == "true" else "end"]


def test_a_damaged_last_picture_is_told_once(pictures: Path) -> None:
    place = Place()
    (pictures / "c.png").write_bytes(b"no picture")
    camera = open_camera(f"folder:{pictures}", place)
    part_ids(camera, 2)
    with pytest.raises(CameraError, match=r"c\.png"):
        camera.read(None)
    assert part_ids(open_camera(f"folder:{pictures}", place), 1) == ["end"]


@pytest.mark.parametrize(
    ("name", "part_id"),
    [
        (b"teil_\xfc", r"teil_\xfc"),
        (b"a\nb\x1b[31m", r"a\nb\x1b[31m"),
        ("Prüfplatz 7".encode(), "Prüfplatz 7"),
        (b"\xff" * 200, r"\xff" * 200),
        ("\u202egnp".encode(), r"\u202egnp"),
    ],
)
def test_the_name_of_any_file_is_a_part_id_that_can_be_shown(pictures: Path, name: bytes, part_id: str) -> None:
    for path in pictures.glob("[bc].png"):
        path.unlink()
    os.rename(pictures / "a.png", os.fsencode(pictures) + b"/" + name + b".png")
    assert part_ids(open_camera(f"folder:{pictures}"), 2) == [part_id, "end"]


def levels_of(camera: Camera, count: int) -> list[int | None]:
    captures = [camera.read(None) for _ in range(count)]
    return [round(float(capture.frame.mean()) / 40) if capture else None for capture in captures]


@pytest.mark.parametrize("given", range(VIDEO_FRAMES + 1))
@pytest.mark.parametrize("kind", ["avi", "mp4"])
def test_a_video_that_is_opened_again_goes_on_where_it_was(video: Path, kind: str, given: int) -> None:
    if kind == "mp4":
        frames = cv2.VideoCapture(str(video))
        video = video.with_suffix(".mp4")
        writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 50.0, (64, 48))
        for _ in range(VIDEO_FRAMES):
            writer.write(frames.read()[1])
        writer.release()
    place = Place()
    assert levels_of(open_camera(f"video:{video}?fps=0", place), given) == list(range(given))
    left = [*range(given, VIDEO_FRAMES), None]
    assert levels_of(open_camera(f"video:{video}?fps=0", place), len(left)) == left


def test_a_video_that_loops_goes_on_in_its_round(video: Path) -> None:
    place = Place()
    uri = f"video:{video}?fps=0&loop=true"
    assert levels_of(open_camera(uri, place), 7) == [0, 1, 2, 3, 4, 0, 1]
    assert levels_of(open_camera(uri, place), 3) == [2, 3, 4]
    assert levels_of(open_camera(uri, place), 6) == [0, 1, 2, 3, 4, 0]
