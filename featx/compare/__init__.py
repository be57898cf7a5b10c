"""Comparisons of heads, fusions and backbones on the same images and splits.

`list_candidates` lists what is to be compared, `compare_backbones` trains and measures every candidate, and
`rank_candidates` ranks them and tests each against the best head on a single backbone.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
