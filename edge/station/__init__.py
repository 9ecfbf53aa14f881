"""A station: one camera, one product, one place in the topic tree.

station.py             the station: puts all other modules together
box_resources.py       the objects that all stations of a box share
frame_requests.py      when the camera thread may take a frame, and for which part or snapshot
camera_thread.py       reads frames from the camera into the ring
ring.py                the frames that wait for the engine
bundles.py             the bundle in force of a station or a recipe, and its change between two parts
recipes.py             which recipe is in force, and by which one a part is judged
open_recipes.py        the recipes whose bundles are open
recipe_memory.py       which of them are closed when memory runs short
part_id_patterns.py    recognises the product of a part by its id
loaded_bundle.py       a bundle with its engine, its threshold, and the watch over its calibration; shared engines
inspector.py           takes the frames that wait, has them inspected, and stores their verdicts
part.py                a part: while the engine works on it, with its decision, and as messages
part_keepers.py        where the frame of a part goes after its verdict: evidence and published pictures
shadows.py             the shadows of a station, one for each recipe
shadow.py              inspecting without rejecting, while scores are collected
statistics.py          counts and latencies of parts
state.py               the state that the status shows: starting, online, degraded or paused
alarms.py              problems that last while parts are inspected
station_health.py      collects and publishes the health of the station
command_admission.py   decides which commands are carried out; remembers their ids over restarts
command_execution.py   carries out commands and replies
resend.py              the command `resend`: which parts are published again
change_records.py      records on disk the bundles and thresholds that commands have set
"""
