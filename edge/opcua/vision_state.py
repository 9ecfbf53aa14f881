"""What a station's messages mean in the terms of OPC 40100-1: the states of its state machine, and its system state."""

from __future__ import annotations

from typing import NamedTuple

from edge_inspect.edge.opcua.received_messages import ReceivedHealth, ReceivedStatus

_FAILED = ("failed", "stuck")


class VisionState(NamedTuple):
    """A state of the machine, and of the state machine inside of Operational.

    Attributes:
        machine: Browse name of a state of VisionStateMachineType.
        mode: Browse name of a state of VisionAutomaticModeStateMachineType; `None` outside of Operational.
    """

    machine: str
    mode: str | None = None


HALTED = VisionState("Halted")
PREOPERATIONAL = VisionState("Preoperational")
ERROR = VisionState("Error")
READY = VisionState("Operational", "Ready")
RUNNING = VisionState("Operational", "ContinuousExecution")


class SystemState(NamedTuple):
    """A system state, as SystemStateDescriptionDataType has it.

    Attributes:
        state: Value of SystemStateDataType: 1 production, 2 stand-by, 4 scheduled, 5 unscheduled downtime.
        text: The state's words.
    """

    state: int
    text: str


def vision_state(status: ReceivedStatus | None, health: ReceivedHealth | None, *, halted: bool) -> VisionState:
    """Return the state that a station is in.

    Args:
        status: Its newest status; `None`: none has come.
        health: Its newest health; `None`: none has come.
        halted: Whether a client has called Halt, and nothing has ended that.
    """
    state = "unknown" if status is None else status.state
    if state in ("offline", "stopping"):
        return HALTED
    if state == "paused":
        return HALTED if halted else READY
    if state not in ("online", "degraded"):  # starting, or a state that a later release has added
        return PREOPERATIONAL
    return ERROR if failed_stages(health) else RUNNING


def failed_stages(health: ReceivedHealth | None) -> dict[str, str]:
    """Return the stages that have failed or hang, each with the reason."""
    if health is None:
        return {}
    return {
        name: stage.reason or stage.state for name, stage in sorted(health.stages.items()) if stage.state in _FAILED
    }


def system_state(state: VisionState, status: ReceivedStatus | None) -> SystemState:
    """Return the system state that belongs to a state of the machine.

    A station that starts, or was stopped in order, is a scheduled downtime. One that has failed, or whose connection
    was lost, is an unscheduled one.
    """
    if state == RUNNING:
        return SystemState(1, "production")
    if state == READY:
        return SystemState(2, "stand-by")
    lost = status is not None and status.state == "offline" and status.reason is not None
    return SystemState(5, "unscheduled downtime") if lost or state == ERROR else SystemState(4, "scheduled downtime")


def transitions(before: VisionState, after: VisionState) -> list[tuple[VisionState, VisionState]]:
    """Return the changes of state by which OPC 40100-1 leads from one state to another; from Halted it has one way."""
    if before.machine == "Halted" and after.machine in ("Operational", "Error"):
        return [(before, PREOPERATIONAL), (PREOPERATIONAL, after)]
    return [(before, after)]
