"""The record of a product: what was made of which data and options. A product that has one is not made again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.train.products.command_lines import files_of
from edge_inspect.train.products.product_file import ProductSettings
from edge_inspect.train.products.storage import Storage, is_url, joined

RECORD = "record.json"
SHORT = 8
"""Number of digits of the digest in the names of folders and bundles."""


class Made(BaseModel):
    """The results of a product.

    Attributes:
        digest: Digest of the data and the options.
        state: `done`; for a taught bundle `proposed`, or `kept` if the bundle in use is to stay.
        image_auroc: Image AUROC on the test pictures.
        synthetic: Whether that is measured on synthetic flaws, for lack of defective parts.
        defects: Numbers of defective test parts that the bundle rejects, and of all.
        false_rejects: Numbers of good test parts that the bundle rejects, and of all.
        bundle: File of the bundle, below the folder of results.
        bundle_digest: sha256 of its manifest.
        note: What else there is to say, in words.
        seconds: Seconds that each step took.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    digest: str
    state: str
    image_auroc: float | None = None
    synthetic: bool = False
    defects: tuple[int, int] | None = None
    false_rejects: tuple[int, int] | None = None
    bundle: str | None = None
    bundle_digest: str | None = None
    note: str = ""
    seconds: dict[str, float] = {}


def read_record(product: str, out: str) -> Made | None:
    """Return the record of a product; `None` if it has none that can be read.

    Raises:
        UsageError: The folder of results cannot be read.
    """
    data = Storage(joined(out, product)).read(RECORD)
    try:
        return None if data is None else Made.model_validate_json(data)
    except ValidationError:
        return None


def digest_of(product: ProductSettings) -> str:
    """Return the digest of a product's data and options.

    It covers names, sizes and contents of the data and of files that options name. Where results and machines are, and
    what a task reserves, does not count.

    Raises:
        DataSetError: The data cannot be read.
        LabelError: The labels cannot be read.
    """
    options = product.model_dump(mode="json", include={"category", "fit", "bundle", "sign"})
    parts: list[Any] = []
    if product.teach is not None:
        teach = product.teach
        options = {"teach": teach.model_dump(mode="json"), "sign": options["sign"]}
        parts.append(_labels(teach.labels))
        parts += [_files(str(path)) for path in (teach.bundle, teach.evidence) if path is not None]
    else:
        assert product.data is not None
        parts.append(_files(data_place(product.data, product.category)))
        parts += [_files(place) for place in (*files_of(product.fit), *files_of(product.bundle))]
    if product.sign is not None:
        parts.append(_files(str(product.sign.key)))
    return hashlib.sha256(json.dumps([options, parts], sort_keys=True).encode()).hexdigest()


def data_place(data: str, category: str) -> str:
    """Return the folder of a category, or the data's own folder if `category` is a dot."""
    return data if category == "." else joined(data, category)


def _files(place: str) -> list[Any]:
    if not is_url(place) and Path(place).is_file():
        return [hashlib.sha256(Path(place).read_bytes()).hexdigest()]
    return [list(each) for each in Storage(place).files()]


def _labels(folder: Path) -> list[Any]:
    """Return what tells one state of the labels from another.

    The file of a label store may change without the labels, and its newest entries may lie in another file.
    """
    if not (folder / "labels.db").is_file():
        return _files(str(folder))
    with LabelStore(folder, read_only=True) as store:
        return [[str(label.id), label.word, label.picture_sha256, label.defect_class] for label in store.current()]
