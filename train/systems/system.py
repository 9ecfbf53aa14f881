"""What a system declares of itself, so that the command line, the training and the export know none by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from models.network import Network
from models.teacher import Teacher
from train.material import Material
from train.phase import Phase

Unseen = Callable[[], NDArray[np.uint8]]
"""Reads the good pictures the training has kept aside, fitted, (N, H, W, 3) uint8 BGR."""

Finish = Callable[[Any, Material, Unseen, Mapping[str, str]], dict[str, Any]]
"""Called with the trained network, what it learned from, the unseen good pictures and the system's options; returns
what the checkpoint is to say of it."""


def _nothing(model: Any, material: Material, unseen: Unseen, options: Mapping[str, str]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Option:
    """An option of one system: `edge-train fit --NAME VALUE`.

    Attributes:
        name: Its name, without dashes in front.
        values: What it may be; the first is the default.
        help: What `--help` says of it.
        builds: Whether the network is built by it: then its class takes it by that name, and the checkpoint keeps it.
    """

    name: str
    values: tuple[str, ...]
    help: str
    builds: bool = True


@dataclass(frozen=True)
class System:
    """A system: its network and how that learns.

    Attributes:
        network: The class of its network; its name is the system's.
        summary: A few words for `--help`.
        phases: Called with the network, the material, the epochs of the longest phase and the learning rate.
        options: Those it has.
        synthesis: How it wants its synthetic defects (`train.synthesis.Synthesis`); `None`: it learns from good
            pictures alone.
        finish: The last step of a training, behind its phases.
    """

    network: type[Network]
    summary: str
    phases: Callable[[Any, Material, int, float], list[Phase]]
    options: tuple[Option, ...] = ()
    synthesis: Mapping[str, float] | None = None
    finish: Finish = _nothing

    @property
    def name(self) -> str:
        """What the command line, the checkpoint and the bundle call it."""
        return self.network.name

    def complete(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return all options of the system with their values: those given, and the defaults of the others.

        Raises:
            UsageError: An option belongs to another system, or has no such value.
        """
        own = {option.name: option for option in self.options}
        for name, value in given.items():
            if name not in own:
                raise UsageError(f"--{name} {value}: --model {self.name} has no such option")
            if value not in own[name].values:
                raise UsageError(f"--{name} {value}: there are {', '.join(own[name].values)}")
        return {name: given.get(name, option.values[0]) for name, option in own.items()}

    def building(self, options: Mapping[str, str]) -> dict[str, str]:
        """Return those of the options that the network is built by."""
        return {option.name: options[option.name] for option in self.options if option.builds}

    def build(self, teacher: Teacher, options: Mapping[str, Any]) -> Network:
        """Build the untrained network.

        Raises:
            ValueError: It has no such option, or the option no such value.
        """
        unknown = options.keys() - {option.name for option in self.options if option.builds}
        if unknown:
            raise ValueError(f"{self.name} has no option {', '.join(sorted(unknown))}")
        return self.network(teacher, **options)
