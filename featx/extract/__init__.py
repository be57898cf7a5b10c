"""Extracts the features of an image set into a cache.

Threads read and decode images into batches (`batches`), a session computes their features (`streaming`), and one thread
writes them to the cache (`recording`). Rows that a previous cache has already are kept (`resuming`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
