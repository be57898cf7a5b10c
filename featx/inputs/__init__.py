"""Finds, reads and decodes images.

`list_images` turns a folder, manifest, archive, table or array into an ImageSet: names and labels in a fixed order, and
a source that reads the images. `decode_image` turns one image into the pixels that a model takes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
