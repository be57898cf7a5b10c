"""The cache: the HDF5 file that holds the features of an image set. docs/cache.md describes format 1."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
