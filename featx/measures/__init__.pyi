from .agreement import (
    mean_over_sets as mean_over_sets,
    pairs_in_order as pairs_in_order,
    pearson as pearson,
    regret_of_first as regret_of_first,
    weighted_tau as weighted_tau,
    width_bias as width_bias,
)
from .class_shares import (
    bbse_interval as bbse_interval,
    bbse_shares as bbse_shares,
    em_interval as em_interval,
    em_shares as em_shares,
)
from .clusters import (
    ClusterAgreement as ClusterAgreement,
    matched_accuracy as matched_accuracy,
    measure_clusters as measure_clusters,
    purity as purity,
)
from .comparison import Comparison as Comparison, holm as holm
from .crossing import (
    first_reaching as first_reaching,
    rising_curve as rising_curve,
    shots_between as shots_between,
)
from .means import (
    accuracy_interval as accuracy_interval,
    mean_interval as mean_interval,
    resampled_means as resampled_means,
    standard_error as standard_error,
    widen_interval as widen_interval,
)
from .measuring import measure as measure
from .metrics import (
    MEASURE_TITLES as MEASURE_TITLES,
    ClassMetrics as ClassMetrics,
    GroupMetrics as GroupMetrics,
    HeadMetrics as HeadMetrics,
    Interval as Interval,
    format_measure as format_measure,
)
from .over_draws import (
    SampleSize as SampleSize,
    difference_over_draws as difference_over_draws,
    interval_over_draws as interval_over_draws,
)
from .over_splits import (
    corrected_t_test as corrected_t_test,
    domains_t_test as domains_t_test,
    draws_t_test as draws_t_test,
    share_of_rows as share_of_rows,
)
from .paired import (
    RowMeasure as RowMeasure,
    mcnemar as mcnemar,
    paired_bootstrap as paired_bootstrap,
    paired_measures as paired_measures,
    paired_recalls as paired_recalls,
    paired_resamples as paired_resamples,
    resample_measure as resample_measure,
    row_values as row_values,
)
from .per_image import (
    THRESHOLD as THRESHOLD,
    class_correctness as class_correctness,
    correctness as correctness,
    log_losses as log_losses,
)
from .pooling import pool_views as pool_views
from .rank_tests import (
    MeanRanks as MeanRanks,
    compare_ranks as compare_ranks,
    letters_of as letters_of,
    nemenyi_distance as nemenyi_distance,
    rank_rows as rank_rows,
)
from .reliability import ReliabilityBin as ReliabilityBin, measure_reliability as measure_reliability
from .shared_images import SharedImages as SharedImages
from .temperature import fit_temperature as fit_temperature, to_probabilities as to_probabilities
