"""Extraction: images are read, run through a backbone, and their features written to a cache."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
