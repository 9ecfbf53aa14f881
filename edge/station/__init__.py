"""A station: one camera, one product, one place in the topic tree.

station.py             all of it together
box_resources.py       what the stations of a box share
frame_requests.py      when the camera thread may take a frame, and what for
camera_thread.py       from the camera into the ring
ring.py                frames that wait for the engine
bundles.py             the bundle in force, and its change between two parts
loaded_bundle.py       a bundle with its engine, its thresholds, and the watch over its calibration; shared engines
part.py                a part: while the engine works on it, with its decision, and as messages
shadow.py              inspecting without rejecting, and the scores collected meanwhile
statistics.py          counts and latencies
state.py               starting, online, degraded or paused
alarms.py              conditions that last while parts are inspected
station_health.py      the health of all of these, published and reported
command_admission.py   which commands may be carried out, and the ids of those that were taken, over restarts
command_execution.py   what each command does, once the station is ready for it
change_records.py      what commands have changed, on disk: which bundle and which threshold hold, over restarts
"""
