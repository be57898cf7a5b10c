"""Chooses a source before anything is extracted: a sample of the images goes through every candidate.

`choose_source` runs both halves, extraction and learning: it extracts some rows, scores them, and drops candidates.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
