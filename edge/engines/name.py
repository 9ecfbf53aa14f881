"""The type of an engine's name in configurations and manifests."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from edge_inspect.edge.engines.registry import ENGINES


def _known(name: str) -> str:
    if name not in ENGINES:
        raise ValueError(f"{name!r} is not an engine; there are {', '.join(ENGINES)}")
    return name


EngineName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(ENGINES)})]
