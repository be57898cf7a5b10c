"""Trains the last layers of a backbone on cached maps, and writes what they became as a new backbone.

The frozen part of the network runs once; its maps, with their views, are an ordinary cache.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
