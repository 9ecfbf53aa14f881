"""A job whose program is killed, as Linux does when memory runs out."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import psutil
import pytest
import tiny_bundle
from label_parts import KEY, label
from page_parts import PATIENCE, jpeg

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.page.bundle_folder import BundleFolder
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.page.teaching import Job, Teaching


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGRTMIN + 1])
def test_a_job_that_was_killed_says_so(tmp_path: Path, number: int) -> None:
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    tiny_bundle.write(bundles / "tiny")
    bundle = open_bundle(bundles / "tiny")
    in_force = {"name": bundle.manifest.name, "digest": bundle.digest}

    async def teach(teaching: Teaching) -> Job:
        before = set(psutil.Process().children())
        job = await teaching.start(KEY, "threshold", "emma", in_force)
        deadline = time.monotonic() + PATIENCE
        while not (began := set(psutil.Process().children()) - before) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        began.pop().send_signal(number)
        while job.state == "running" and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return job

    with LabelStore(tmp_path / "labels") as labels:
        labels.add(label(word="good"), jpeg())
        settings = PageSettings(data=tmp_path, bundles=bundles)
        job = asyncio.run(teach(Teaching(settings, labels, BundleFolder(bundles), lambda job: None)))
    assert job.state == "failed" and "ended the program" in job.lines[-1] and "journalctl" in job.lines[-1], job.lines
    assert [each.name for each in bundles.iterdir() if not each.name.endswith("-draft")] == ["tiny"]
