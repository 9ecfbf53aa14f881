"""Health: progress of camera, engine and disk, pictures and scores against the calibration, and the box.

stage.py               a stage of a station: what it is doing, and since when
watchdog.py            finds the stages that hang, and says what to do about each
supervisor.py          feeds systemd's watchdog, and has hanging cameras and engines restarted
picture.py             measures the camera's pictures, and warns of frozen, dark, overexposed or blurred ones
picture_change.py      compares light, focus and position with the calibration
drift.py               compares scores with those of the calibration
rejects.py             a control chart of the share of rejects
control_limits.py      between which shares of rejects a number of parts is as usual
cause.py               the likely cause of a warning, and its remedy
calibration_watch.py   compares pictures, scores and rejects of a station with the calibration, and words the warnings
machine.py             temperature, throttling and disk of the box
report.py              the report of a station for /healthz and /metrics
histogram.py           a histogram of latencies, in the form of Prometheus
exposition.py          reports in the text format of Prometheus
http.py                serves /healthz, /livez and /metrics on loopback
"""
