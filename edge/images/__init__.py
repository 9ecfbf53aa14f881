"""Pictures from files, in the one form everything else takes: uint8 BGR, upright.

`file` reads and writes them, `folder` lists them, `mask` reads ground truth. What a format says of itself before it is
decoded is read by a module of its own: `jpeg`, `png`, `tiff`, `formats`.

What is damaged is refused, as far as it can be told. PNG and deflated TIFF have checksums, so there it always can be.
In JPEG (see `jpeg`), WebP, JPEG 2000 and LZW nearly all loss of data is noticed, and a changed byte often is not; plain
pixels, as in BMP, PGM and uncompressed TIFF, show only that some are missing at the end.
"""

from edge.images.file import pixel_digest, read_image, write_image
from edge.images.folder import SUFFIXES, list_images, nothing_here, pictures_of
from edge.images.frame import Frame, to_frame
from edge.images.mask import Mask, read_mask

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
