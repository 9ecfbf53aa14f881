"""The runtime on the box: camera, engine, discrepancy, verdict, MQTT. Never imports torch.

The command and what it runs:
    cli.py              the command `edge-inspect` and its subcommands
    program.py          what the three command-line programs share: exit statuses, messages, JSON output
    dependencies.py     which package brings which module, and what to do where one does not load
    errors.py           the tree of errors that users see
    service.py          `run`: all stations of a box in one process
    check.py            `check`: a configuration and its broker, looked at without starting anything
    inspection.py       `image`: files judged without a service
    bench.py            `bench`: how fast a bundle is here
    doctor.py           `doctor`: what this box has and lacks
    finding.py          one thing that `doctor` has looked for
    selftest.py         `selftest`: whether this box computes what it should; selftest.zip is its bundle
    requester.py        `command`: one command is sent and its reply awaited
    request_options.py  the options of `command`
    demo/               `demo`: the whole chain on a rendered production line

The configuration:
    configuration/      a YAML file becomes checked settings

From a frame to a verdict, in this order:
    cameras/            where frames come from
    triggers/           what asks for a part's frame
    station/            one camera, its bundle, and what commands change
    engine_loop.py      the thread that judges the frames of all stations in turn
    frame/              a frame is read from a file and brought to the network's canvas
    engines/            a frame becomes an anomaly map and a score
    discrepancy.py      the last steps of the discrepancy as matrices, for engines
    kernels/            the GPU's code for what stands around the network
    cuda.py             GPU, memory, streams and graphs; the only user of pycuda
    processor.py        what the processor can do
    decision.py         a map becomes accept or reject, and regions
    overlay.py          pictures for people: maps, regions, contact sheets
    evidence/           frames of rejected and borderline parts on disk

What a station gets from the workstation:
    bundle/             network, thresholds, golden frames; opened, checked, signed

The contract and the way to the broker:
    contract/           the messages and commands of the MQTT contract
    outbox/             where messages wait on disk
    sinks/              where messages go: what every sink does, and the list of them
    mqtt/               the sink `mqtt`: publisher, session, connection; JSON and Sparkplug B
    bridge/             the other side: verdicts as Modbus registers for a PLC

How the box is:
    health/             stages, pictures, scores, machine, watchdog, /metrics
    systemd.py          readiness, watchdog and journal
    signals.py          SIGTERM, SIGINT and SIGHUP
    identity.py         what tells this box from a copy of its disk
    clock.py            noticing that the wall clock was set
    memory.py           how much memory a process has held
    log_limit.py        the same is not logged too often
    files.py            files that are there whole or not at all
    text.py             text from outside, made fit to be shown and sent
"""

import sys

__version__ = "0.2.0"

# Importing OpenVINO sends an event to Google Analytics and keeps an id in ~/intel, unless this package of its is
# missing. A box on a factory's line tells nobody outside.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
