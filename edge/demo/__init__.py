"""The demo: the whole chain on a rendered production line, without downloads.

demo_options.py   the options of the command
chain.py          runs all steps of the demo
line.py           renders frames of the production line, as a data set and as a stream
flange.py         renders the part: its shape, its surface and the light on it
defects.py        renders defects of a part, and their masks
folder_lock.py    locks the folder of a demo
broker.py         runs a broker on loopback
stream.py         runs the service on a stream of parts
subscriber.py     collects verdicts and defects from the broker
summary.py        compares the verdicts with the truth, in numbers and in a picture
live.py           leaves the line running with its page
progress.py       shows the progress of a step
"""
