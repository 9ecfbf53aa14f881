"""A station as the archive follows it: a rejected part is missing until its defect has come or is lost."""

from __future__ import annotations

import json

import pytest
from archive_parts import STATION, part
from bridge_parts import defect

from edge_inspect.edge.archive.followed_station import FollowedStation, SavedFollowing
from edge_inspect.edge.archive.received_messages import ArchivedPart, ArchivedReply
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import Topics


def read(message: Verdict) -> ArchivedPart:
    return ArchivedPart.model_validate_json(message.to_json())


def opened(saved: SavedFollowing | None = None) -> FollowedStation:
    return FollowedStation(Topics(*STATION.split("/")), saved or SavedFollowing())


def requests(station: FollowedStation, since: float, until: float) -> list[tuple[int, int]]:
    """The parts for which the station is asked, looked at every 0.1 s."""
    made = [station.ask(since + tenth / 10) for tenth in range(round(10 * (until - since)))]
    commands = [json.loads(each) for each in made if each is not None]
    return [(each["from_sequence"], each["to_sequence"]) for each in commands]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_lost_defect_is_asked_for_until_it_comes(restarts: bool) -> None:
    rejected = part(2, ok=False)
    station = opened()
    for message in (part(1), rejected, part(3)):
        station.take(read(message), 0.0)
    assert requests(station, 0, 100).count((2, 2)) > 3
    if restarts:
        station = opened(SavedFollowing.model_validate(station.row()["followed"]))
    assert station.row()["missing"] == 1
    station.take(read(defect(rejected, 5)), 100.0)
    station.forget()
    assert requests(station, 100, 200) == [] and station.row()["missing"] == station.row()["lost"] == 0


def test_a_defect_that_the_station_has_not_any_more_is_lost() -> None:
    station = opened()
    for message in (part(1), part(2, ok=False), part(3)):
        station.take(read(message), 0.0)
    for turn in range(2000):
        if (command := station.ask(turn / 10)) is not None:
            answered = {"command_id": json.loads(command)["id"], "command": "resend", "at": utc_now()}
            refused = {"done": False, "refusal": "impossible", "reason": "not there"}
            reply = Reply(boot_id="b", sequence=3, **answered, **refused)
            station.answer(ArchivedReply.model_validate_json(reply.to_json()), turn / 10)
    assert (station.row()["missing"], station.row()["lost"]) == (0, 1)


def test_a_new_outbox_is_not_asked_for_a_defect_of_the_one_before() -> None:
    station = opened()
    for message in (part(7), part(8, ok=False)):
        station.take(read(message), 0.0)
    station.take(read(part(1, part(9).decided_at)), 0.5)
    assert requests(station, 1, 60) == [] and station.row()["missing"] == 0
