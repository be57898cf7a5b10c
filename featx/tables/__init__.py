"""Feature tables: what a head is trained on, read from caches.

`reading` reads caches as tables, `annotations` replaces their labels by labels from a CSV file, and `joining` puts the
features of several backbones side by side. `splits` assigns rows to training, validation and test.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
