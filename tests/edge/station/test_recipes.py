"""The recipes of a station: the change-over, the choice by time and by part id, and the memory; with real engines."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_parts import make_box, make_settings
from mosquitto import wait_until

from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.replies import RecipeChange
from edge_inspect.edge.errors import BundleError, EngineError
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.change_records import RequestedBy
from edge_inspect.edge.station.loaded_bundle import SharedEngines
from edge_inspect.edge.station.recipes import RecipeListener, StationRecipes

BRIGHT = np.random.default_rng(5).integers(0, 256, (48, 80, 3), np.uint8)
PATIENCE = 120.0


class Line:
    """The recipes of a station, and what they have said. `step` is the engine thread's turn without a frame."""

    def __init__(self, bundles: Path, work: Path, outbox: MemoryOutbox, **more: Any) -> None:
        table = more.pop("table", {"one": "a", "two": "b", "three": "c"})
        recipes = [
            {"name": name, "bundle": bundles / bundle, "part_ids": [f"{name}-*"]} for name, bundle in table.items()
        ]
        self.settings = make_settings(work, bundles / "a", recipes=recipes, bundles={"folder": bundles}, **more)
        self.box = make_box(self.settings, outbox)
        self.problems: list[str] = []
        self.changes = 0
        self.answers: list[tuple[Refused | None, RecipeChange | None]] = []
        listener = RecipeListener(self.problems.append, lambda recipe, loaded: None, self._changed)
        self.recipes = StationRecipes(self.settings, self.settings.stations[0], self.box, listener)

    def _changed(self) -> None:
        self.changes += 1

    def step(self, *waiting: str) -> None:
        self.recipes.take_next(lambda: waiting)

    def open(self, *names: str) -> None:
        wait_until(lambda: all(self.recipes.bundle_of(name) is not None for name in names), PATIENCE)

    def opened(self) -> list[str]:
        return [recipe.name for recipe in self.settings.stations[0].recipes if self.recipes.bundle_of(recipe.name)]

    def change(self, name: str) -> RecipeChange | str:
        """Change over, and return the change or why it was refused."""
        before = len(self.answers)
        try:
            done = self.recipes.change(name, RequestedBy("hmi"), lambda *answer: self.answers.append(answer))
        except Refused as refused:
            return str(refused)
        if done is not None:
            return done
        wait_until(lambda: self.step() or len(self.answers) > before, PATIENCE)
        refused, change = self.answers[-1]
        return str(refused) if change is None else change

    def state(self) -> tuple[str, str, str]:
        health = self.recipes.health()
        assert health is not None
        return health.requested, health.active, health.state


@pytest.fixture
def make(bundles: Path, tmp_path: Path, outbox: MemoryOutbox) -> Iterator[Callable[..., Line]]:
    made: list[Line] = []

    def start(**more: Any) -> Line:
        made.append(Line(bundles, tmp_path, outbox, **more))
        return made[-1]

    yield start
    for line in made:
        line.recipes.close()


def test_all_are_opened_and_a_change_over_is_done_at_once(make: Callable[..., Line]) -> None:
    line = make()
    assert line.state() == ("one", "one", "active")
    line.recipes.start()
    line.open("one", "two", "three")
    names = {name: line.recipes.inspect(name, BRIGHT)[0].reference.name for name in ("one", "two", "three")}
    assert names == {"one": "a", "two": "b", "three": "c"}
    for before, after in (("one", "three"), ("three", "two")):
        assert line.change(after) == RecipeChange(before=before, after=after)
        assert not line.answers and line.state() == (after, after, "active")
    assert line.change("two") == RecipeChange(before="two", after="two")
    entries = line.box.recipes.entries("a")
    assert [(entry.before, entry.recipe, entry.by) for entry in entries] == [
        ("one", "three", "hmi"),
        ("three", "two", "hmi"),
    ]
    assert line.changes == 2, "the last one was in force already"


def test_one_whose_bundle_is_closed_comes_into_force_when_it_is_open(make: Callable[..., Line]) -> None:
    line = make()
    assert line.recipes.bundle_of("two") is None
    assert line.change("two") == RecipeChange(before="one", after="two")
    assert line.state() == ("two", "two", "active") and line.recipes.current.reference.name == "b"


def test_while_one_is_opened_the_old_one_is_in_force_and_no_other_can_be_asked_for(
    make: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, go = make(), threading.Event()
    opened = line.box.engines.open

    def open_slowly(*arguments: Any) -> Any:
        assert go.wait(60)
        return opened(*arguments)

    monkeypatch.setattr(line.box.engines, "open", open_slowly)
    assert line.recipes.change("two", RequestedBy(), lambda *answer: line.answers.append(answer)) is None
    assert line.state() == ("two", "one", "changing") and line.recipes.current.reference.name == "a"
    with pytest.raises(Refused, match="two is being opened") as refused:
        line.recipes.change("three", RequestedBy(), lambda *answer: None)
    assert refused.value.refusal == "busy"
    go.set()
    wait_until(lambda: line.answers, PATIENCE)
    assert line.answers == [(None, RecipeChange(before="one", after="two"))]


@pytest.mark.parametrize("bundle", ["cut", "none"])
def test_a_bundle_that_cannot_be_opened_leaves_the_old_recipe(make: Callable[..., Line], bundle: str) -> None:
    line = make(table={"one": "a", "broken": bundle, "three": "c"})
    said = line.change("broken")
    assert isinstance(said, str) and "one stays in force" in said
    assert line.state() == ("broken", "one", "failed") and line.recipes.health().error == said
    assert line.recipes.current.reference.name == "a" and not line.box.recipes.entries("a")
    # A part of it gets no other bundle, and is not waited for.
    assert line.recipes.choose("broken-1", "one") == "broken"
    assert line.recipes.is_settled("broken") and "recipe broken" in str(line.recipes.problem("broken"))
    assert line.change("three") == RecipeChange(before="one", after="three")
    assert line.state() == ("three", "three", "active")


def test_an_unknown_recipe_is_refused_with_those_there_are(make: Callable[..., Line]) -> None:
    line = make()
    assert line.change("four") == "this station has no recipe 'four'; it has one, two, three"
    assert line.state() == ("four", "one", "failed")


def test_what_cannot_be_recorded_does_not_come_into_force(
    make: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = make()

    def full(entry: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(line.box.recipes, "add", full)
    assert "one stays in force, because the change-over cannot be recorded" in str(line.change("two"))
    assert line.state() == ("two", "one", "failed") and line.changes == 0


def test_the_choice_survives_a_restart_until_the_table_lacks_it(make: Callable[..., Line]) -> None:
    assert make().change("two") == RecipeChange(before="one", after="two")
    assert make().recipes.active == "two"
    assert make(table={"one": "a", "three": "c"}).recipes.active == "one"
    assert make().recipes.active == "two"


def test_a_recipe_in_force_whose_bundle_is_damaged_is_not_replaced_by_another(make: Callable[..., Line]) -> None:
    with pytest.raises(BundleError, match="^station .*: bundle of the recipe one: "):
        make(table={"one": "cut", "two": "b"})


def test_a_frame_has_the_recipe_of_its_time(make: Callable[..., Line]) -> None:
    line = make()
    moments = [time.monotonic()]
    for name in ("two", "three", "one"):
        line.change(name)
        moments.append(time.monotonic())
    assert [line.recipes.in_force_at(moment) for moment in moments] == ["one", "two", "three", "one"]
    assert line.recipes.in_force_at(0.0) == "one"


def test_a_part_id_chooses_before_the_recipe_in_force(make: Callable[..., Line]) -> None:
    line = make()
    assert [line.recipes.choose(part, "one") for part in ("two-7", "x", None)] == ["two", "one", "one"]
    line.open("two")


def test_bundle_and_threshold_belong_to_the_recipe_in_force(make: Callable[..., Line], bundles: Path) -> None:
    line = make(table={"one": "a", "two": "a"})
    line.change("two")
    answers: list[Any] = []
    line.recipes.change_bundle(bundles / "c", RequestedBy("hmi"), lambda *answer: answers.append(answer))
    wait_until(lambda: line.step() or answers, PATIENCE)
    assert line.recipes.current.reference.name == "c"
    assert line.recipes.inspect("one", BRIGHT)[0].reference.name == "a"
    line.change("one")
    again = make(table={"one": "a", "two": "a"})
    assert again.recipes.current.reference.name == "a"
    again.change("two")
    assert again.recipes.current.reference.name == "c"


def test_recipes_of_one_bundle_share_its_engine_and_not_its_threshold(make: Callable[..., Line]) -> None:
    line = make(table={"one": "a", "two": "a"}, recipe_memory_mb=0)
    line.change("two")
    one, two = line.recipes.bundle_of("one"), line.recipes.bundle_of("two")
    assert one.engine is two.engine and one.decider is not two.decider
    line.step()
    assert line.recipes.bundle_of("one") is one, "closing it would free nothing"


def test_without_memory_only_what_is_needed_stays_open(make: Callable[..., Line]) -> None:
    line = make(recipe_memory_mb=0)
    line.change("two")
    line.step()
    assert line.opened() == ["two"]
    assert not line.recipes.is_settled("one")
    line.recipes.begin_to_open("one")
    line.open("one")
    line.step("one")  # a frame of it waits
    assert line.opened() == ["one", "two"]
    line.step()
    assert line.opened() == ["two"]
    assert line.recipes.current.engine.infer(BRIGHT).score


@pytest.fixture
def ten_mb_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedEngines, "bytes_of", lambda *_: 10_000_000)


def test_the_one_used_longest_ago_is_closed_first(make: Callable[..., Line], ten_mb_each: None) -> None:
    line = make(recipe_memory_mb=20)
    line.change("two")
    line.step()
    line.recipes.inspect("one", BRIGHT)
    line.change("three")
    line.step()
    assert line.opened() == ["one", "three"]
    line.change("two")
    line.step()
    assert line.opened() == ["two", "three"]


def test_at_the_start_as_many_are_opened_as_there_is_memory_for(make: Callable[..., Line], ten_mb_each: None) -> None:
    line = make(recipe_memory_mb=20, table={"one": "a", "two": "b", "three": "c", "four": "cut"})
    line.recipes.start()
    line.open("three")
    line.step()
    assert line.opened() == ["one", "two"]
    assert line.recipes.problem("four") is None, "it was not tried"


def test_what_is_changed_by_command_counts_as_memory(
    make: Callable[..., Line], bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"a": 10_000_000, "b": 10_000_000, "c": 15_000_000}
    monkeypatch.setattr(SharedEngines, "bytes_of", lambda _, bundle, engine: sizes[bundle.manifest.name])
    line = make(recipe_memory_mb=20, table={"one": "a", "two": "b"})
    line.recipes.start()
    line.open("two")
    line.step()
    assert line.opened() == ["one", "two"]
    answers: list[Any] = []
    line.recipes.change_bundle(bundles / "c", RequestedBy("hmi"), lambda *answer: answers.append(answer))
    wait_until(lambda: line.step() or answers, PATIENCE)
    line.step()
    assert line.opened() == ["one"] and line.recipes.current.reference.name == "c"


@pytest.mark.parametrize("table", [{"one": "a", "two": "b"}, {"one": "a", "two": "a"}])
def test_an_engine_that_alone_takes_too_much_is_not_examined_at_every_part(
    make: Callable[..., Line], table: dict[str, str]
) -> None:
    line = make(recipe_memory_mb=0, table=table)
    line.change("two")
    line.step()
    asked: list[bool] = []
    line.recipes.take_next(lambda: asked.append(True) or ())
    assert not asked


def test_a_bundle_stays_open_while_its_engine_is_built_again(
    make: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, go, waits, made = make(recipe_memory_mb=0), threading.Event(), threading.Event(), []
    line.change("two")
    line.recipes.choose("one-1", "two")
    line.open("one")
    hanging, opened = line.recipes.bundle_of("one").engine, line.box.engines.open

    def open_slowly(*arguments: Any) -> Any:
        waits.set()
        assert go.wait(60)
        made.append(opened(*arguments))
        return made[-1]

    monkeypatch.setattr(line.box.engines, "open", open_slowly)
    thread = threading.Thread(target=line.recipes.rebuild, args=(hanging,))
    thread.start()
    assert waits.wait(60)
    line.step()
    assert line.opened() == ["one", "two"]
    go.set()
    thread.join(60)
    line.step()
    assert line.opened() == ["two"]
    with pytest.raises(EngineError, match="is closed"):
        made[0].infer(BRIGHT)


def test_an_engine_that_hangs_is_replaced_in_every_recipe_that_uses_it(make: Callable[..., Line]) -> None:
    line = make(table={"one": "a", "two": "a", "three": "c"})
    for name in ("two", "three"):
        line.change(name)
    hanging = line.recipes.bundle_of("one").engine
    assert line.recipes.uses(hanging)
    line.recipes.rebuild(hanging)
    assert not line.recipes.uses(hanging)
    assert line.recipes.bundle_of("one").engine is line.recipes.bundle_of("two").engine
    assert line.recipes.inspect("two", BRIGHT)[0].reference.name == "a"


def test_a_part_whose_bundle_could_not_be_opened_is_tried_again_later(
    make: Callable[..., Line], bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspect.edge.station.open_recipes.AGAIN_S", 0.0)
    own = tmp_path / "own"
    for name in "ab":
        shutil.copytree(bundles / name, own / name)
    moved = (own / "b").rename(tmp_path / "moved")
    line = Line(own, tmp_path, MemoryOutbox(), table={"one": "a", "two": "b"})
    line.recipes.choose("two-1", "one")
    wait_until(lambda: line.recipes.problem("two") is not None, PATIENCE)
    moved.rename(own / "b")
    line.recipes.choose("two-2", "one")
    line.open("two")
    assert line.recipes.problem("two") is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bundle": "/y"}, "leave 'bundle' out"),
        ({"recipes": [{"name": "a", "bundle": "/x"}, {"name": "a", "bundle": "/z"}]}, "several 'recipes' are named a"),
        ({"recipes": [{"name": "a/b", "bundle": "/x"}]}, "contains '/'"),
        ({"recipes": [{"name": "a", "bundle": "/x", "pattern": "x"}]}, "Extra inputs"),
        ({"recipe_memory_mb": -1}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_table_is_refused(wrong: dict[str, Any], said: str) -> None:
    good = {"name": "s", "camera": "folder:/x", "recipes": [{"name": "a", "bundle": "/x"}]}
    assert StationSettings.model_validate(good).bundles == [Path("/x")]
    with pytest.raises(ValueError, match=said):
        StationSettings.model_validate({**good, **wrong})
