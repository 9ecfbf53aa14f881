"""What a station's status and health mean for the state machine of OPC 40100-1."""

from __future__ import annotations

from typing import Any

import pytest
from station_parts import health, status

from edge_inspect.edge.opcua.received_messages import ReceivedHealth, ReceivedStatus
from edge_inspect.edge.opcua.vision_state import VisionState, failed_stages, system_state, vision_state


def said(state: str, reason: str | None = None) -> ReceivedStatus:
    text = status("online").model_copy(update={"state": state, "reason": reason}).to_json()
    return ReceivedStatus.model_validate_json(text)


def condition(**stages: Any) -> ReceivedHealth:
    made = ReceivedHealth.model_validate_json(health().to_json())
    return ReceivedHealth.model_validate({**made.model_dump(), "stages": stages})


@pytest.mark.parametrize(
    ("state", "reason", "machine", "mode", "system"),
    [
        ("starting", None, "Preoperational", None, 4),
        ("online", None, "Operational", "ContinuousExecution", 1),
        ("degraded", "too dark", "Operational", "ContinuousExecution", 1),
        ("paused", "by anna", "Operational", "Ready", 2),
        ("stopping", None, "Halted", None, 4),
        ("offline", None, "Halted", None, 4),
        ("offline", "connection lost", "Halted", None, 5),
        ("of a later release", None, "Preoperational", None, 4),
    ],
)
def test_states(state: str, reason: str | None, machine: str, mode: str | None, system: int) -> None:
    found = vision_state(said(state, reason), condition(), halted=False)
    assert found == VisionState(machine, mode)
    assert system_state(found, said(state, reason)).state == system


def test_nothing_is_known_before_the_first_status() -> None:
    assert vision_state(None, None, halted=False) == VisionState("Preoperational")


@pytest.mark.parametrize("stage", ["failed", "stuck"])
def test_a_stage_that_fails_is_an_error(stage: str) -> None:
    found = condition(camera={"state": stage, "reason": "no frames"}, engine={"state": "working"})
    assert failed_stages(found) == {"camera": "no frames"}
    state = vision_state(said("degraded"), found, halted=False)
    assert state == VisionState("Error") and system_state(state, said("degraded")).state == 5


def test_a_pause_after_halt_is_halted_and_nothing_else_is() -> None:
    assert vision_state(said("paused"), None, halted=True) == VisionState("Halted")
    assert vision_state(said("online"), None, halted=True) == VisionState("Operational", "ContinuousExecution")
