"""The command `edge-train products`: its options, and what it runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.errors import CheckFailed, ConfigurationError, EdgeInspectError, UsageError
from edge_inspect.edge.program import say
from edge_inspect.edge.sqlite_file import InUse, lock

if TYPE_CHECKING:
    from edge_inspect.train.products.board import Standing
    from edge_inspect.train.products.cluster import Outcome
    from edge_inspect.train.products.product_file import ProductSettings
    from edge_inspect.train.products.product_row import ProductRow
    from edge_inspect.train.products.product_task import Order

_PAGE_S = 5.0
"""Shortest time between two versions of the page."""


def add_products(parser: argparse.ArgumentParser) -> None:
    """Describe `edge-train products` to its parser."""
    parser.description = (
        "Makes the bundles of many products: for each one in FILE it trains, makes the bundle, evaluates and signs it, "
        "as one task of a Ray cluster. Products that are done are skipped unless their data or options have changed. "
        "If the command or a machine is interrupted, the same command continues where each product was last saved. A "
        "product that fails does not end the others; the exit status is then 1. Products with teach in FILE are taught "
        "by labelled parts instead, and the next bundle is proposed only if it is no worse on them. docs/training.md "
        "describes FILE."
    )
    parser.epilog = "Example: edge-train products products.yaml; then serve OUT/bundles to the stations"
    parser.add_argument("file", type=Path, metavar="FILE", help="YAML file of the products")
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="address of a running Ray cluster (default: start one on this machine, and end it afterwards)",
    )
    parser.add_argument(
        "--cpus", type=int, metavar="N", help="processors that a cluster on this machine may use (default: all)"
    )
    parser.add_argument(
        "--retries",
        type=int,
        default=3,
        metavar="N",
        help="how often a task is repeated whose worker or machine was lost (default 3)",
    )
    parser.add_argument("--check", action="store_true", help="only check FILE and say what would be done")
    parser.set_defaults(handler=_products)


def _products(arguments: argparse.Namespace) -> None:
    from edge_inspect.train.products.cluster import Cluster
    from edge_inspect.train.products.product_file import read_products

    if arguments.cpus is not None and (arguments.cpus < 1 or arguments.address is not None):
        raise UsageError(f"--cpus {arguments.cpus}: give at least 1, and no --address; a running cluster has its own")
    if arguments.retries < 0:
        raise UsageError(f"--retries {arguments.retries}: must be at least 0")
    orders, followed = _plan(arguments.file, read_products(arguments.file))
    waiting = [order for order in orders if order.name not in followed.outcomes]
    say(f"{len(orders)} products, {len(orders) - len(waiting)} of them done already")
    if arguments.check:
        return
    with contextlib.ExitStack() as opened:
        for out in dict.fromkeys(order.out for order in orders):
            opened.enter_context(_only_command(out))
        if waiting:
            cluster = opened.enter_context(Cluster(arguments.address, arguments.cpus, arguments.retries))
            resources = {order.name: order.settings.resources for order in waiting}
            mistakes = cluster.check(resources)
            if mistakes and arguments.address is None:
                raise ConfigurationError("\n  ".join([f"{arguments.file}: nothing was started", *mistakes]))
            for mistake in mistakes:  # a machine may join the cluster at any time
                say(f"warning: {mistake}; the task waits until one has them")
            opened.enter_context(_terminated_as_interrupted())
            try:
                cluster.run(waiting, followed.show, followed.end)
            except KeyboardInterrupt:
                followed.write(running=False)
                say("\ninterrupted: every product keeps what is saved; the same command continues")
                raise
        followed.show({})
        followed.write(running=False)
    _report(followed)


def _plan(file: Path, products: dict[str, ProductSettings]) -> tuple[list[Order], _Followed]:
    """Return what is to be made, and what is done already.

    Raises:
        ConfigurationError: Options or data of some products cannot be used; the message lists all of them.
    """
    from edge_inspect.train.products.cluster import Outcome
    from edge_inspect.train.products.command_lines import check_products
    from edge_inspect.train.products.product_task import Order
    from edge_inspect.train.products.record import digest_of, read_record

    mistakes = check_products(products)
    orders: list[Order] = []
    done: dict[str, Outcome] = {}
    for name, product in products.items():
        try:
            _check_data(product)
            digest = digest_of(product)
            order = Order(name, digest, product, os.getcwd())
            record = read_record(name, order.out)
        except (EdgeInspectError, OSError) as error:
            mistakes.append(f"products.{name}: {error}")
            continue
        orders.append(order)
        if record is not None and record.digest == digest:
            done[name] = Outcome(record)
    if mistakes:
        raise ConfigurationError("\n  ".join([f"{file}: nothing was started; mistakes: {len(mistakes)}", *mistakes]))
    return orders, _Followed(file, orders, done)


def _check_data(product: ProductSettings) -> None:
    """Check that pictures that this machine can see are laid out as a category."""
    from edge_inspect.train.datasets import Category
    from edge_inspect.train.products.storage import is_url

    if product.teach is None and product.data is not None and not is_url(product.data):
        Category.open(Path(product.data), product.category).train_images()


class _Followed:
    """Follows the products while they are made, and shows them in the terminal and on the page."""

    def __init__(self, file: Path, orders: list[Order], outcomes: dict[str, Outcome]) -> None:
        from edge_inspect.train.products.live_table import LiveTable

        self._file, self._orders, self.outcomes = file, orders, outcomes
        self._table = LiveTable()
        self._standings: dict[str, Standing] = {}
        self._written = 0.0
        self._complained = False

    def rows(self) -> dict[str, ProductRow]:
        """Return the row of every product, by name."""
        from edge_inspect.train.products.product_row import row_of

        names = [order.name for order in self._orders]
        return {name: row_of(name, self._standings.get(name), self.outcomes.get(name)) for name in names}

    def show(self, standings: dict[str, Standing]) -> None:
        """Show the present standings."""
        self._standings |= standings
        self._table.show(list(self.rows().values()))
        if time.monotonic() - self._written > _PAGE_S:
            self.write(running=True)

    def end(self, name: str, outcome: Outcome) -> None:
        """Note how a product's task ended."""
        self.outcomes[name] = outcome

    @property
    def failed(self) -> dict[str, Outcome]:
        """The products that could not be made, in the order of the file."""
        ended = {order.name: self.outcomes[order.name] for order in self._orders if order.name in self.outcomes}
        return {name: outcome for name, outcome in ended.items() if outcome.made is None}

    def write(self, *, running: bool) -> None:
        """Write the page of every folder of results; a page that cannot be written is reported once."""
        from edge_inspect.train.products.products_page import PAGE, render
        from edge_inspect.train.products.storage import Storage

        self._written = time.monotonic()
        rows = self.rows()
        for out in dict.fromkeys(order.out for order in self._orders):
            own = [rows[order.name] for order in self._orders if order.out == out]
            try:
                Storage(out).write(PAGE, render(own, str(self._file), running=running).encode(errors="replace"))
            except EdgeInspectError as error:
                if not self._complained:
                    say(f"{error}; the products are made without the page")
                self._complained = True


def _report(followed: _Followed) -> None:
    """Say which products failed, with the last lines of their logs.

    Raises:
        CheckFailed: Some did.
    """
    failed = followed.failed
    for name, outcome in failed.items():
        say("\n    ".join([f"{name}: {outcome.mistake}", *outcome.tail]))
    if failed:
        raise CheckFailed(f"not made: {', '.join(failed)}; the reasons are above, the same command tries them again")


@contextlib.contextmanager
def _only_command(out: str) -> Iterator[None]:
    """Refuse a second command that works in the same folder of results.

    Raises:
        UsageError: Another command works there, or the folder cannot be written.
    """
    from edge_inspect.train.products.storage import is_url

    if is_url(out):
        yield
        return
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        handle = lock(Path(out, ".products"))
    except InUse as error:
        raise UsageError(
            f"out: {out}: edge-train products works there already, as {error}; wait for it, or end it"
        ) from error
    except OSError as error:
        raise UsageError(f"out: {out}: cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM, as from systemd, end the tasks in order as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
