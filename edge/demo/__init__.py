"""The demo: a rendered production line, so that the whole chain can be watched without a download.

chain.py        the whole demo, step by step
line.py         frames of a rendered production line, as a data set and as a stream
flange.py       the part: its shape, its surface and the light on it
defects.py      the defects of a part, and their masks
broker.py       a broker on loopback
stream.py       the stream of parts through the service
subscriber.py   what a PLC bridge would see
summary.py      what the verdicts are worth, as numbers and as a picture
progress.py     progress of the demo's own steps
"""
