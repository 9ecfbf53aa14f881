"""Pictures from files, in the one form everything else takes: uint8 BGR, upright.

What is damaged is refused, as far as it can be told. PNG and deflated TIFF have checksums, so there it always can be.
In JPEG (see `jpeg`), WebP, JPEG 2000 and LZW nearly all loss of data is noticed, and a changed byte often is not; plain
pixels, as in BMP, PGM and uncompressed TIFF, show only that some are missing at the end.

file.py      reads and writes a picture's file
folder.py    lists the pictures of a folder
facts.py     what a file says of itself, and why it may be refused
jpeg.py      JPEG's segments, and a decoder that tells of lost data
png.py       PNG's chunks
tiff.py      TIFF's directories, and EXIF's
formats.py   WebP, portable pixmaps, JPEG 2000, and formats that are not read
frame.py     a decoded picture in the one form that all else takes
mask.py      ground truth: which pixels are defective
"""

from edge_inspect.edge.frame.images.file import pixel_digest, read_image, write_image
from edge_inspect.edge.frame.images.folder import SUFFIXES, list_images, nothing_here, pictures_of
from edge_inspect.edge.frame.images.frame import Frame, to_frame
from edge_inspect.edge.frame.images.mask import Mask, read_mask

__all__ = [
    "SUFFIXES",
    "Frame",
    "Mask",
    "list_images",
    "nothing_here",
    "pictures_of",
    "pixel_digest",
    "read_image",
    "read_mask",
    "to_frame",
    "write_image",
]
