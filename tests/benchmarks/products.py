"""Many products on a Ray cluster: equal bundles, lost machines, and what the cluster gains and costs.

    python tests/benchmarks/products.py --quiet

renders products and makes their bundles three times, with single-threaded tasks:

    one      one after another, on a cluster of one processor
    two      on two nodes with one processor each (each node has processes of its own, on this machine)
    killed   the same; twice a node is killed in the middle of a training, with all of its processes, and replaced

Bundles are compared in all that does not depend on the clock: the networks, the golden frames, every threshold. After a
kill, the training must resume from the last save. Without `--quiet` the times are only written down: on a machine that
does other work they say nothing. With it, the speed-up must be at least 1.7 and the cluster cost less than 10 s: what
the run `one` takes beside its steps and beside the check of the file, which needs no cluster and is timed by itself.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import ray
import safetensors
import table
import yaml
from ray.cluster_utils import Cluster

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.demo.line import CATEGORY, write_dataset

RESULT = table.RESULTS / "products.csv"
RUNS = ("one", "two", "killed")
LEAST_GAIN, MOST_OVERHEAD_S = 1.7, 10.0
FIT = {"model": "rd", "memory": "off", "teacher": "embedded", "size": 96, "batch": 8, "save-seconds": 1}
RESUMED = re.compile(r"resumes from the save after (\d+) steps")
DEPENDS_ON_TIME = ("created", "provenance", "preferred", "order")
"""Parts of a manifest that hold times, or follow from how fast the precisions are on this machine."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=12)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS, help="default: all, which --quiet needs")
    parser.add_argument("--quiet", action="store_true", help="judge the times too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="products-") as folder:
        root = Path(folder)
        for number in range(arguments.products):
            write_dataset(root / f"data{number}", train_good=24, test_good=4, test_defects=1, seed=100 + number)
        rows: dict[str, table.Row] = {}
        if "one" in arguments.runs:
            rows["one"] = run_one(root, arguments)
        for name, kills in (("two", 0), ("killed", 2)):
            if name in arguments.runs:
                rows[name] = Nodes(root, arguments, name).run(kills)
                if "one" in rows:
                    gain = float(str(rows["one"]["seconds"])) / float(str(rows[name]["seconds"]))
                    rows[name] |= {"equal": equal_bundles(root / "one", root / name), "gain": gain}
    about = {"products": arguments.products, "steps": arguments.steps, "quiet": arguments.quiet}
    about |= {"processor": table.processor(), "ray": ray.__version__}
    rounded = [
        {key: round(value, 2) if isinstance(value, float) else value for key, value in (row | about).items()}
        for row in rows.values()
    ]
    columns = dict.fromkeys(key for row in rounded for key in row)
    table.write(RESULT, [{key: row.get(key, "") for key in columns} for row in rounded])
    for row in rounded:
        print(json.dumps(row))
    assert all(row.get("equal", arguments.products) == arguments.products for row in rows.values())
    if arguments.quiet:
        assert float(str(rows["two"]["gain"])) >= LEAST_GAIN
        assert float(str(rows["one"]["overhead_s"])) < MOST_OVERHEAD_S
    return 0


def write_file(root: Path, name: str, arguments: argparse.Namespace) -> Path:
    """Write the file of the products; returns it. Results are below a folder with the same name."""
    products = {f"p{n}": {"data": str(root / f"data{n}")} for n in range(arguments.products)}
    settings = {
        "out": str(root / name),
        "defaults": {
            "category": CATEGORY,
            "fit": {**FIT, "steps": arguments.steps},
            "bundle": {"calibration-images": 8, "search-seconds": 0},
        },
        "products": products,
    }
    file = root / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def command(file: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "edge_inspect.train.cli", "products", str(file), *words]


def run_one(root: Path, arguments: argparse.Namespace) -> table.Row:
    """Make all products one after another; `work_s` is the time of the steps, `check_s` that of the file's check."""
    file = write_file(root, "one", arguments)
    check = seconds_of(command(file, "--check"))
    seconds, work = seconds_of(command(file, "--cpus", "1")), work_of(root / "one")
    row = {"run": "one", "nodes": 1, "seconds": seconds, "work_s": work, "check_s": check}
    return row | {"overhead_s": seconds - work - check}


def seconds_of(words: list[str]) -> float:
    begun = time.monotonic()
    subprocess.run(words, check=True)
    return time.monotonic() - begun


def work_of(out: Path) -> float:
    records = [json.loads(path.read_text()) for path in out.glob("*/record.json")]
    return sum(seconds for record in records for seconds in record["seconds"].values())


class Nodes:
    """Two nodes of a cluster on this machine, beside a head that computes nothing."""

    def __init__(self, root: Path, arguments: argparse.Namespace, name: str) -> None:
        self.file, self.out, self.name = write_file(root, name, arguments), root / name, name

    def run(self, kills: int) -> table.Row:
        cluster = Cluster()
        add_node(cluster, 0)
        try:
            for _ in range(2):
                add_node(cluster, 1)
            begun = time.monotonic()
            with subprocess.Popen(command(self.file, "--address", cluster.address)) as running:
                saved = [self._kill(running, cluster, number) for number in range(kills)]
                assert running.wait() == 0
            seconds = time.monotonic() - begun
        finally:
            cluster.shutdown()
        logs = {path.parents[1].name: path.read_text() for path in self.out.glob("*/*/log.txt")}
        fits = sum(text.count("--- fit:") for text in logs.values())
        resumed = [(name, int(steps)) for name, text in logs.items() for steps in RESUMED.findall(text)]
        assert sorted(saved) == sorted(resumed), (saved, resumed)
        assert fits == len(logs) + kills, "only what was killed is trained again, from its last save"
        row: table.Row = {"run": self.name, "nodes": 2, "seconds": seconds, "work_s": work_of(self.out)}
        return row | {"kills": kills, "resumed_at": " ".join(f"{name}:{steps}" for name, steps in resumed)}

    def _kill(self, running: subprocess.Popen[bytes], cluster: Any, number: int) -> tuple[str, int]:
        """Kill the node of a training that has saved something; returns the product and the steps of its last save."""
        while True:
            assert running.poll() is None, "the command ended before a node was killed"
            for child in trainings(self.out):
                product = next(part for part in child.cmdline() if part.endswith("/run"))
                state = Path(product, "resume.safetensors")
                name = Path(product).parents[1].name
                if state.exists() and (state.parents[1] / "log.txt").read_text().count("--- fit:") == 1:
                    kill_node(child)
                    add_node(cluster, 1)
                    with safetensors.safe_open(state, "pt") as file:
                        steps = json.loads(file.metadata()["state"])["history"]["steps"]
                    print(f"kill {number + 1}: {name} after {steps} saved steps", file=sys.stderr)
                    return name, int(steps)
            time.sleep(0.05)


def add_node(cluster: Any, cpus: int) -> None:
    """Start a node; Ray gives its servers 30 s, which a busy machine may exceed."""
    for left in reversed(range(5)):
        try:
            cluster.add_node(num_cpus=cpus, include_dashboard=False)
            return
        except Exception:  # Ray raises no narrower one
            if not left:
                raise


def trainings(out: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "edge_inspect.train.cli" in words and "fit" in words and any(str(out) in word for word in words):
            found.append(process)
    return found


def kill_node(child: psutil.Process) -> None:
    """Kill a node with everything that it has started, as if its power failed."""
    raylet = next(each for each in child.parents() if "raylet" in each.name())
    every = [raylet, *raylet.children(recursive=True)]
    for process in every:
        process.suspend()  # none may notice that another one is gone, and go on
    for process in every:
        process.kill()
    psutil.wait_procs(every, timeout=30)


def equal_bundles(wanted: Path, found: Path) -> int:
    """Return how many bundles are equal in all that does not depend on the clock."""
    names = sorted(path.name for path in (wanted / "bundles").iterdir())
    assert names == sorted(path.name for path in (found / "bundles").iterdir())
    return sum(contents(wanted / "bundles" / name) == contents(found / "bundles" / name) for name in names)


def contents(bundle: Path) -> Any:
    manifest = open_bundle(bundle).manifest.model_dump(mode="json")
    files = {name: about for name, about in manifest.pop("files").items() if not name.startswith("report/")}
    return {name: value for name, value in manifest.items() if name not in DEPENDS_ON_TIME} | {"files": files}


if __name__ == "__main__":
    sys.exit(main())
