"""The runtime on the box: camera, engine, discrepancy, verdict, MQTT. Never imports torch."""

import sys

__version__ = "0.2.0"

# Importing OpenVINO sends an event to Google Analytics and keeps an id in ~/intel, unless this package of its is
# missing. A box on a factory's line tells nobody outside.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
