"""Measures of heads with their intervals, paired tests of two heads, and calibration by temperature.

per_image    the measure of each single image
resampling   bootstrap resamples as counts; intervals
sums         measures that are functions of sums over images
curves       AUROC and average precision
confusion    confusion matrices
resampled    every measure on every resample
explaining   why a measure is undefined, how an interval was computed
measuring    probabilities and labels -> HeadMetrics
comparison   the result of a paired test; Holm's correction
paired       tests on the same images
pooling      class scores of views -> those of the image
shared_images  what test images that draws share add to the variance of a mean over draws
over_splits  tests on the same splits
class_shares  shares of classes among images without labels
temperature  class scores -> probabilities
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
