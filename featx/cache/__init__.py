"""Writes and reads the cache, the HDF5 file with the features of an image set.

`create_partial` lays out the file, CacheWriter writes its rows, `seal` completes it, and `read_features` reads it as a
FeatureTable. docs/cache.md describes format 1.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
