"""The runtime on the box: camera, engine, discrepancy, verdict, MQTT. Never imports torch."""

__version__ = "0.1.0"
