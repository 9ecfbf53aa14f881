"""Pictures from files, in the one form everything else takes: uint8 BGR, upright.

`file` reads and writes them, `folder` lists them, `mask` reads ground truth. What a format says of itself before it is
decoded is read by a module of its own: `jpeg`, `png`, `tiff`, `formats`.
"""

from edge.images.file import DEPTHS, pixel_digest, read_image, write_image
from edge.images.folder import SUFFIXES, list_images, nothing_here, pictures_of
from edge.images.frame import Frame, to_frame
from edge.images.mask import Mask, read_mask

__all__ = [
    "DEPTHS",
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
