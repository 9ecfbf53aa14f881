"""One label: what a person says about a part."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from edge_inspect.edge.contract.fields import Time, Uuid7, utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Verdict, Word
from edge_inspect.edge.contract.topics import check_level
from edge_inspect.edge.text import clean

LONGEST_CLASS = 64


def _class_name(text: Any) -> Any:
    """Return a class name as it is stored, so that names that look the same are the same class."""
    if not isinstance(text, str):
        return text
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return clean(composed) or None


ClassName = Annotated[Annotated[str, Field(max_length=LONGEST_CLASS)] | None, BeforeValidator(_class_name)]


class PartKey(NamedTuple):
    """The identity of a part: its station as `site/line/station`, and the id of its verdict."""

    station: str
    id: str


class Label(BaseModel):
    """What a person said about one part, and which picture the person saw.

    Attributes:
        id: Id of the label.
        at: Time at which it was given.
        by: Name of the person.
        word: The word; `None` withdraws what was said about the part before.
        defect_class: Kind of the defect; `None` if no class was given. Only the word `defect` has one.
        site: Site of the station.
        line: Line of the station.
        station: Name of the station.
        verdict: The verdict that the station gave.
        picture: Name of the picture file in the folder `pictures` of the store; the store fills it in.
        picture_sha256: sha256 of the picture file; the store fills it in.
        map: Name of the map file in the same folder; `None` if there was no map. The store fills it in.
        undoes: Id of the label that this entry takes back; `None`: this entry is no undo.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Uuid7 = Field(default_factory=uuid7)
    at: Time = Field(default_factory=utc_now)
    by: str = Field(min_length=1, max_length=256)
    word: Word | None
    defect_class: ClassName = None
    site: str
    line: str
    station: str
    verdict: Verdict
    picture: str = ""
    picture_sha256: str = ""
    map: str | None = None
    undoes: Uuid7 | None = None

    @model_validator(mode="after")
    def _check(self) -> Label:
        if self.defect_class is not None and self.word != "defect":
            raise ValueError(f"defect_class: the word {self.word} has no class; leave the class out")
        for name in ("site", "line", "station"):
            check_level(name, getattr(self, name))
        return self

    @property
    def key(self) -> PartKey:
        """The part that the label is about."""
        return PartKey(f"{self.site}/{self.line}/{self.station}", self.verdict.id)
