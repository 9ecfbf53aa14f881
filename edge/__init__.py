"""The runtime on the box: camera, engine, discrepancy, verdict, MQTT. Never imports torch.

The command and what it runs:
    cli.py              the command `edge-inspect` and its subcommands
    program.py          exit statuses, messages and JSON output of the three command-line programs
    dependencies.py     the package that each imported module belongs to, and the remedy if it does not load
    errors.py           the tree of errors that users see
    long_running.py     the log and the end of the subcommands that run until a signal
    service.py          `run`: all stations of a box in one process
    check.py            `check`: checks a configuration and its broker without starting anything
    inspection.py       `image`: inspects image files without a service
    bench.py            `bench`: measures how fast a bundle runs on this box
    step_times.py       `bench --profile`: measures each step from a picture's file to the outbox
    doctor.py           `doctor`: lists what is installed on this box and what is missing
    finding.py          one item that `doctor` has looked for
    selftest.py         `selftest`: tests whether this box computes correctly; selftest.zip is its bundle
    requester.py        `command`: sends one command and waits for its reply
    request_options.py  the options of `command`
    broker_options.py   the options that say how `command` and `fleet` reach the broker
    fleet/              `fleet`: lists the stations of a plant, and rolls bundles out to them in waves; fetches logs
    demo/               `demo`: the whole chain on a rendered production line

The configuration:
    configuration/      reads a YAML file into checked settings

From a frame to a verdict, in this order:
    cameras/            where frames come from
    triggers/           when the frame of a part is taken
    station/            one camera, its bundle, and the commands that change them
    engine_loop.py      the thread that inspects the frames of all stations in turn
    frame/              reads frames from files, and fits them to the network's input
    engines/            turn a frame into an anomaly map and a score
    discrepancy.py      the last steps of the discrepancy as matrices, for engines
    kernels/            CUDA code for the steps before and after the network
    cuda.py             GPU, memory, streams and graphs; the only user of pycuda
    processor.py        the instruction sets of the processor
    decision.py         turns a map into accept or reject, and into defect regions
    frame_map.py        the anomaly map as a small grey picture that lies in register with the frame
    overlay.py          pictures for people: maps, regions, contact sheets
    evidence/           frames of rejected and borderline parts on disk
    labels/             what people say about parts, kept for teaching and for training

From the workstation to the station:
    bundle/             network, thresholds, golden frames; opened, checked, signed, fetched

The contract and the way to the broker:
    contract/           the messages and commands of the MQTT contract
    outbox/             where messages wait on disk
    sinks/              the interface of every sink, and the registry of sinks
    mqtt/               the sink `mqtt`: publisher, session, connection; JSON and Sparkplug B
    bridge/             the receiving side: serves verdicts to a PLC as Modbus registers
    opcua/              the receiving side: shows the stations to OPC UA clients
    views/              the receiving side: makes one verdict of several stations that see the same part
    webhook/            the receiving side: posts verdicts to web servers
    page/               the receiving side: shows the stations to people in their browsers
    archive/            the receiving side: stores everything in PostgreSQL or SQLite

The state of the box:
    health/             stages, pictures, scores, machine, watchdog, /metrics
    systemd.py          readiness, watchdog and journal
    signals.py          SIGTERM, SIGINT and SIGHUP
    identity.py         an id that distinguishes this box from a copy of its disk
    clock.py            notices that the wall clock was set
    memory.py           the largest memory use of a process
    child_process.py    a program that ends with the process that started it
    threads.py          waits for the end of a thread, and leaves one behind that hangs
    log_limit.py        limits how often the same line is logged
    log_ring.py         the newest lines of the log, in memory
    files.py            writes files completely or not at all
    file_system.py      the file system of a URL such as s3://bucket
    data_folder.py      the folder `data` of a program, which one process uses
    sqlite_file.py      what SQLite files share: one process writes, a change is whole, damage is found
    text.py             escapes characters in text from outside that cannot be shown
"""

import sys

__version__ = "0.2.0"

# Importing OpenVINO sends an event to Google Analytics and keeps an id in ~/intel, unless its package for that is
# missing. A box in a factory must not contact anybody outside, so the package is made to look missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
