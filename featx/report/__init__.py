"""Reports for people: results, rankings, metrics, caches and models in the terminal and in Markdown."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
