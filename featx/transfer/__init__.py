"""Transfer itself: which source to choose for a target task, what it is worth, and how many labels it saves.

scores   numbers that predict transfer before any head is trained, and the ranking of sources by them
gains    accuracy with a source minus that of the best baseline: does it help or harm?
curves   accuracy against the number of training images
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
