"""The task of one product: fit, bundle, evaluate, judge, sign and pack; or teach. It runs on any machine.

Every step is a process of its own. A step whose result is there already is not repeated, and an interrupted training
resumes from its last save. So the same task may be started again at any time, on any machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.manifest import MANIFEST
from edge_inspect.train.products.child_run import StepFailed, run_child, tail_of
from edge_inspect.train.products.command_lines import sign_words, words_of
from edge_inspect.train.products.machine_folder import emptied, locked, own_folder
from edge_inspect.train.products.product_file import Options, ProductSettings
from edge_inspect.train.products.record import RECORD, SHORT, Made, data_place
from edge_inspect.train.products.storage import Storage, is_url, joined

TRAIN, CALIBRATE = "edge_inspect.train.cli", "edge_inspect.calibrate.cli"
JUDGE = "edge_inspect.train.products.judgement"
LOG, RUN, METRICS, JUDGED, PROPOSAL = "log.txt", "run", "metrics.json", "judged.json", "proposal.json"
SYNC_S = 5.0
"""Seconds between two looks for changed files that go to a remote storage."""

Tell = Callable[[str, float | None], None]
"""Called with the name of the present step, and the seconds that it says are left."""


class Order(NamedTuple):
    """A product that is to be made.

    Attributes:
        name: Name of the product.
        digest: Digest of its data and options.
        settings: Its settings.
        cwd: Folder where relative paths start.
    """

    name: str
    digest: str
    settings: ProductSettings
    cwd: str

    @property
    def out(self) -> str:
        """Place of all results."""
        assert self.settings.out is not None
        return self.settings.out

    @property
    def bundle(self) -> str:
        """Name of the bundle: the product's, and the beginning of the digest."""
        return f"{self.name}-{self.digest[:SHORT]}"

    @property
    def work(self) -> str:
        """Place of the product's files."""
        return joined(self.out, self.name, self.digest[:SHORT])

    @property
    def local_name(self) -> str:
        """Name under which a machine keeps what it has fetched for the task, and results that go to a URL."""
        return f"{self.bundle}-{hashlib.sha256(self.out.encode()).hexdigest()[:SHORT]}"


class Task:
    """The work on one product in its folder.

    Args:
        order: The product.
        work: The folder, on this machine.
        tell: Called with each step.
        lock: File descriptor of the lock on the folder.
    """

    def __init__(self, order: Order, work: Path, tell: Tell, lock: int) -> None:
        self._order, self._settings, self._work, self._tell, self._lock = order, order.settings, work, tell, lock
        self._cwd = Path(order.cwd) if Path(order.cwd).is_dir() else work
        self._remote = Storage(order.work) if is_url(order.work) else None
        self._sent: dict[str, tuple[int, int]] = {}
        self._looked = 0.0
        self._seconds: dict[str, float] = {}

    def run(self) -> Made:
        """Make the product, and write its record.

        Raises:
            StepFailed: A step ended with an error.
            EdgeInspectError: Data or results cannot be read or written.
        """
        if self._remote is not None:
            self._tell("fetch", None)
            self._remote.fetch(self._work)
        with emptied(own_folder() / f"{self._order.local_name}.fetched") as scratch:
            made = self._teach() if self._settings.teach is not None else self._train(scratch)
        self._put()
        Storage(joined(self._order.out, self._order.name)).write(RECORD, made.model_dump_json(indent=2).encode())
        return made

    def _train(self, scratch: Path) -> Made:
        data, category = self._data(scratch)
        where = ["--data", data, *([] if category == "." else ["--category", category])]
        run, bundle = self._work / RUN, self._work / self._order.bundle
        if not (run / "checkpoint.yaml").exists():
            self._step("fit", TRAIN, ["fit", *where, "--out", str(run), *self._options(self._settings.fit, scratch)])
        if not (bundle / MANIFEST).exists():
            shutil.rmtree(bundle, ignore_errors=True)  # files that were fetched without their manifest
            # Other tasks keep the machine busy, and its times say nothing of the box on which the bundle will run.
            options = self._options({"repeatable": True, **self._settings.bundle}, scratch)
            named = any(word.startswith("--good") for word in options)
            good = [] if named else ["--good", str(_good_pictures(Path(data), category, scratch / "good"))]
            self._step("bundle", CALIBRATE, ["bundle", str(run), *good, "--out", str(bundle), *options])
        if not (self._work / METRICS).exists():
            limit = open_bundle(bundle).manifest.decision.thresholds["fp32"].image
            asked = ["--threshold", str(limit), "--report", str(self._work / "report")]
            asked += ["--json", str(self._work / METRICS), *_device(self._settings.fit)]
            self._step("evaluate", TRAIN, ["evaluate", str(run), *where, *asked])
        if not (self._work / JUDGED).exists():
            self._step("judge", JUDGE, [str(bundle), data, category, str(self._work / JUDGED)])
        self._sign(bundle)
        packed = self._pack(bundle, "bundles")
        metrics, judged = self._read(METRICS), self._read(JUDGED)
        return Made(
            digest=self._order.digest,
            state="done",
            image_auroc=metrics["image_auroc"],
            synthetic=metrics.get("synthetic", False),
            defects=judged.get("defects"),
            false_rejects=judged.get("false_rejects"),
            bundle=packed,
            bundle_digest=open_bundle(bundle).digest,
            seconds=self._seconds,
        )

    def _teach(self) -> Made:
        teach = self._settings.teach
        assert teach is not None
        bundle, proposal = self._work / self._order.bundle, self._work / PROPOSAL
        if not proposal.exists():
            shutil.rmtree(bundle, ignore_errors=True)  # of a process that was killed before it had judged the bundle
            words = ["propose", str(teach.bundle), "--labels", str(teach.labels), "--out", str(bundle)]
            given = {"evidence": teach.evidence, "since": teach.since, "station": teach.station}
            words += words_of({name: str(value) for name, value in given.items() if value is not None})
            words += [*words_of(teach.options), "--json", str(proposal)]
            self._step("teach", CALIBRATE, words, may_refuse=proposal)
        found = self._read(PROPOSAL)
        after = found["after"] or found["before"]
        packed, digest = None, None
        if found["proposed"]:
            self._sign(bundle)
            packed, digest = self._pack(bundle, "proposed"), open_bundle(bundle).digest
        return Made(
            digest=self._order.digest,
            state="proposed" if packed else "kept",
            defects=after and (after["defects"] - after["missed"], after["defects"]),
            false_rejects=after and (after["false_rejects"], after["good"]),
            bundle=packed,
            bundle_digest=digest,
            note=found["why"],
            seconds=self._seconds,
        )

    def _data(self, scratch: Path) -> tuple[str, str]:
        """Return the folder of the pictures and the category in it; pictures behind a URL are fetched."""
        data, category = self._settings.data, self._settings.category
        assert data is not None
        if not is_url(data):
            return str(Path(self._cwd, data)), category
        place = data_place(data, category)
        folder = scratch / "data" / place.rstrip("/").rpartition("/")[2]
        self._tell("fetch", None)
        Storage(place).fetch(folder)
        return str(folder), "."

    def _options(self, options: Options, scratch: Path) -> list[str]:
        """Return options as words; what a URL names is fetched, and the option names the copy."""
        local = dict(options)
        for name, value in options.items():
            if isinstance(value, str) and is_url(value):
                folder = scratch / "options" / name / value.rstrip("/").rpartition("/")[2]
                Storage(value).fetch(folder)
                local[name] = str(folder)
        return words_of(local)

    def _sign(self, bundle: Path) -> None:
        if self._settings.sign is not None:
            self._step("sign", CALIBRATE, ["sign", str(bundle), *sign_words(self._settings)])

    def _pack(self, bundle: Path, folder: str) -> str:
        """Write the bundle as a .zip to where stations or people fetch it; return its place below all results."""
        name, started = f"{folder}/{bundle.name}.zip", time.monotonic()
        Storage(self._order.out).write(name, zipped(bundle))
        self._seconds["pack"] = round(time.monotonic() - started, 1)
        return name

    def _step(self, step: str, module: str, words: list[str], may_refuse: Path | None = None) -> None:
        """Run a step; status 1 is no failure if the step has then written the file `may_refuse`."""
        started = time.monotonic()
        log = self._work / LOG

        def tell(left: float | None) -> None:
            self._tell(step, left)
            if self._remote is not None and time.monotonic() - self._looked > SYNC_S:
                self._put()

        tell(None)
        status = run_child(
            step,
            module,
            words,
            log,
            cwd=self._cwd,
            environment=_environment(self._settings),
            kept_open=self._lock,
            tell=tell,
        )
        self._seconds[step] = round(time.monotonic() - started, 1)
        if status and not (status == 1 and may_refuse is not None and may_refuse.exists()):
            self._put()
            raise StepFailed(step, status, tail_of(log))

    def _put(self) -> None:
        if self._remote is not None:
            self._remote.put(self._work, self._sent)
            self._looked = time.monotonic()

    def _read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self._work / name).read_bytes())
        return found


def run_order(order: Order, tell: Tell) -> Made:
    """Make a product in its folder; for a remote storage, in a folder of this machine that is copied there.

    Raises:
        StepFailed: A step ended with an error.
        EdgeInspectError: Data or results cannot be read or written.
    """
    remote = is_url(order.work)
    if not remote:
        work = Path(order.cwd, order.work)
        work.mkdir(parents=True, exist_ok=True)
        with locked(work / ".task") as lock:
            return Task(order, work, tell, lock).run()
    own = own_folder()
    # The storage may have more than what a lost worker left on this machine, so the folder begins empty.
    with locked(own / order.local_name) as lock, emptied(own / order.local_name) as work:
        return Task(order, work, tell, lock).run()


def zipped(bundle: Path) -> bytes:
    """Return the .zip of a bundle; the same files give the same bytes. Weights hardly compress, so nothing is."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
            about = zipfile.ZipInfo(path.relative_to(bundle).as_posix(), (1980, 1, 1, 0, 0, 0))
            about.external_attr = 0o644 << 16
            archive.writestr(about, path.read_bytes())
    return content.getvalue()


def _good_pictures(data: Path, category: str, folder: Path) -> Path:
    """Return a folder with the good pictures that may set the threshold.

    Where there are defects to test with, test pictures are left out, so that they measure the threshold and do not set
    it. Otherwise every good picture counts.
    """
    from edge_inspect.train.datasets import Category, NoDefects

    opened = Category.open(data, category)
    pictures = [*opened.train_images(), *opened.held_out_images()]
    try:
        opened.test_images()
    except NoDefects:
        if len(folders := {path.parent for path in pictures}) == 1:
            return folders.pop()
    folder.mkdir()
    for number, path in enumerate(pictures):
        (folder / f"{number:06}-{path.name}").symlink_to(path.resolve())
    return folder


def _device(options: Options) -> list[str]:
    return words_of({"device": options["device"]}) if "device" in options else []


def _environment(settings: ProductSettings) -> dict[str, str]:
    """Return the environment of a step: a thread for each processor of the task, and a GPU only if the task has one."""
    threads = str(max(1, int(settings.resources.num_cpus)))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if not settings.resources.num_gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment
