"""The feature file, the contract between extracting and learning; format 1 is written down in docs/cache.md."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
