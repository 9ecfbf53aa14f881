"""The change-over that a PLC asks for: what is sent, and what the registers show of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_inspect.edge.bridge.received_messages import ReceivedReply, StatusOrHealth
from edge_inspect.edge.bridge.recipe_handshake import ANSWER_S, RecipeHandshake
from edge_inspect.edge.bridge.registers import RECIPE_ERRORS, RECIPE_STATES


class Plc:
    """A handshake with two recipes, as the PLC sees it."""

    def __init__(self, *recipes: str) -> None:
        self.one = RecipeHandshake("plant/line1/a", recipes or ("bottle", "jar"))

    def shows(self) -> tuple[int, int, str, str]:
        values = self.one.values()
        return (
            int(values["recipe_requested"]),
            int(values["recipe_active"]),
            RECIPE_STATES[int(values["recipe_state"])],
            list(RECIPE_ERRORS)[int(values["recipe_error"])],
        )

    def ask(self, now: float) -> dict[str, Any]:
        command = self.one.ask(now)
        assert command is not None and self.one.ask(now) is None
        return dict(json.loads(command))

    def answer(self, command: dict[str, Any], now: float = 0.0, **fields: Any) -> None:
        done = {"command_id": command["id"], "done": "refusal" not in fields, **fields}
        self.one.answer(ReceivedReply.model_validate(done), now)

    def hear(self, recipe: Any, now: float = 0.0) -> None:
        self.one.take(StatusOrHealth.model_validate({"boot_id": "b", "sequence": 0, "recipe": recipe}), now)


def test_a_request_is_carried_out() -> None:
    plc = Plc()
    assert plc.shows() == (0, 0, "none", "none") and plc.one.ask(0.0) is None
    plc.hear("bottle")
    assert plc.shows() == (0, 1, "active", "none")
    assert plc.one.request(2)
    assert plc.shows() == (2, 1, "changing", "none")
    command = plc.ask(1.0)
    assert (command["command"], command["name"], command["by"]) == ("recipe", "jar", "bridge")
    plc.answer(command, recipe={"before": "bottle", "after": "jar"})
    assert plc.shows() == (2, 2, "active", "none")


@pytest.mark.parametrize("number", [0, 3, 65535])
def test_a_number_without_a_recipe_is_no_request(number: int) -> None:
    plc = Plc()
    assert not plc.one.request(number) and plc.one.ask(0.0) is None and plc.shows() == (0, 0, "none", "none")


@pytest.mark.parametrize(
    ("refusal", "error"),
    [("impossible", "impossible"), ("unauthorised", "not_allowed"), ("expired", "other"), ("malformed", "other")],
)
def test_a_refusal_is_shown_until_the_next_request(refusal: str, error: str) -> None:
    plc = Plc()
    plc.hear("bottle")
    plc.one.request(2)
    plc.answer(plc.ask(0.0), refusal=refusal, reason="why")
    assert plc.shows() == (2, 1, "failed", error)
    plc.hear({"active": "bottle", "state": "failed"})
    assert plc.shows() == (2, 1, "failed", error)
    plc.one.request(2)
    assert plc.shows() == (2, 1, "changing", "none")


def test_a_busy_station_is_asked_again_and_not_for_ever() -> None:
    plc = Plc()
    plc.one.request(2)
    now = 0.0
    while now < ANSWER_S:
        plc.answer(plc.ask(now), now, refusal="busy")
        assert plc.one.ask(now + 1.9) is None  # the station writes each command to its disk
        now += 2.0
        plc.one.watch(min(now, ANSWER_S - 0.01), reachable=True)
    assert plc.shows() == (2, 0, "changing", "none")
    plc.one.watch(ANSWER_S, reachable=True)
    assert plc.shows() == (2, 0, "failed", "busy")


def test_without_an_answer_it_fails_unless_the_station_says_that_it_is_changing() -> None:
    plc = Plc()
    plc.one.request(1)
    plc.ask(0.0)
    plc.hear({"active": "jar", "state": "changing"}, now=20.0)
    ended = 20.0 + 100 * ANSWER_S
    plc.one.watch(ended, reachable=True)
    assert plc.shows() == (1, 2, "changing", "none")
    plc.hear({"active": "jar", "state": "active"}, now=ended)
    plc.hear({"active": "jar", "state": "active"}, now=ended + ANSWER_S / 2)  # which is no sign of an answer to come
    plc.one.watch(ended + ANSWER_S - 0.1, reachable=True)
    assert plc.shows() == (1, 2, "changing", "none")
    plc.one.watch(ended + ANSWER_S, reachable=True)
    assert plc.shows() == (1, 2, "failed", "no_answer")


def test_a_change_that_takes_minutes_is_waited_for_though_health_is_rare() -> None:
    plc = Plc()
    plc.one.request(2)
    command = plc.ask(0.0)
    plc.hear({"active": "bottle", "state": "changing"}, now=0.5)
    plc.one.watch(600.0, reachable=True)
    plc.answer(command, 600.0, recipe={"before": "bottle", "after": "jar"})
    assert plc.shows() == (2, 2, "active", "none")


def test_a_request_during_another_change_over_waits_for_its_end() -> None:
    plc = Plc()
    plc.hear({"active": "bottle", "state": "changing"})
    plc.one.request(2)
    plc.answer(plc.ask(1.0), 1.0, refusal="busy")
    plc.one.watch(ANSWER_S + 10, reachable=True)
    command = plc.ask(ANSWER_S + 10)
    plc.answer(command, ANSWER_S + 10, recipe={"before": "bottle", "after": "jar"})
    assert plc.shows() == (2, 2, "active", "none")


def test_a_station_that_is_lost_while_it_is_changing_fails_and_is_not_taken_for_changing_later() -> None:
    plc = Plc()
    plc.one.request(2)
    plc.ask(0.0)
    plc.hear({"active": "bottle", "state": "changing"})
    plc.one.watch(1.0, reachable=False)
    assert plc.shows() == (2, 1, "failed", "no_answer")
    plc.one.request(2)
    plc.ask(2.0)
    plc.one.watch(2.0 + ANSWER_S, reachable=True)
    assert plc.shows() == (2, 1, "failed", "no_answer")


def test_a_station_that_cannot_be_reached_fails_at_once() -> None:
    plc = Plc()
    plc.one.watch(0.0, reachable=False)
    assert plc.shows() == (0, 0, "none", "none")
    plc.one.request(1)
    plc.one.watch(0.0, reachable=False)
    assert plc.shows() == (1, 0, "failed", "no_answer")


def test_the_newest_request_counts() -> None:
    plc = Plc()
    plc.one.request(1)
    first = plc.ask(0.0)
    plc.one.request(2)
    second = plc.ask(0.0)
    plc.answer(first, recipe={"before": "jar", "after": "bottle"})
    assert plc.shows() == (2, 1, "changing", "none")
    plc.answer(second, recipe={"before": "bottle", "after": "jar"})
    assert plc.shows() == (2, 2, "active", "none")


def test_a_change_over_by_somebody_else_is_shown() -> None:
    plc = Plc()
    plc.one.request(1)
    plc.answer(plc.ask(0.0), recipe={"before": "jar", "after": "bottle"})
    plc.answer({"id": "another"}, recipe={"before": "bottle", "after": "jar"})
    assert plc.shows() == (1, 2, "active", "none")
    plc.hear("box")  # none of the bridge's
    assert plc.shows() == (1, 0, "active", "none")
