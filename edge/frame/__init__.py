"""The frame: reading it from a file, fitting it to the network's canvas, and cutting the canvas into tiles.

images/        reads pictures from files as uint8 BGR
fit.py         fits a frame to the network's canvas, and maps back to the frame
fit_modes.py   names of the fits and other constants, for command lines
tiles.py       cuts a canvas into tiles, and merges their maps
"""
