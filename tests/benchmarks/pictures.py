"""The cost of published pictures: size and time of each, and what they cost the inspecting process, in pairs.

    python tests/benchmarks/pictures.py [BUNDLE] [--frames 150] [--pairs 4] [--fps 10]

Without BUNDLE one is made as in service.py. `edge-inspect run` inspects rendered frames of 640x480 pixels and publishes
to a real broker: once without pictures, once with `pictures: {share: 1, per_second: 2}`, and so on in turn. The latency
is `latency_ms` of the verdicts, from frame to verdict; the processor time is that of the whole process, with all its
threads, from its first to its last verdict. Then one picture of each size is encoded many times; `engine_thread_ms` is
the copy of the map, `picture_thread_ms` the rest. Writes results/pictures.csv and results/picture_sizes.csv.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import yaml
from service import make_bundle
from table import RESULTS, Row, processor, write

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import BundleReference, FrameSize, Verdict
from edge_inspect.edge.demo.broker import running_broker
from edge_inspect.edge.demo.line import write_stream
from edge_inspect.edge.demo.subscriber import Subscriber
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, list_images, read_image
from edge_inspect.edge.mqtt.pictures import ChosenPart, encode

LIMIT_S = 300
PICTURES = {"share": 1, "per_second": 2}
SIZES = ((640, 480), (1280, 960), (1920, 1080), (2448, 2048))


def main() -> None:
    """Runs the pairs, then encodes pictures of each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument(
        "--fps", type=float, default=10, help="parts a second; more than the engine inspects would queue"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        bundle = arguments.bundle or make_bundle(work, None)
        write_stream(work / "stream", frames=arguments.frames, defect_share=0.1, seed=2)
        rows = []
        for pair in range(arguments.pairs):
            for pictures in (False, True):
                rows.append({"pair": pair + 1, **run(work, bundle, arguments, pictures)})
                print(*(f"{key} {value}" for key, value in rows[-1].items()), sep="  ", flush=True)
        write(RESULTS / "pictures.csv", rows)
        frame = read_image(list_images(work / "stream")[0])
    write(RESULTS / "picture_sizes.csv", [encoded(frame, size) for size in SIZES])


def run(work: Path, bundle: Path, arguments: argparse.Namespace, pictures: bool) -> Row:
    """Inspect the stream once; return latency, processor time and the number of pictures."""
    with running_broker() as (_, port), Subscriber(port, lambda _: None) as plc, tempfile.TemporaryDirectory() as box:
        camera = f"folder:{work / 'stream'}?fps={arguments.fps}"
        station = {"name": "s", "camera": camera, "policy": "every", "bundle": str(bundle.absolute())}
        settings = {
            "site": "bench",
            "line": "line",
            "stations": [station | ({"pictures": PICTURES} if pictures else {})],
            "mqtt": {"host": "127.0.0.1", "port": port},
            "outbox": {"path": f"{box}/outbox.db"},
        }
        config = Path(box) / "config.yaml"
        config.write_text(yaml.safe_dump(settings))
        service = subprocess.Popen([sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(config)])
        try:
            plc.wait_for(1, LIMIT_S)
            before, first = cpu_s(service.pid), len(plc.verdicts)
            plc.wait_for(arguments.frames, LIMIT_S)
            used, parts = cpu_s(service.pid) - before, len(plc.verdicts) - first
        finally:
            service.terminate()
            service.wait()
        latency = [verdict["latency_ms"] for verdict in plc.verdicts.values()]
    return {
        "pictures": pictures,
        "fps": arguments.fps,
        "parts": len(latency),
        "p50_ms": round(float(np.percentile(latency, 50)), 2),
        "p99_ms": round(float(np.percentile(latency, 99)), 2),
        "cpu_ms_per_part": round(1000 * used / max(parts, 1), 2),
        "processor": processor(),
    }


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def encoded(frame: Frame, size: tuple[int, int], repeats: int = 20) -> Row:
    """Return the size of a picture and of its map, and the time that it takes to copy the map and to encode both."""
    scaled = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    smooth = cv2.GaussianBlur(np.random.default_rng(0).normal(0.3, 0.3, (256, 256)), (0, 0), 4)
    values = np.abs(smooth).astype(np.float32)
    anomaly = AnomalyMap(values, Fit(256, 256).apply(scaled)[1], 0.6)
    now = utc_now()
    verdict = Verdict(
        boot_id="b",
        sequence=1,
        captured_at=now,
        decided_at=now,
        ok=False,
        score=0.6,
        threshold=0.5,
        bundle=BundleReference(name="b", digest="d"),
        precision="fp32",
        engine="openvino",
        latency_ms=1,
        frame=FrameSize(width=size[0], height=size[1]),
    )
    part = ChosenPart(verdict, scaled, anomaly)
    copying, encoding = [], []
    for _ in range(repeats):
        started = time.thread_time()
        values.copy()
        copied = time.thread_time()
        picture, map_ = encode(part)
        copying.append(copied - started)
        encoding.append(time.thread_time() - copied)
    row = {
        "width": size[0],
        "height": size[1],
        "picture_bytes": len(picture),
        "map_bytes": len(map_),
        "engine_thread_ms": round(1000 * float(np.median(copying)), 3),
        "picture_thread_ms": round(1000 * float(np.median(encoding)), 2),
        "processor": processor(),
    }
    print(*(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
    return row


if __name__ == "__main__":
    main()
