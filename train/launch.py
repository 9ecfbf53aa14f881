"""Several categories in one call, shared among the processes that torch's launcher started; each has its own GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from edge_inspect.edge.errors import UsageError
from edge_inspect.train.datasets import categories

ALL = "all"


def wanted_categories(text: str, data: Path) -> list[str]:
    """Return the categories that the text names: `a`, `a,b` or `all`.

    Raises:
        UsageError: The text names none, or one of them twice.
        DataSetError: The text is `all`, and `data` has no categories.
    """
    names = categories(data) if text == ALL else [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise UsageError(f"--category {text}: give names with commas between them, each once, or all")
    return names


def own_share(names: Sequence[str]) -> list[str]:
    """Return the categories that this process trains: all, or every n-th under `torchrun` with n processes.

    Raises:
        UsageError: The launcher's environment variables do not have a launcher's values.
    """
    rank, count = _from_launcher("RANK", 0), _from_launcher("WORLD_SIZE", 1)
    return list(names[rank::count])


def wait_for_others() -> None:
    """Wait, under `torchrun`, until every process has finished its share.

    As soon as one process ends with an error, the launcher stops all others in the middle of their training.
    """
    from torch.distributed import is_torchelastic_launched
    from torch.distributed.rendezvous import rendezvous

    if not is_torchelastic_launched():
        return
    store, rank, count = next(rendezvous("env://"))
    store.set(f"ended/{rank}", "")
    store.wait([f"ended/{other}" for other in range(count)], timedelta(days=365))


def own_device(name: str) -> str:
    """Return the device of this process; under `torchrun` with `cuda` or `auto`, each process has its own GPU.

    Raises:
        UsageError: There are fewer GPUs than processes on this machine.
    """
    import torch

    if "LOCAL_RANK" not in os.environ or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    local = _from_launcher("LOCAL_RANK", 0)
    if local >= torch.cuda.device_count():
        raise UsageError(f"process {local} has no GPU: there are {torch.cuda.device_count()}; lower --nproc-per-node")
    return f"cuda:{local}"


def _from_launcher(name: str, otherwise: int) -> int:
    text = os.environ.get(name, str(otherwise))
    if not text.isdigit():
        raise UsageError(f"environment variable {name}={text!r} is no number; torchrun sets it, so unset it here")
    return int(text)
