"""The frame: reading it from a file, fitting it to the network's canvas, and cutting the canvas into tiles.

images/        reads pictures from files as uint8 BGR
areas.py       named areas that are looked at or ignored
fit.py         fits a frame to the network's canvas
fit_modes.py   names of the fits and other constants, for command lines
placement.py   where a fitted frame lies, and how its maps are brought back
resizing.py    resizes pictures in steps
tiles.py       cuts a canvas into tiles, and merges their maps
"""
