"""Heads: scikit-learn pipelines by name, tuned, fitted, measured, saved without pickle, and loaded again.

recipes       heads by name
fusions       ways to join several backbones or outputs, by name
head          a fitted head
training      table -> fitted head and its result
evaluate      head, table -> measures
saving        heads on disk
results       the result of one training
results_file  results on disk
records       results as flat rows
label_errors  images whose label is probably wrong
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
