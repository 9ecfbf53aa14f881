"""The frame: reading it from a file, aligning it, fitting it to the network's canvas, and cutting that into tiles.

images/         reads pictures from files as uint8 BGR
alignment.py    brings a part that does not lie still to one pose, by
pose.py             where the part lies in a frame
part_finder.py      the search and its checks, from coarse to fine
part_search.py      the coarse search, by correlation
part_edges.py       edge points of the part, fitted below the pixel
part_twins.py       other poses in which the part looks nearly the same
areas.py        named areas that are looked at or ignored
fit.py          fits a frame to the network's canvas
fit_modes.py    names of the fits and other constants, for command lines
placement.py    where a fitted frame lies, and how its maps are brought back
resizing.py     resizes pictures in steps
tiles.py        cuts a canvas into tiles, and merges their maps
"""
