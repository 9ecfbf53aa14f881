"""The declaration of a system, so that command line, training and export need not know any system by name."""

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
"""The last step of a training: called with the trained network, its material, the unseen good pictures and the
system's options; returns the entries that it adds to the checkpoint's description, and the pictures' cross-fitted maps
under `train.crossfit.MAPS` if it has them."""


def _nothing(model: Any, material: Material, unseen: Unseen, options: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Option:
    """An option of one system: `edge-train fit --NAME VALUE`.

    Attributes:
        name: Name of the option, without leading dashes.
        default: Value if the option is not given.
        read: Converts the given text to the value; raises ValueError, whose text says which values are allowed.
        metavar: Placeholder for the value in `--help`.
        help: Text for `--help`.
        builds: Whether the network is built with it. If so, the network's class takes `keyword`, and the checkpoint
            stores the value.
    """

    name: str
    default: Any
    read: Callable[[str], Any]
    metavar: str
    help: str
    builds: bool = True

    @property
    def keyword(self) -> str:
        """Name of the option as an argument of the network's class."""
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
    "channels inside the student: full (default), as many as the teacher has; half, which takes less time for each "
    "picture",
)
"""Option of every system that has a student."""


@dataclass(frozen=True)
class System:
    """A system: its network, and how the network learns.

    Attributes:
        network: Class of the system's network; the network's name is also the system's.
        summary: A few words for `--help`.
        phases: Returns the training phases; called with the network, the material, the steps of the longest phase and
            the learning rate.
        steps: Default number of steps of the longest phase.
        options: Options that the system has beside those of every training.
        teacher: Name of the default teacher.
        synthesis: How its synthetic defects are drawn (`train.synthesis.Synthesis`); `None` if it learns from good
            pictures alone.
        finish: Last step of a training, after the phases. A system without phases does all of its work there.
        chooses: Names of the buffers of the network that `finish` sets to what it has chosen.
        hold_out: Default share of good pictures to hold out. They set the threshold, beside the cross-fitted pictures.
        own_memory: Whether the network itself is a memory, built with `prototypes` and `grid`. Other systems may have a
            memory beside their network.
    """

    network: type[Network]
    summary: str
    phases: Callable[[Any, Material, int, float], list[Phase]]
    steps: int = 1000
    options: tuple[Option, ...] = ()
    teacher: str = "tf_efficientnet_lite0"
    synthesis: Mapping[str, float] | None = None
    finish: Finish = _nothing
    chooses: tuple[str, ...] = ()
    hold_out: float = 0.2
    own_memory: bool = False

    @property
    def name(self) -> str:
        """Name of the system on the command line, in the checkpoint and in the bundle."""
        return self.network.name

    def complete(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return all options of the system with their values, with defaults for those not given.

        Raises:
            UsageError: A given option belongs to another system, or a value is not allowed.
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
        """Return the options that the network is built with."""
        return {option.keyword: options[option.name] for option in self.options if option.builds}

    def build(self, teacher: Teacher, options: Mapping[str, Any]) -> Network:
        """Build the untrained network.

        Raises:
            ValueError: The system has no such option, or the value is not allowed.
        """
        known = {option.keyword for option in self.options if option.builds} | (
            {"prototypes", "grid"} if self.own_memory else set()
        )
        unknown = options.keys() - known
        if unknown:
            raise ValueError(f"{self.name} has no option {', '.join(sorted(unknown))}")
        return self.network(teacher, **options)
