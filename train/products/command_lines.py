"""The command lines of a product's steps, and the check of all of them before anything starts."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from edge_inspect.edge.errors import EdgeInspectError, UsageError
from edge_inspect.train.products.product_file import Options, ProductSettings

_OF_PRODUCT = {"data", "category", "out", "json", "help", "key", "passphrase-file", "labels", "evidence"}
"""Options that other keys of the product set."""
FILES = ("good", "defects", "group", "ignore", "look", "teacher-weights", "textures")
"""Options of `edge-train fit` and `calibrate bundle` that name a file or folder; its content is part of the digest."""
CHECKER = "edge_inspect.calibrate.option_check"
"""Module that checks command lines of `calibrate`. It runs in a process of its own: train does not import calibrate."""


def words_of(options: Options) -> list[str]:
    """Return options as words of a command line."""
    words = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                words.append(option)
            elif each is not None and each is not False:
                words.append(f"{option}={each}")  # one word, so that a value may begin with a dash
    return words


def check_products(products: dict[str, ProductSettings]) -> list[str]:
    """Return every mistake in the products' options, each with the product and the section; empty if there is none."""
    mistakes = []
    asked: list[tuple[str, list[str]]] = []
    for name, product in products.items():
        for section, options in (("fit", product.fit), ("bundle", product.bundle)):
            for option in options:
                if (known := option.replace("_", "-")) in _OF_PRODUCT or (section == "fit" and known == "good"):
                    mistakes.append(f"products.{name}.{section}.{option}: is set by the product's own keys; remove it")
        if product.teach is None:
            good = [] if "good" in product.bundle else ["--good=."]
            asked.append((f"products.{name}.bundle", ["bundle", "RUN", *good, "--out=B", *words_of(product.bundle)]))
        else:
            teach = product.teach
            words = ["propose", str(teach.bundle), f"--labels={teach.labels}", "--out=B", *words_of(teach.options)]
            words += [] if teach.since is None else [f"--since={teach.since}"]
            words += [] if teach.evidence is None else [f"--evidence={teach.evidence}"]
            asked.append((f"products.{name}.teach", words))
        if product.sign is not None:
            asked.append((f"products.{name}.sign", ["sign", "B", *sign_words(product)]))
    with ThreadPoolExecutor(1) as pool:  # calibrate answers while the other options' check imports torch here
        asking = pool.submit(_ask_calibrate, [words for _, words in asked])
        for name, product in products.items():
            if product.teach is None:
                mistakes += [f"products.{name}.fit: {said}" for said in _check_fit(words_of(product.fit))]
        answers = asking.result()
    return mistakes + [f"{where}: {said}" for (where, _), said in zip(asked, answers, strict=True) if said]


def sign_words(product: ProductSettings) -> list[str]:
    """Return the options of `calibrate sign` for a product."""
    if product.sign is None:
        return []
    locked = [] if product.sign.passphrase_file is None else [f"--passphrase-file={product.sign.passphrase_file}"]
    return [f"--key={product.sign.key}", *locked]


class RaisingParser(argparse.ArgumentParser):
    """A parser that raises an error instead of ending the program."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raise the parser's message as an error."""
        raise UsageError(message)


def _check_fit(words: Sequence[str]) -> list[str]:
    from edge_inspect.train.fit_options import add_options, add_systems, check_options

    parser = RaisingParser(add_help=False, allow_abbrev=False)
    add_options(parser)
    add_systems(parser)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            check_options(parser.parse_args(["--data=.", "--out=edge-inspect-products-check", *words]))
    except EdgeInspectError as error:
        return [str(error)]
    return []


def _ask_calibrate(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return what `calibrate` has against each command line; empty text: nothing."""
    done = subprocess.run(
        [sys.executable, "-m", CHECKER], input=json.dumps(lines), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UsageError(f"the options of calibrate cannot be checked: {done.stderr.strip()[-500:]}")
    return [str(each) for each in json.loads(done.stdout)]


def files_of(options: Options) -> list[str]:
    """Return the paths and URLs of the files and folders that options name."""
    found = []
    for name, value in sorted(options.items()):
        if (known := name.replace("_", "-")) in FILES and isinstance(value, str):
            table = re.fullmatch(r"table:(.+):[^:]*", value) if known == "group" else None
            if known != "group" or table:
                found.append(table[1] if table else value)
    return found
