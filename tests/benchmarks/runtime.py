"""edge-inspect beside anomalib's OpenVINOInferencer and beside its own engine, in turn, on the same pictures.

    python -m venv VENV && VENV/bin/pip install 'anomalib[openvino]'
    python tests/benchmarks/runtime.py prepare --anomalib-python VENV/bin/python
    python tests/benchmarks/runtime.py measure --anomalib-python VENV/bin/python    # on an idle machine, 12 minutes

`prepare` renders pictures of 640x480 and makes, for each input size, models of equal architecture: Reverse Distillation
with ResNet-18, untrained, which costs the same, as a bundle and as anomalib exports it; and a bundle of the default
system, a memory. `measure` compares, each in a process of its own, which lives through all rounds of a size:

    anomalib               OpenVINOInferencer, frame in memory to pred_label
    edge PRECISION         frame in memory to the decision, with the regions of a rejected part: INT8, FP32, and the
                           precision that the bundle prefers if it is another one
    default                the default system's bundle at 256, in bfloat16, or in the precision that it prefers
                           where the processor has no bfloat16
    bare PRECISION         the graph that the engine compiles, compiled in the same way: no engine can be faster
    bare default           the same of the default system's bundle
    streams PRECISION      the same graph, compiled for throughput

The systems take turns within each round. Ratios are of the same round; their median stands with an interval
(rounds.py). `first_s` is the time from the start of a process to its first verdict on a picture's file, `peak_mb` the
peak of that process after 20 more frames. `service` is `edge-inspect run` with a real broker (runtime_stations.py).
Writes results/runtime.csv and results/runtime_stations.csv and docs/runtime.svg, and prints a table as Markdown; every
single turn is in WORK/turns.json, from which `report` makes them again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import runtime_report
import runtime_stations
from runtime_turns import MARK
from table import processor, program

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.demo.line import CATEGORY, write_dataset, write_stream
from edge_inspect.edge.frame.images import list_images, read_image, write_image

HERE = Path(__file__).parent
SIZES = (128, 192, 256, 384, 512)
MAIN_SIZE = 256
"""At this size the service and the default system run."""
PICTURES = 16
IN_FLIGHT, MOST = (1, 2, 4), (4,)
MORE_FRAMES = 20
SERVICE_TURNS = 5
"""How much longer verdicts of the service are counted than a turn lasts."""
ANY_LOSS = ["--budget-auroc=100", "--budget-aupro=100", "--budget-rank=-1", "--budget-verdicts=100"]
ANY_LOSS += ["--calibration-images=8", "--search-seconds=0"]
"""Of a network that has learned nothing, or whose losses do not matter here: no layer is left in float."""
Turn = dict[str, Any]


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("prepare", "measure", "report"))
    parser.add_argument("--anomalib-python", type=Path, help="interpreter that has anomalib; without it, ours alone")
    parser.add_argument("--work", type=Path, default=Path("out/runtime"), help="models are kept here")
    parser.add_argument("--size", type=int, action="append", help=f"input size (default: {SIZES})")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a turn (default 0.4)")
    parser.add_argument("--stations", type=int, nargs="*", default=[1, 2, 4, 8], help="how many; none: no service")
    arguments = parser.parse_args()
    arguments.work, sizes = arguments.work.absolute(), arguments.size or SIZES
    turns_file = arguments.work / "turns.json"
    if arguments.task == "prepare":
        prepare(arguments.work, arguments.anomalib_python, sizes)
        return
    if arguments.task == "measure":
        begun = time.monotonic()
        turns = [turn for size in sizes for turn in measure(arguments, size)]
        served = bundle_of(arguments.work, "rd", min(sizes, key=lambda size: abs(size - MAIN_SIZE)))
        line, seconds = arguments.work / "line", SERVICE_TURNS * arguments.seconds
        turns += runtime_stations.measure(served, line, arguments.stations, arguments.rounds, seconds)
        turns_file.write_text(json.dumps({"about": about(arguments), "turns": turns}))
        print(f"measured for {time.monotonic() - begun:.0f} s", file=sys.stderr)
    runtime_report.report(json.loads(turns_file.read_text()))


def about(arguments: argparse.Namespace) -> dict[str, str]:
    """What every row says of the machine and of the versions."""
    found = {"processor": processor(), "openvino": version("openvino"), "anomalib": ""}
    if arguments.anomalib_python is not None:
        ask = "from importlib.metadata import version; print(version('anomalib'), version('openvino'))"
        done = subprocess.run(
            [arguments.anomalib_python.absolute(), "-c", ask], check=True, capture_output=True, text=True
        )
        found["anomalib"], found["its_openvino"] = done.stdout.split()
    return found


def bundle_of(work: Path, system: str, size: int) -> Path:
    """The path of a bundle."""
    return work / f"{system}-{size}"


def prepare(work: Path, anomalib: Path | None, sizes: Sequence[int]) -> None:
    """Makes what is not there yet."""
    data, frames = work / "data", work / "frames"
    if not frames.exists():
        write_dataset(data, train_good=100, test_good=1, test_defects=1, seed=1)
        write_stream(frames, frames=PICTURES, defect_share=0.2, seed=1)
        for path in list_images(frames):
            # Uncompressed, so that the service's camera costs as little as it can.
            write_image(work / "line" / f"{path.stem}.ppm", read_image(path))
    good = str(data / CATEGORY / "train" / "good")
    for size in sizes:
        run = work / f"run-{size}"
        if not (bundle := bundle_of(work, "rd", size)).exists():
            made = [str(run), "--model", "rd", "--teacher", "resnet18", "--size", str(size)]
            if not run.exists():
                subprocess.run([sys.executable, str(HERE / "untrained_run.py"), *made], check=True)
            calibrate(run, good, bundle, ANY_LOSS)
        if size == MAIN_SIZE and not (bundle := bundle_of(work, "memory", size)).exists():
            run = work / "run-memory"
            fit = ["--data", str(data), "--category", CATEGORY, "--model", "memory", "--size", str(size)]
            if not run.exists():
                program("edge_inspect.train.cli", "fit", *fit, "--out", str(run))
            calibrate(run, good, bundle, ANY_LOSS)
        model = work / f"anomalib-{size}"
        if anomalib is not None and not model.exists():
            height, width = read_image(list_images(frames)[0]).shape[:2]
            worker = [str(anomalib.absolute()), str(HERE / "runtime_anomalib.py")]
            subprocess.run([*worker, "export", str(model), *map(str, (size, height, width))], check=True, cwd=work)


def calibrate(run: Path, good: str, bundle: Path, options: list[str]) -> None:
    program("edge_inspect.calibrate.cli", "bundle", str(run), "--good", good, "--out", str(bundle), *options)


def commands(arguments: argparse.Namespace, size: int) -> dict[str, list[str]]:
    """The command of each system's worker."""
    work, frames = arguments.work, str(arguments.work / "frames")
    rd, memory = bundle_of(work, "rd", size), bundle_of(work, "memory", size)
    ours = [sys.executable, str(HERE / "runtime_worker.py")]
    found: dict[str, list[str]] = {}
    if arguments.anomalib_python is not None:
        model = next((work / f"anomalib-{size}").glob("**/model.xml"))
        python = str(arguments.anomalib_python.absolute())
        found["anomalib"] = [python, str(HERE / "runtime_anomalib.py"), "judge", str(model), frames]
    preferred = open_bundle(rd).manifest.order_of("openvino")[0]
    precisions = dict.fromkeys(("int8", "fp32", preferred))
    for kind in ("edge", "bare", "streams"):
        found |= {f"{kind} {precision}": [*ours, kind, str(rd), precision, frames] for precision in precisions}
    if memory.exists():
        # Bundles of real parts prefer bfloat16 where the processor has it (accuracy.csv). Rendered parts are so much
        # alike that bfloat16 scatters their scores too much, so this bundle prefers FP32.
        own = "bf16" if "bf16" in open_bundle(memory).manifest.precisions else "preferred"
        found["default"] = [*ours, "edge", str(memory), own, frames]
        found["bare default"] = [*ours, "bare", str(memory), own, frames]
    return found


def measure(arguments: argparse.Namespace, size: int) -> Iterator[Turn]:
    """Yields the turns of one input size."""
    every = commands(arguments, size)
    with ExitStack() as ends:
        workers = {name: ends.enter_context(worker(command, arguments.work)) for name, command in every.items()}
        for number in range(arguments.rounds):
            for name in rotated(list(workers), number):
                about = {"size": size, "round": number, "system": name}
                alone = not name.startswith("streams")
                if alone:
                    yield about | {"task": "latency"} | ask(workers[name], task="latency", seconds=arguments.seconds)
                for count in IN_FLIGHT if alone else MOST:
                    seconds = arguments.seconds * 2 / 3
                    done = ask(workers[name], task="throughput", seconds=seconds, in_flight=count)
                    yield about | {"task": "throughput", "in_flight": count} | done
            print(f"input {size}: round {number + 1}", file=sys.stderr, flush=True)
    starting = [name for name in every if name == "anomalib" or name.split()[0] in ("edge", "default")]
    for number in range(arguments.rounds):
        for name in rotated(starting, number):
            started = time.perf_counter()
            with worker(every[name], arguments.work) as fresh:
                first = time.perf_counter() - started
                peak = ask(fresh, task="memory", count=MORE_FRAMES)
            yield {"size": size, "round": number, "system": name, "task": "start", "first_s": first} | peak


def rotated(names: list[str], number: int) -> list[str]:
    """The names, beginning with another one in every round."""
    at = number % len(names)
    return names[at:] + names[:at]


@contextmanager
def worker(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs a worker, from its first verdict on; in a folder into which it may write."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
    try:
        answered(process)
        yield process
    finally:
        process.kill()
        process.wait()


def ask(process: subprocess.Popen[str], **task: object) -> Turn:
    """Gives a worker a task and returns what it answers."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(task) + "\n")
    process.stdin.flush()
    return answered(process)


def answered(process: subprocess.Popen[str]) -> Turn:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(MARK):
            result: Turn = json.loads(line[len(MARK) :])
            return result
    sys.exit(f"a worker ended: {process.args}")


if __name__ == "__main__":
    main()
