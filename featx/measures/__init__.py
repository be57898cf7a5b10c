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

from featx.measures.images import THRESHOLD, guessed_right
from featx.measures.measuring import measure
from featx.measures.metrics import ClassMetrics, GroupMetrics, HeadMetrics
from featx.measures.paired import (
    Comparison,
    RowMeasure,
    corrected_t_test,
    draws_t_test,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_measures,
    paired_recalls,
    paired_resamples,
    resample_measure,
    row_values,
)
from featx.measures.temperature import fit_temperature, to_probabilities

__all__ = [
    "THRESHOLD",
    "ClassMetrics",
    "Comparison",
    "GroupMetrics",
    "HeadMetrics",
    "RowMeasure",
    "corrected_t_test",
    "draws_t_test",
    "fit_temperature",
    "guessed_right",
    "holm",
    "mcnemar",
    "measure",
    "paired_bootstrap",
    "paired_measures",
    "paired_recalls",
    "paired_resamples",
    "resample_measure",
    "row_values",
    "to_probabilities",
]
