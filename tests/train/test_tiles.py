"""`edge-train fit --fit tile`: which tiles it asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_inspect.edge.frame.fit import Fit


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        (["--tiles", "3x1"], Fit(256, 256, "tile", tiles=(3, 1))),
        (["--tiles", "3x1", "--overlap", "64"], Fit(256, 256, "tile", tiles=(3, 1), overlap=64)),
        # The pictures have 640x480 pixels: two rows of 256 with 32 in common are 480 exactly.
        ([], Fit(256, 256, "tile", tiles=(3, 2))),
        (["--tiles", "auto", "--overlap", "30"], Fit(256, 256, "tile", tiles=(3, 2), overlap=30)),
        (["--overlap", "34"], Fit(256, 256, "tile", tiles=(3, 3), overlap=34)),
        (["--size", "640x480"], Fit(640, 480, "tile")),
        (["--region", "10,20,300,100"], Fit(256, 256, "tile", (10, 20, 300, 100), tiles=(2, 1))),
    ],
)
def test_tiles_named_or_from_the_first_picture(asked: Callable[..., Fit | None], options: list[str], fit: Fit) -> None:
    assert asked("--fit", "tile", *options) == fit


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tiles", "3"], "--tiles 3: is neither auto nor COLUMNSxROWS like 3x1"),
        (["--tiles", "0x2"], "--tiles 0x2: is neither auto nor COLUMNSxROWS like 3x1"),
        (["--tiles", "2x2", "--overlap", "129"], "overlap 129 must be at most half a tile's side, 128"),
        (["--overlap", "-1"], "overlap -1 must be a whole number of pixels, 0 or more"),
        (["--overlap", "500"], "overlap 500 must lie between 0 and half a tile's side, 128"),
        (
            ["--size", "96"],
            "640x480 pixels need 10x7 = 70 tiles of 96x96, but auto makes 16 at most; give fewer with --tiles",
        ),
        (["--region", "600,0,100,10"], "lies outside a frame of 640x480 pixels"),
        (["--fit", "pad", "--tiles", "2x2"], "--tiles and --overlap belong to --fit tile, not to --fit pad"),
        (["--fit", "stretch", "--overlap", "8"], "--tiles and --overlap belong to --fit tile, not to --fit stretch"),
    ],
)
def test_wrong_tiles_are_one_line(
    asked: Callable[..., Fit | None], capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert asked("--fit", "tile", *options) is None
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
