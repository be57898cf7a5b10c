"""The image formats that featx reads, and the endings of their files."""

from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Raster formats only: some of Pillow's other readers start programs, or open what the file names."""
_FURTHER_ENDINGS = (".avif", ".jfi", ".jif", ".jp2k", ".mpo")
"""Endings of these formats that Pillow does not list, or lists only if it was built with the format."""
_NOT_8_BIT = (".pfm",)
"""Endings of files whose numbers have no standard range, so that they cannot be read."""

Image.init()
IMAGE_ENDINGS = frozenset(
    {ending for ending, name in Image.registered_extensions().items() if name in FORMATS} | {*_FURTHER_ENDINGS}
) - {*_NOT_8_BIT}
"""Endings, in lower case, of the files that count as images when a folder or a tar is listed."""
