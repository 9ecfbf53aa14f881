"""The frame: read from a file, aligned, brought to the network's canvas, cut into tiles, and maps brought back to it.

images/         pictures from files, as uint8 BGR
alignment.py    a part that does not lie still is brought to one pose, by
pose.py         where the part lies in a frame
part_finder.py  the search and its checks, from coarse to fine
part_search.py  the coarse search, by correlation
part_edges.py   edge points of the part, fitted below the pixel
part_twins.py   other poses in which the part looks nearly the same
fit.py          a frame is brought to the network's canvas, and maps back to the frame
fit_modes.py    the names of the fits, for command lines
tiles.py        a canvas is cut into tiles, and their maps are merged
"""
