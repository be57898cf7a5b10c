from .candidates import (
    Candidate as Candidate,
    FailedCandidate as FailedCandidate,
    list_candidates as list_candidates,
)
from .comparing import (
    ComparisonProgress as ComparisonProgress,
    ComparisonResults as ComparisonResults,
    compare_backbones as compare_backbones,
)
from .ranking import (
    RankedCandidate as RankedCandidate,
    Ranking as Ranking,
    rank_candidates as rank_candidates,
)
from .read_results import RankedResults as RankedResults, rank_results as rank_results
from .split_images import (
    Outcome as Outcome,
    SplitImages as SplitImages,
    means_by_domain as means_by_domain,
    predicted_classes as predicted_classes,
)
