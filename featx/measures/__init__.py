"""Probabilities and what is true in; measures with their intervals, tests of pairs of heads, and temperatures out.

images       what one image adds to a measure
resampling   which images, or groups, are drawn how often; intervals
sums         measures that are functions of sums over images
ranking      measures of how images are ranked
confusion    which class was taken for which
draws        probabilities, truth -> every measure on every resample
measuring    probabilities, truth -> HeadMetrics
paired       heads on the same images, or the same splits -> Comparison
temperature  class scores -> probabilities
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
