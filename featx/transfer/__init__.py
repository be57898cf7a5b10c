"""Transfer itself: which source to choose for the images of a target task.

`score_transferability` scores every output of every cache without training a head, and ranks them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
