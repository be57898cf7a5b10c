"""A deployed model answers requests: of programs by HTTP, and of people by a page in their browser."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
