"""The scikit-learn estimators that heads are made of; they learn soft labels and try many parameters at once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
