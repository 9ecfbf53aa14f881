"""A station: one camera, one product, one place in the topic tree.

station.py            all of it together
box.py                what the stations of a box share
gate.py               when the camera thread may take a frame, and what for
camera_thread.py      from the camera into the ring
ring.py               frames that wait for the engine
hand.py               the part that the engine has in hand
inspector.py          the bundle in force, and its change between two parts
judge.py              a bundle at work; engines that stations share
part.py               an inspected part, and its messages
shadow.py             judging without rejecting, and the scores collected meanwhile
statistics.py         counts and latencies
state.py              starting, online, degraded or paused
alarms.py             conditions that last while parts are inspected
commands.py           what each command does
command_desk.py       which commands may be carried out
command_memory.py     ids of commands that were taken, over restarts
record.py             what commands have changed, on disk
bundle_record.py      which bundle judges, over restarts
threshold_record.py   which threshold holds, over restarts
"""
