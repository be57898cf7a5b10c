from .images import THRESHOLD as THRESHOLD, guessed_right as guessed_right
from .measuring import measure as measure
from .metrics import ClassMetrics as ClassMetrics, GroupMetrics as GroupMetrics, HeadMetrics as HeadMetrics
from .paired import (
    Comparison as Comparison,
    RowMeasure as RowMeasure,
    corrected_t_test as corrected_t_test,
    draws_t_test as draws_t_test,
    holm as holm,
    mcnemar as mcnemar,
    paired_bootstrap as paired_bootstrap,
    paired_measures as paired_measures,
    paired_recalls as paired_recalls,
    paired_resamples as paired_resamples,
    resample_measure as resample_measure,
    row_values as row_values,
)
from .temperature import fit_temperature as fit_temperature, to_probabilities as to_probabilities
