"""The features that a camera's URI sets, with a table of nodes that newer cameras than Aravis' fake one have."""

from __future__ import annotations

from typing import Any

import pytest

from edge_inspect.edge.cameras.features import configure
from edge_inspect.edge.cameras.opening import parse_uri
from edge_inspect.edge.errors import CameraError


class Table:
    """A table of nodes: a number is (low, high, step), an enumeration a list. Automatic exposure locks the exposure."""

    def __init__(self, **nodes: Any) -> None:
        self.nodes = nodes
        self.sets: list[tuple[str, Any]] = []

    def has(self, name: str) -> bool:
        locked = name == "ExposureTime" and ("ExposureAuto", "Off") not in self.sets
        return name in self.nodes and not locked

    def bounds(self, name: str) -> tuple[float, float, float]:
        found: tuple[float, float, float] = self.nodes[name]
        return found

    def choices(self, name: str) -> list[str]:
        return list(self.nodes[name])

    def set(self, name: str, value: float | str) -> None:
        self.sets.append((name, value))
        if name == "OffsetX":
            low, high, step = self.nodes["Width"]
            self.nodes["Width"] = (low, 1000 - int(value), step)


def table() -> Table:
    return Table(
        AcquisitionMode=["Continuous", "SingleFrame"],
        TriggerSelector=["AcquisitionStart", "FrameStart"],
        TriggerMode=["Off", "On"],
        TriggerSource=["Line1", "Software"],
        ExposureAuto=["Off", "Continuous"],
        ExposureTime=(20, 1000, 0),
        AcquisitionFrameRateEnable=True,
        AcquisitionFrameRate=(1, 60, 0),
        Width=(16, 500, 16),
        Height=(2, 600, 2),
        OffsetX=(0, 500, 4),
        OffsetY=(0, 500, 2),
    )


def apply(options: str) -> list[tuple[str, Any]]:
    nodes = table()
    configure(nodes, parse_uri(f"aravis:cam?{options}")[1])
    return [entry for entry in nodes.sets if not entry[0].startswith(("Trigger", "AcquisitionMode"))]


def test_automatics_end_before_a_value_is_set() -> None:
    assert apply("exposure=500&fps=30") == [
        ("ExposureAuto", "Off"),
        ("ExposureTime", 500),
        ("AcquisitionFrameRateEnable", True),
        ("AcquisitionFrameRate", 30),
    ]


def test_a_region_is_moved_to_the_corner_before_it_is_sized() -> None:
    """With the offset that the last user left, only a width up to 500 is allowed."""
    expected = [("OffsetX", 0), ("OffsetY", 0), ("Width", 800), ("Height", 600), ("OffsetX", 100), ("OffsetY", 50)]
    assert apply("region=100,50,800,600") == expected


def test_triggers_that_another_user_left_are_ended() -> None:
    nodes = table()
    configure(nodes, parse_uri("aravis:cam?trigger=line1")[1])
    assert nodes.sets == [
        ("AcquisitionMode", "Continuous"),
        ("TriggerSelector", "AcquisitionStart"),
        ("TriggerMode", "Off"),
        ("TriggerSelector", "FrameStart"),
        ("TriggerMode", "Off"),
        ("TriggerSelector", "FrameStart"),
        ("TriggerSource", "Line1"),
        ("TriggerMode", "On"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("exposure=19", "exposure: ExposureTime cannot be 19; allowed: 20 to 1000 µs"),
        ("size=100x100", "size: Width cannot be 100; allowed: 16 to 1000 in steps of 16"),
        ("region=2,0,64,64", "region: OffsetX cannot be 2; allowed: 0 to 500 in steps of 4"),
        ("fps=100", "fps: AcquisitionFrameRate cannot be 100; allowed: 1 to 60 frames per second"),
        ("gain=1", "has no Gain or GainRaw; leave out the option gain"),
        ("format=Mono8", "has no PixelFormat; leave out the option format"),
    ],
)
def test_a_refused_value_is_an_error_with_what_is_allowed(options: str, message: str) -> None:
    with pytest.raises(CameraError, match=f"camera aravis:cam: {message}"):
        apply(options)
