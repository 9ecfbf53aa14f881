"""The page of `edge-train regions`, used in a real browser with mouse, keyboard and fingers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from areas import LAMP, PINS
from browser import Watch, open_browser

from edge_inspect.train.area_drawing import DrawnArea, read_drawing, write_drawing
from edge_inspect.train.area_editor import AreaEditor
from edge_inspect.train.area_server import EditorServer

SIZE = (640, 480)
SQUARE = [[100, 100], [300, 100], [300, 300], [100, 300]]
CORNER = [[500, 20], [620, 20], [620, 140]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


class Editor:
    """The page in a browser, and its server."""

    def __init__(self, folder: Path, browser: Any, name: str = "part.png", **context: Any) -> None:
        picture = folder / name
        cv2.imwrite(str(picture), np.full((SIZE[1], SIZE[0], 3), (90, 120, 60), np.uint8))
        self.out = folder / "regions.yaml"
        self.server = EditorServer(AreaEditor(picture, self.out))
        self.context = browser.new_context(**{"viewport": {"width": 1024, "height": 768}, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.watch = Watch(self.page, self.server.url)
        self.open()

    def open(self) -> None:
        self.page.goto(self.server.url)
        # The page's policy allows no eval, which wait_for_function would need.
        self.page.locator("#picture[src]").wait_for()
        self.page.evaluate("document.getElementById('picture').decode()")

    def close(self) -> None:
        self.context.close()
        self.server.close()

    def at(self, pixel: list[int]) -> tuple[float, float]:
        """Where on the page the middle of a pixel is."""
        self.settle()
        box = self.page.locator("#picture").bounding_box()
        return (
            box["x"] + (pixel[0] + 0.5) * box["width"] / SIZE[0],
            box["y"] + (pixel[1] + 0.5) * box["height"] / SIZE[1],
        )

    def settle(self) -> None:
        """Wait until what has changed is drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def click(self, pixel: list[int]) -> None:
        self.page.mouse.click(*self.at(pixel))
        self.settle()

    def drag(self, start: list[int], end: list[int]) -> None:
        self.page.mouse.move(*self.at(start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(end), steps=4)
        self.page.mouse.up()
        self.settle()

    def draw(self, key: str, polygon: list[list[int]], name: str) -> None:
        self.press(key)
        for pixel in polygon:
            self.click(pixel)
        self.press("Enter")
        self.page.keyboard.type(name)
        self.press("Enter")

    def save(self) -> list[DrawnArea]:
        self.press("Control+s")
        self.page.locator("#save", has_text="Saved").wait_for()
        return read_drawing(self.out, SIZE)

    @property
    def shown(self) -> list[tuple[str, str]]:
        """Kind and name of each area in the list."""
        rows = self.page.locator("#areas li").all()
        return [(row.locator("select").input_value(), row.locator("input").input_value()) for row in rows]


@pytest.fixture
def editor(tmp_path: Path, browser: Any) -> Iterator[Editor]:
    editor = Editor(tmp_path, browser)
    yield editor
    editor.close()
    assert editor.watch.found == []


def area(kind: Any, name: str, polygon: list[list[int]]) -> DrawnArea:
    return DrawnArea(kind=kind, name=name, polygon=polygon)


def test_two_areas_are_drawn_named_saved_and_there_again(editor: Editor) -> None:
    editor.draw("l", SQUARE, "body")
    editor.draw("i", CORNER, "lamp")
    assert editor.shown == [("look", "body"), ("ignore", "lamp")]
    editor.press("Control+z", "Control+z")  # the name, and the area
    assert editor.shown == [("look", "body")]
    editor.press("Control+y", "Control+Shift+z")
    assert editor.shown == [("look", "body"), ("ignore", "lamp")]
    drawn = [area("look", "body", SQUARE), area("ignore", "lamp", CORNER)]
    assert editor.save() == drawn
    assert f"--look {editor.out} --ignore {editor.out}" in editor.page.locator("#status code").inner_text()
    editor.open()
    assert editor.shown == [("look", "body"), ("ignore", "lamp")]
    editor.settle()
    assert editor.page.locator("polygon.area").count() == 2
    assert editor.save() == drawn


def test_the_keyboard_alone_is_enough(editor: Editor) -> None:
    editor.press("l", "Space")  # the first point is in the middle of what is shown
    editor.press(*["Shift+ArrowRight"] * 5, "Space", *["Shift+ArrowDown"] * 5, "ArrowDown", "Space", "Enter")
    editor.page.keyboard.type("key")
    editor.press("Enter")
    (first,) = editor.save()
    (x, y), *_ = first.polygon
    assert first == area("look", "key", [[x, y], [x + 50, y], [x + 50, y + 51]])
    assert 300 < x < 340 and 220 < y < 260
    # A point more in the middle of the first edge, moved up; the last one deleted, which three points do not allow.
    editor.press("n", "m", "ArrowUp", "n", "n", "Delete", "Delete", "k", "r")
    editor.page.keyboard.type("changed")
    editor.press("Enter")
    assert editor.save() == [area("ignore", "changed", [[x, y], [x + 25, y - 1], [x + 50, y]])]
    editor.press("Escape", "Escape", "a", *["ArrowLeft"] * 3)
    assert editor.save() == [area("ignore", "changed", [[x - 3, y], [x + 22, y - 1], [x + 47, y]])]
    editor.press("Delete")
    assert editor.shown == [] and editor.save() == []


def test_an_area_is_moved_no_further_than_the_edge_of_the_picture(editor: Editor) -> None:
    editor.draw("l", CORNER, "corner")
    editor.press(*["Shift+ArrowRight"] * 4, *["Shift+ArrowUp"] * 4)
    assert editor.save() == [area("look", "corner", [[519, 0], [639, 0], [639, 120]])]


def test_the_mouse_moves_adds_and_deletes_points(editor: Editor) -> None:
    editor.draw("l", SQUARE, "body")
    editor.drag([100, 100], [60, 80])
    editor.drag([200, 300], [200, 400])  # the small point between the last two
    assert editor.save()[0].polygon == [[60, 80], [300, 100], [300, 300], [200, 400], [100, 300]]
    editor.click([300, 300])
    editor.press("Delete")
    editor.drag([60, 80], [-300, -300])
    assert editor.save()[0].polygon == [[0, 0], [300, 100], [200, 400], [100, 300]]
    editor.press(*["Control+z"] * 3)
    assert editor.save()[0].polygon == [[60, 80], [300, 100], [300, 300], [100, 300]]


def test_a_click_on_the_first_point_and_a_double_click_close_an_area(editor: Editor) -> None:
    editor.press("l")
    for pixel in [*SQUARE, SQUARE[0]]:
        editor.click(pixel)
    editor.press("Enter", "i")
    for pixel in CORNER[:-1]:
        editor.click(pixel)
    editor.page.mouse.dblclick(*editor.at(CORNER[-1]))
    editor.press("Enter")
    assert editor.save() == [area("look", "look-1", SQUARE), area("ignore", "ignore-1", CORNER)]


def test_a_drawing_that_is_cancelled_comes_back_by_undo(editor: Editor) -> None:
    editor.press("i")
    for pixel in CORNER:
        editor.click(pixel)
    editor.press("Escape")
    editor.page.locator("polyline.rubber").wait_for(state="detached")
    editor.press("Control+z")
    editor.click([500, 140])
    editor.press("Backspace", "Enter", "Enter")
    assert editor.save() == [area("ignore", "ignore-1", CORNER)]


def test_the_list_renames_changes_the_kind_and_deletes(editor: Editor) -> None:
    editor.out.write_bytes(write_drawing([PINS, LAMP], SIZE, Path("part.png")))
    editor.open()
    editor.page.get_by_label("Name of area 1").fill("  legs ")
    editor.page.get_by_label("Kind of area 2").select_option("look")
    assert editor.save() == [area("look", "legs", PINS.polygon), area("look", "lamp", LAMP.polygon)]
    editor.page.get_by_label("Delete area 1").click()
    assert editor.save() == [area("look", "lamp", LAMP.polygon)]
    editor.page.locator("#undo").click()
    assert editor.shown == [("look", "legs"), ("look", "lamp")]


def test_zoom_keeps_the_pixel_under_the_pointer_and_a_drag_pans(editor: Editor) -> None:
    before = editor.at([400, 200])
    editor.page.mouse.move(*before)
    editor.page.mouse.wheel(0, -300)
    zoomed = editor.at([400, 200])
    assert zoomed == pytest.approx(before, abs=2)
    assert editor.at([401, 200])[0] - zoomed[0] > 1.3
    editor.page.mouse.down()
    editor.page.mouse.move(before[0] + 50, before[1] - 30, steps=3)
    editor.page.mouse.up()
    assert editor.at([400, 200]) == pytest.approx((zoomed[0] + 50, zoomed[1] - 30), abs=1)
    editor.draw("l", [[380, 180], [420, 180], [420, 220]], "near")
    assert editor.save()[0].polygon == [[380, 180], [420, 180], [420, 220]]
    editor.press("0")
    assert editor.at([400, 200]) == pytest.approx(before, abs=1)
    editor.press("1")
    assert editor.at([401, 200])[0] - editor.at([400, 200])[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("polygon", "name", "message"),
    [
        ([[100, 100], [300, 300], [300, 100], [100, 300]], "tie", "Its outline meets itself"),
        (SQUARE, "a/b", "Its name must have"),
        (SQUARE, "taken", "Another area has this name too"),
    ],
)
def test_what_cannot_be_saved_is_said_and_saved_once_it_is_mended(
    editor: Editor, polygon: list[list[int]], name: str, message: str
) -> None:
    editor.draw("i", CORNER, "taken")
    editor.save()
    before = editor.out.read_bytes()
    editor.draw("l", polygon, name)
    editor.page.locator(".problem", has_text=message).last.wait_for()
    editor.press("Control+s")
    editor.page.locator("#status.bad", has_text="Not saved yet").wait_for()
    assert editor.out.read_bytes() == before
    if polygon is not SQUARE:
        editor.drag([300, 300], [400, 100])
        editor.drag([400, 100], [200, 20])
    editor.press("r")
    editor.page.keyboard.type("mended")
    editor.press("Enter")
    assert [each.name for each in editor.save()] == ["mended", "taken"]
    editor.page.locator(".problem", has_text=message).first.wait_for(state="detached")


def test_names_are_text_and_no_html(tmp_path: Path, browser: Any) -> None:
    name = "<img src=x onerror=alert(1)>"
    editor = Editor(tmp_path, browser, name="<b onclick=x>.png")
    editor.draw("l", SQUARE, name)
    assert editor.save() == [area("look", name, SQUARE)]
    assert editor.page.locator("#title").inner_text() == "<b onclick=x>.png"
    assert editor.page.locator("#scene text").inner_html().startswith("&lt;img")
    editor.close()
    assert editor.watch.found == []


def test_leaving_with_unsaved_changes_asks_first(editor: Editor) -> None:
    asked: list[str] = []

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    editor.page.on("dialog", stay)
    editor.open()
    assert asked == []
    editor.draw("l", SQUARE, "body")
    editor.open()
    assert asked == ["beforeunload"]
    editor.press("l")
    editor.click([50, 50])
    editor.open()
    assert asked == ["beforeunload"] * 2
    editor.draw("l", SQUARE, "body")
    editor.save()
    editor.open()
    assert asked == ["beforeunload"] * 2


def test_a_drawing_outlives_the_program_in_the_terminal(tmp_path: Path, browser: Any) -> None:
    editor = Editor(tmp_path, browser)
    editor.draw("l", SQUARE, "body")
    editor.draw("i", CORNER, "lamp")
    editor.server.close()
    editor.press("Control+s")
    editor.page.locator("#status.bad", has_text="the program in the terminal has ended").wait_for()
    with editor.page.expect_download() as download:
        editor.page.locator("#status a").click()
    kept = tmp_path / "kept.yaml"
    download.value.save_as(kept)
    assert read_drawing(kept, SIZE) == [area("look", "body", SQUARE), area("ignore", "lamp", CORNER)]
    editor.context.close()


@pytest.mark.parametrize(("button", "name"), [("Cancel", "theirs"), ("Save mine", "mine")])
def test_a_file_that_somebody_else_changed_is_asked_about(tmp_path: Path, browser: Any, button: str, name: str) -> None:
    editor = Editor(tmp_path, browser)
    editor.draw("l", SQUARE, "mine")
    theirs = area("look", "theirs", SQUARE)
    editor.out.write_bytes(write_drawing([theirs], SIZE, Path("part.png")))
    editor.press("Control+s")
    editor.page.get_by_role("dialog").get_by_role("button", name=button).click()
    editor.page.locator("dialog[open]").wait_for(state="detached")
    if name == "mine":
        editor.page.locator("#status code").wait_for()
    assert [each.name for each in read_drawing(editor.out, SIZE)] == [name]
    assert editor.shown == [("look", "mine")]
    editor.close()


def test_a_file_that_is_spoilt_is_said_on_the_page(tmp_path: Path, browser: Any) -> None:
    editor = Editor(tmp_path, browser)
    editor.out.write_text("size: [")
    editor.page.goto(editor.server.url)
    editor.page.locator("#status.bad", has_text="is no YAML").wait_for()
    assert editor.page.locator("#picture").get_attribute("src") is None
    editor.close()


def test_fingers_draw_move_points_pan_and_zoom(tmp_path: Path, browser: Any) -> None:
    editor = Editor(tmp_path, browser, viewport={"width": 768, "height": 1024}, has_touch=True, is_mobile=True)
    page, session = editor.page, editor.context.new_cdp_session(editor.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    page.locator("#tool-look").tap()
    for pixel in SQUARE:
        page.touchscreen.tap(*editor.at(pixel))
    page.locator("#close-area").tap()
    assert page.evaluate("document.activeElement.tagName") != "INPUT"
    start, end = editor.at([300, 300]), editor.at([350, 350])
    touch("touchStart", start)
    touch("touchMove", ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    touch("touchMove", end)
    touch("touchEnd")
    assert editor.save() == [area("look", "look-1", [[100, 100], [300, 100], [350, 350], [100, 300]])]

    page.touchscreen.tap(*editor.at([100, 300]))
    page.locator("#delete-point").tap()
    assert editor.save()[0].polygon == [[100, 100], [300, 100], [350, 350]]
    page.locator("#undo").tap()

    (x, y), before = editor.at([320, 240]), editor.at([321, 240])[0] - editor.at([320, 240])[0]
    touch("touchStart", (x - 50, y), (x + 50, y))
    touch("touchMove", (x - 100, y), (x + 100, y))
    touch("touchEnd")
    assert editor.at([321, 240])[0] - editor.at([320, 240])[0] == pytest.approx(2 * before, rel=0.1)
    assert editor.at([320, 240]) == pytest.approx((x, y), abs=3)
    touch("touchStart", (x, y))
    touch("touchMove", (x + 20, y))
    touch("touchMove", (x + 60, y + 40))
    touch("touchEnd")
    assert editor.at([320, 240]) == pytest.approx((x + 60, y + 40), abs=3)
    assert len(editor.save()) == 1
    editor.close()
    assert editor.watch.found == []


@pytest.mark.parametrize(
    ("width", "height", "scheme"),
    [(1024, 768, "light"), (768, 1024, "dark"), (1920, 1080, "dark"), (600, 800, "light")],
)
def test_everything_is_in_reach_on_any_screen(
    tmp_path: Path, browser: Any, width: int, height: int, scheme: str
) -> None:
    editor = Editor(tmp_path, browser, viewport={"width": width, "height": height}, color_scheme=scheme)
    editor.draw("l", SQUARE, "body")
    overflow = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert editor.page.evaluate(overflow) == [width, height]
    for button in editor.page.locator("header button, #strip, #stage").all():
        box = button.bounding_box()
        assert (
            box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height
        )
    stage = editor.page.locator("#stage").bounding_box()
    assert stage["width"] * stage["height"] > 0.3 * width * height
    paper = editor.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
    editor.close()
    assert editor.watch.found == []
