"""The file of `edge-train products`: which products there are, and what is to be done for each."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.train.products.storage import is_url

OptionValue = bool | int | float | str | list[bool | int | float | str] | None
Options = dict[str, OptionValue]
"""Options of a command, without the dashes. `true` sets a switch, a list repeats the option, `null` leaves it out."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TAKEN = ("bundles", "proposed", "products.html")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]B)")
_FACTORS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_MERGED = ("fit", "bundle", "sign", "resources", "teach")
"""Sections in which a product's keys are added to those of `defaults`."""


def _read_memory(value: Any) -> Any:
    """Return the number of bytes that a text such as `4 GB` names."""
    if not isinstance(value, str):
        return value
    match = _MEMORY.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no amount of memory; write bytes, or a text like 500 MB or 4 GB")
    return int(float(match[1]) * _FACTORS[match[2]])


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Resources(_Section):
    """The share of a machine that one product's task reserves while it runs."""

    num_cpus: float = Field(default=1.0, gt=0, description="number of processors; as many threads compute")
    num_gpus: float = Field(default=0.0, ge=0, description="number of GPUs; 0.25 lets four tasks share one GPU")
    memory: Annotated[int, BeforeValidator(_read_memory)] | None = Field(
        default=None, gt=0, description="memory to reserve, in bytes or as a text like 4 GB"
    )

    @field_validator("num_cpus", "num_gpus")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a whole number if it is above 1")
        return value


class Signing(_Section):
    """The key that signs the bundle."""

    key: Path = Field(description="file of the private key, as for calibrate sign --key")
    passphrase_file: Path | None = Field(
        None, alias="passphrase-file", description="file whose first line is the passphrase of the key"
    )


class Teaching(_Section):
    """A bundle that is to be taught by labelled parts, instead of a product that is to be trained."""

    bundle: Path = Field(description="the bundle in use, a folder or a .zip")
    labels: Path = Field(description="folder of a page's labels, or a folder with good/ and defects/")
    evidence: Path | None = Field(
        None, description="folder of evidence whose parts set the threshold, instead of the labels"
    )
    since: str | None = Field(None, description="learn only from labels since this time, or of the last N days")
    station: str | None = Field(None, description="only labels of this station, as SITE/LINE/STATION")
    options: Options = Field(default_factory=dict, description="further options of calibrate propose")


class ProductSettings(_Section):
    """The settings of one product, or of `defaults`."""

    data: str | None = Field(None, description="folder of categories, or its URL")
    category: str = Field(".", description="category in the folder; by default the folder itself is the category")
    out: str | None = Field(None, description="folder of all results, or its URL")
    fit: Options = Field(default_factory=dict, description="options of edge-train fit")
    bundle: Options = Field(default_factory=dict, description="options of calibrate bundle")
    sign: Signing | None = Field(None, description="the key that signs the bundle; without it, bundles are not signed")
    resources: Resources = Field(default_factory=Resources, description="what a task reserves on its machine")
    teach: Teaching | None = Field(None, description="teach a bundle by labels instead of training")

    @model_validator(mode="after")
    def _check(self) -> ProductSettings:
        if "," in self.category or self.category == "all":
            raise ValueError(f"category: {self.category} names several; give each product its own entry")
        return self


class ProductFile(_Section):
    """The whole file."""

    out: str | None = Field(None, description="folder of all results, or its URL")
    defaults: dict[str, Any] = Field(default_factory=dict, description="settings that all products have")
    products: dict[str, ProductSettings] = Field(min_length=1, description="the products, by name")

    @model_validator(mode="before")
    @classmethod
    def _add_defaults(cls, value: Any) -> Any:
        """Add the defaults to each product, so that every mistake is found with its key."""
        if not isinstance(value, dict) or not isinstance(products := value.get("products"), dict):
            return value
        defaults = value.get("defaults") or {}
        if not isinstance(defaults, dict):
            return value
        try:
            ProductSettings.model_validate({**defaults, "teach": None})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in ("defaults", *first["loc"]))
            raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
        return {**value, "products": {name: _merged(defaults, own) for name, own in products.items()}}

    @field_validator("products")
    @classmethod
    def _names(cls, products: dict[str, ProductSettings]) -> dict[str, ProductSettings]:
        for name in products:
            if not _NAME.fullmatch(name) or name in _TAKEN:
                raise ValueError(
                    f"{name!r} is no name for a product: use up to 64 letters, digits, '.', '_' and '-', a letter or "
                    f"digit first, and none of {', '.join(_TAKEN)}"
                )
        return products


def _merged(defaults: dict[str, Any], own: Any) -> Any:
    """Return a product's settings with the defaults; in sections, key by key."""
    if own is None:
        own = {}
    if not isinstance(own, dict):
        return own
    merged = {**defaults, **own}
    for section in _MERGED:
        if isinstance(defaults.get(section), dict) and isinstance(own.get(section), dict):
            merged[section] = {**defaults[section], **own[section]}
    return merged


def read_products(path: Path) -> dict[str, ProductSettings]:
    """Return the products of a file by name, each with the defaults and the folder of results.

    Raises:
        ConfigurationError: The file is missing, is no YAML, or has mistakes; the message lists each with its key.
    """
    whole = read_settings(path, ProductFile)
    products, mistakes = {}, []
    for name, product in whole.products.items():
        if (out := product.out or whole.out) is None:
            mistakes.append(f"products.{name}.out: is missing; give out at the top of the file")
        elif not is_url(out):
            out = os.path.abspath(out)  # tasks on other machines start in other folders
        if product.data is None and product.teach is None:
            mistakes.append(f"products.{name}.data: is missing (folder of categories, or its URL)")
        products[name] = product.model_copy(update={"out": out})
    if mistakes:
        raise ConfigurationError("\n  ".join([f"{path}: mistakes: {len(mistakes)}", *mistakes]))
    return products
