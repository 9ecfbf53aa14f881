from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from mosquitto import Broker, free_port
from page_parts import Answering, Publisher, Station
from station_parts import mqtt

from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.errors import CheckFailed
from edge_inspect.edge.page import command_sender
from edge_inspect.edge.page.command_sender import MOST_COMMANDS, CommandSender, TooManyCommands

KEY = "plant/line1/a"


@pytest.fixture
def answering(broker: Broker, publisher: Publisher, station: Station) -> Iterator[Answering]:
    made = Answering(broker, publisher, station)
    yield made
    made.close()


def test_the_reply_comes_back(broker: Broker, answering: Answering) -> None:
    sender = CommandSender(mqtt(broker.port))
    done = asyncio.run(sender.send(KEY, sender.make({"command": "trigger", "part_id": "ä\x1d7"}, "otto")))
    assert done.done and answering.commands[0].part_id == "ä\x1d7" and answering.commands[0].by == "otto"
    refused = asyncio.run(sender.send(KEY, sender.make({"command": "threshold", "value": 3}, "emma")))
    assert not refused.done and refused.refusal == "impossible"


def test_who_does_not_answer_is_waited_for_only_so_long(
    broker: Broker, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_sender, "REPLY_S", 1.0)
    sender = CommandSender(mqtt(broker.port))

    async def ask_many() -> list[object]:
        commands = [sender.make({"command": "resume"}, "otto") for _ in range(MOST_COMMANDS + 2)]
        return list(await asyncio.gather(*(sender.send(KEY, each) for each in commands), return_exceptions=True))

    outcomes = asyncio.run(ask_many())
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [CheckFailed] * MOST_COMMANDS + [TooManyCommands] * 2
    assert "no reply within 1 s, although the station is online" in str(outcomes[0])
    # Their places are free again.
    assert asyncio.run(sender.send(KEY, sender.make({"command": "pause"}, "otto"))).done


def test_without_a_broker_nothing_is_sent() -> None:
    sender = CommandSender(mqtt(free_port()))
    with pytest.raises(CheckFailed, match="; the command was not sent"):
        asyncio.run(sender.send(KEY, sender.make({"command": "pause"}, "otto")))


@pytest.mark.parametrize(
    "fields",
    [{"command": "pause", "extra": 1}, {"command": "bundle", "name": "x" * 300}, {"command": "pause", "x": "y" * 5000}],
)
def test_what_is_no_command_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(Refused):
        CommandSender.make(fields, "otto")


def test_a_name_is_cut_to_what_a_command_can_hold() -> None:
    assert CommandSender.make({"command": "pause"}, "o" * 100).by == "o" * 64
