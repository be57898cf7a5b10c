from .adaptation.adaptation import Adaptation as Adaptation, AdaptationRow as AdaptationRow, Versus as Versus
from .adaptation.adapting import adapt_head as adapt_head
from .adaptation.methods import RECIPES as RECIPES
from .clustering.clustering import (
    Cluster as Cluster,
    Clustering as Clustering,
    cluster_features as cluster_features,
)
from .curves.needed import LabelsNeeded as LabelsNeeded, LabelsSaved as LabelsSaved
from .curves.points import CurvePoint as CurvePoint
from .curves.tracing import LearningCurve as LearningCurve, draw_curve as draw_curve, trace_curve as trace_curve
from .gains.gain import (
    BaselineAccuracy as BaselineAccuracy,
    Gain as Gain,
    PartGain as PartGain,
    SourceGain as SourceGain,
    Verdict as Verdict,
)
from .gains.judging import interval_of as interval_of
from .gains.measuring import measure_gain as measure_gain
from .gains.predictors import (
    Predictor as Predictor,
    join_results as join_results,
    majority_predictor as majority_predictor,
)
from .gains.verdicts import judge_gain as judge_gain
from .gaps.gap import (
    BlockShift as BlockShift,
    ClassShare as ClassShare,
    ColumnShift as ColumnShift,
    Gap as Gap,
    GapVerdict as GapVerdict,
)
from .gaps.measuring import measure_gap as measure_gap
from .labelling.suggesting import (
    LabelPlan as LabelPlan,
    LabelSuggestion as LabelSuggestion,
    suggest_labels as suggest_labels,
)
from .mapping import FeatureMap as FeatureMap, map_features as map_features
from .parameters.transferring import transfer_head as transfer_head
from .reading import (
    read_adaptation as read_adaptation,
    read_curve as read_curve,
    read_gain as read_gain,
    read_gap as read_gap,
    read_scores as read_scores,
)
from .scores.evidence import log_evidence as log_evidence
from .scores.gaussians import clustered_leep as clustered_leep, gaussian_overlap as gaussian_overlap
from .scores.h_score import shrunk_h_score as shrunk_h_score
from .scores.pac_bound import gaussian_bound as gaussian_bound
from .scores.ranking import RankedSource as RankedSource, rank_sources as rank_sources
from .scores.scoring import (
    DEFAULT_SCORES as DEFAULT_SCORES,
    SCORES as SCORES,
    SourceScore as SourceScore,
    TransferScores as TransferScores,
    check_scores as check_scores,
    score_transferability as score_transferability,
    tables_of as tables_of,
)
from .scores.source_classes import leep as leep, nce as nce
from .scores.transrate import transrate as transrate
from .space import PlacingProgress as PlacingProgress
