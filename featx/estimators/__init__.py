"""The scikit-learn estimators that heads consist of.

Transformers scale, reduce, select or map columns. Classifiers learn labels, weights and soft labels, and give every
class a score. `sweep` fits a classifier with every parameter set of a grid and does the work that fits share once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
