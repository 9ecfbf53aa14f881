"""What a system declares of itself, so that the command line, the training and the export know none by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_inspect.edge.errors import UsageError
from edge_inspect.models.network import Network
from edge_inspect.models.teacher import Teacher
from edge_inspect.models.width import STUDENT_WIDTHS
from edge_inspect.train.material import Material
from edge_inspect.train.phase import Phase
from edge_inspect.train.validation import Unseen

Finish = Callable[[Any, Material, Unseen, Mapping[str, Any]], dict[str, Any]]
"""Called with the trained network, what it learned from, the unseen good pictures and the system's options; returns
what the checkpoint is to say of it."""


def _nothing(model: Any, material: Material, unseen: Unseen, options: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Option:
    """An option of one system: `edge-train fit --NAME VALUE`.

    Attributes:
        name: Its name, without dashes in front.
        default: Its value where none is given.
        read: Turns what was given into the value; raises ValueError, whose text says what may be given.
        metavar: What `--help` shows for the value.
        help: What `--help` says of it.
        builds: Whether the network is built by it: then its class takes `keyword`, and the checkpoint keeps it.
    """

    name: str
    default: Any
    read: Callable[[str], Any]
    metavar: str
    help: str
    builds: bool = True

    @property
    def keyword(self) -> str:
        """Its name as an argument of the network's class."""
        return self.name.replace("-", "_")


def choice(name: str, values: Sequence[str], help: str, builds: bool = True) -> Option:
    """Return an option that takes one of a few words; the first is the default."""

    def read(given: str) -> str:
        if given not in values:
            raise ValueError(f"there are {', '.join(values)}")
        return given

    return Option(name, values[0], read, "|".join(values), help, builds)


STUDENT_WIDTH = choice(
    "student-width",
    STUDENT_WIDTHS,
    "channels inside the student: full (default), as many as the teacher has, or half of them, which takes less time a "
    "picture",
)
"""Of every system that has a student."""


@dataclass(frozen=True)
class System:
    """A system: its network and how that learns.

    Attributes:
        network: The class of its network; its name is the system's.
        summary: A few words for `--help`.
        phases: Called with the network, the material, the steps of the longest phase and the learning rate.
        steps: Those of the longest phase where none are asked for.
        options: Those it has.
        teacher: Its teacher where none is named.
        synthesis: How it wants its synthetic defects (`train.synthesis.Synthesis`); `None`: it learns from good
            pictures alone.
        finish: The last step of a training, behind its phases; all of it for a system that has none.
        hold_out: The share of good pictures that it keeps aside where nobody says. They set the threshold, unless the
            system is cross-fitted.
        own_memory: Its network is a memory, built by `prototypes` and `grid`; other systems may have one beside.
    """

    network: type[Network]
    summary: str
    phases: Callable[[Any, Material, int, float], list[Phase]]
    steps: int = 1000
    options: tuple[Option, ...] = ()
    teacher: str = "tf_efficientnet_lite0"
    synthesis: Mapping[str, float] | None = None
    finish: Finish = _nothing
    hold_out: float = 0.2
    own_memory: bool = False

    @property
    def name(self) -> str:
        """What the command line, the checkpoint and the bundle call it."""
        return self.network.name

    def complete(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return all options of the system with their values: those given, and the defaults of the others.

        Raises:
            UsageError: An option belongs to another system, or has no such value.
        """
        values = {option.name: option.default for option in self.options}
        readers = {option.name: option.read for option in self.options}
        for name, text in given.items():
            if name not in readers:
                raise UsageError(f"--{name} {text}: --model {self.name} has no such option")
            try:
                values[name] = readers[name](text)
            except ValueError as error:
                raise UsageError(f"--{name} {text}: {error}") from error
        return values

    def building(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the options that the network is built by."""
        return {option.keyword: options[option.name] for option in self.options if option.builds}

    def build(self, teacher: Teacher, options: Mapping[str, Any]) -> Network:
        """Build the untrained network.

        Raises:
            ValueError: It has no such option, or the option no such value.
        """
        known = {option.keyword for option in self.options if option.builds} | (
            {"prototypes", "grid"} if self.own_memory else set()
        )
        unknown = options.keys() - known
        if unknown:
            raise ValueError(f"{self.name} has no option {', '.join(sorted(unknown))}")
        return self.network(teacher, **options)
