"""The registry of systems, and what it says of wrong options."""

from __future__ import annotations

import pytest
from small_teacher import SMALL

from edge_inspect.edge.errors import UsageError
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.systems import SYSTEMS, system_of


def test_an_unknown_system_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="model 'padim' is unknown; there are rd, memory, "):
        system_of("padim")


def test_options_that_are_not_given_have_their_defaults() -> None:
    given = {"map": "head"}
    assert system_of("dmdd").complete(given) == {"student-width": "full", "trunk": "reverse", "map": "head"}
    assert system_of("rd").complete({}) == {"student-width": "full"}
    assert system_of("memory").complete({}) == {}


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("rd", {"trunk": "forward"}, "--trunk forward: --model rd has no such option"),
        ("dmdd", {"trunk": "sideways"}, "--trunk sideways: there are reverse, forward"),
        ("rd", {"student-width": "quarter"}, "--student-width quarter: there are full, half"),
        ("aand", {"student-width": "Half"}, "--student-width Half: there are full, half"),
        ("dmdd", {"student-width": "0"}, "--student-width 0: there are full, half"),
        ("memory", {"student-width": "half"}, "--student-width half: --model memory has no such option"),
    ],
)
def test_wrong_options_are_refused(name: str, given: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        system_of(name).complete(given)


def test_a_network_is_built_by_its_own_options_alone() -> None:
    with pytest.raises(ValueError, match="dmdd has no option map"):
        system_of("dmdd").build(Teacher(SMALL), {"map": "head"})


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_called_as_its_network(name: str) -> None:
    assert system_of(name).network.name == name
