"""Health: whether each stage gets on, whether the pictures and scores are as at calibration, and how the box is.

stage.py               a stage of the chain: what it has in hand, and since when
watchdog.py            which stages hang, and what is to be done
supervisor.py          feeds systemd's watchdog, and has hanging stages helped
picture.py             the camera's pictures: frozen, dark, overexposed, out of focus
picture_change.py      light, focus and position against the calibration
drift.py               scores against those of the calibration
rejects.py             a control chart of the share of rejects
cause.py               the likely cause of a warning, and its remedy
calibration_watch.py   pictures, scores and rejects of a station against the calibration, and the warnings
machine.py             temperature, throttling and disk
report.py              what is told of a station outside of MQTT
histogram.py           latencies as Prometheus counts them
exposition.py          a report in the text format of Prometheus
http.py                /healthz, /livez and /metrics on loopback
"""
