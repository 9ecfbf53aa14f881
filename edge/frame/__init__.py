"""The frame: read from a file, brought to the network's canvas, cut into tiles, and maps brought back to it.

images/        pictures from files, as uint8 BGR
areas.py       named areas that are looked at or ignored
fit.py         a frame is brought to the network's canvas, and maps back to the frame
fit_modes.py   the names of the fits, for command lines
resizing.py    pictures brought to another size
tiles.py       a canvas is cut into tiles, and their maps are merged
"""
