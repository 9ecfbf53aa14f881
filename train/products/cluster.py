"""The tasks of all products on a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from edge_inspect.edge.errors import EdgeInspectError, UsageError
from edge_inspect.train.products.board import Board, Standing
from edge_inspect.train.products.child_run import StepFailed
from edge_inspect.train.products.product_file import Resources
from edge_inspect.train.products.product_task import Order, run_order
from edge_inspect.train.products.record import Made

RETRIES = 3
"""How often a task is repeated whose worker or machine was lost. A product's own mistakes are never repeated."""
OBJECT_STORE = 100 * 2**20
"""Bytes of Ray's store for objects; tasks exchange a few numbers only."""
STARTS = 3
"""How often Ray is started; it waits for its servers for 30 s, which a busy machine may exceed."""
CANCEL_S = 10.0
"""Longest wait for tasks that are asked to end, before they are ended by force."""
_TELL_S = 0.5


class Outcome(NamedTuple):
    """How a product's task ended.

    Attributes:
        made: Its results; `None` if it failed.
        mistake: Why it failed, in words.
        tail: Last lines of its log.
    """

    made: Made | None
    mistake: str = ""
    tail: tuple[str, ...] = ()


Standings = Callable[[dict[str, Standing]], None]


class Cluster:
    """A context manager that connects to a Ray cluster, or starts one on this machine and ends it.

    Args:
        address: Address of a running cluster; `None` starts one.
        cpus: Number of processors that a cluster of its own uses; `None`: all that this process may use.
        retries: How often a task is repeated whose worker was lost.
    """

    def __init__(self, address: str | None = None, cpus: int | None = None, retries: int = RETRIES) -> None:
        self._address, self._retries = address, retries
        self._cpus = len(os.sched_getaffinity(0)) if cpus is None else cpus

    def __enter__(self) -> Cluster:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        options: dict[str, Any] = {"address": self._address}
        if self._address is None:
            options = {"address": "local", "num_cpus": self._cpus, "include_dashboard": False}
            options["object_store_memory"] = OBJECT_STORE
        for left in reversed(range(STARTS if self._address is None else 1)):
            try:
                ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
                break
            except Exception as error:  # Ray raises no narrower one if a busy machine starts its servers too slowly
                ray.shutdown()
                if not left:
                    raise UsageError(self._refusal(error)) from error
        return self

    def _refusal(self, error: Exception) -> str:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        if self._address is None:
            return f"Ray could not be started on this machine: {said}; try again when the machine is less busy"
        return f"--address {self._address}: no Ray cluster can be reached: {said}; start one there with ray start"

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    def check(self, wanted: dict[str, Resources]) -> list[str]:
        """Return why tasks fit on no machine of the cluster; empty if each fits."""
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        mistakes = []
        for name, each in wanted.items():
            needs = {"CPU": each.num_cpus, "GPU": each.num_gpus, "memory": float(each.memory or 0)}
            if not any(all(has.get(kind, 0.0) >= need for kind, need in needs.items()) for has in machines):
                best = {kind: max(has.get(kind, 0.0) for has in machines) for kind in needs}
                mistakes.append(
                    f"products.{name}.resources: no machine of the cluster has {each.num_cpus:g} processors, "
                    f"{each.num_gpus:g} GPUs and {needs['memory'] / 1e9:.3g} GB; the largest have {best['CPU']:g}, "
                    f"{best['GPU']:g} and {best['memory'] / 1e9:.3g} GB"
                )
        return mistakes

    def run(self, orders: Iterable[Order], show: Standings, ended: Callable[[str, Outcome], None]) -> None:
        """Run the tasks of all products until all have ended.

        Args:
            orders: The products.
            show: Called about twice a second with the standings.
            ended: Called with each product whose task has ended.

        Raises:
            KeyboardInterrupt: The command was interrupted; no task runs any more.
        """
        import ray

        board = ray.remote(Board).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
        running: dict[Any, str] = {}
        try:
            for order in orders:
                needs = order.settings.resources
                task = ray.remote(_task).options(
                    name=f"product {order.name}",
                    num_cpus=needs.num_cpus,
                    num_gpus=needs.num_gpus,
                    memory=needs.memory,
                    max_retries=self._retries,
                    retry_exceptions=False,
                )
                running[task.remote(order, board)] = order.name
            while running:
                done, _ = ray.wait(list(running), timeout=_TELL_S)
                for each in done:
                    ended(running.pop(each), self._outcome(each))
                show(_read(board))
        except BaseException:
            self._cancel(list(running))
            raise

    def _outcome(self, reference: Any) -> Outcome:
        import ray

        try:
            found: Outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if "No module named 'edge_inspect'" in str(error):
                return Outcome(None, "edge-inspect is not installed on a machine of the cluster; install it there")
            return Outcome(None, "the task failed; this is a bug", tuple(str(error).splitlines()[-12:]))
        except ray.exceptions.RayError as error:
            first = str(error).splitlines()[0]
            return Outcome(None, f"its worker was lost {self._retries + 1} times: {first}")
        return found

    def _cancel(self, references: list[Any]) -> None:
        """End all tasks, first in order and then by force."""
        import ray

        for force in (False, True):
            for each in references:
                ray.cancel(each, force=force)
            deadline = time.monotonic() + CANCEL_S
            while references and time.monotonic() < deadline:
                _, references = ray.wait(references, num_returns=len(references), timeout=_TELL_S)


def _read(board: Any) -> dict[str, Standing]:
    """Return the standings; none while the board is restarted, because its machine was lost."""
    import ray

    try:
        found: dict[str, Standing] = ray.get(board.read.remote(), timeout=_TELL_S)
    except ray.exceptions.RayError:
        return {}
    return found


def _task(order: Order, board: Any) -> Outcome:
    """Make a product on a worker; a mistake of the product becomes its outcome, so that it is not repeated."""
    told = ("", 0.0)
    host = socket.gethostname()

    def tell(state: str, left: float | None) -> None:
        nonlocal told
        now = time.monotonic()
        if state != told[0] or now - told[1] >= 2 * _TELL_S:
            told = (state, now)
            board.tell.remote(order.name, Standing(state, left, host))

    try:
        return Outcome(run_order(order, tell))
    except StepFailed as failed:
        return Outcome(None, str(failed), tuple(failed.tail))
    except (EdgeInspectError, OSError) as error:
        return Outcome(None, str(error))
