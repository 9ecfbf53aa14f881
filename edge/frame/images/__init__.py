"""Pictures from files, as upright uint8 BGR, the only form that all other code uses.

Damaged pictures are refused as far as the format shows damage. PNG and deflated TIFF have checksums, so damage always
shows. JPEG (see `jpeg`), WebP, JPEG 2000 and LZW show nearly all loss of data, but often not a changed byte. Formats
with plain pixels, such as BMP, PGM and uncompressed TIFF, only show that pixels are missing at the end.

file.py      reads and writes a picture's file
folder.py    lists the pictures of a folder
facts.py     what a file says about its picture, and the reasons to refuse it
jpeg.py      JPEG's segments, and a decoder that reports lost data
png.py       PNG's chunks
tiff.py      the directories of TIFF and EXIF
formats.py   WebP, portable pixmaps, JPEG 2000, and formats that are refused
frame.py     converts a decoded picture to a frame
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
