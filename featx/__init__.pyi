from .backbones import (
    Cut as Cut,
    Inspection as Inspection,
    find_cut as find_cut,
    inspect_model as inspect_model,
    list_backbones as list_backbones,
    list_cuts as list_cuts,
    list_layers as list_layers,
    map_backbone as map_backbone,
    open_session as open_session,
    select_outputs as select_outputs,
)
from .cache import (
    FeatureTable as FeatureTable,
    describe_cache as describe_cache,
    export_cache as export_cache,
    merge_caches as merge_caches,
    read_features as read_features,
    use_views as use_views,
    verify_cache as verify_cache,
)
from .choosing import (
    DroppedSource as DroppedSource,
    FailedSource as FailedSource,
    SourceTrials as SourceTrials,
    TriedSource as TriedSource,
    choose_source as choose_source,
)
from .compare import (
    Candidate as Candidate,
    ComparisonResults as ComparisonResults,
    RankedCandidate as RankedCandidate,
    Ranking as Ranking,
    compare_backbones as compare_backbones,
    list_candidates as list_candidates,
    rank_candidates as rank_candidates,
)
from .convert import (
    Check as Check,
    Description as Description,
    Preprocessing as Preprocessing,
    Quantization as Quantization,
    add_backbone as add_backbone,
    load_backbone as load_backbone,
    quantize_backbone as quantize_backbone,
    randomize_backbone as randomize_backbone,
    remove_backbone as remove_backbone,
    verify_backbone as verify_backbone,
)
from .deploy import (
    Deployed as Deployed,
    Prediction as Prediction,
    deploy_head as deploy_head,
    predict_images as predict_images,
    predict_tables as predict_tables,
)
from .errors import FeatxError as FeatxError
from .extract import (
    ExtractionSummary as ExtractionSummary,
    FeatureExtractor as FeatureExtractor,
    extract_features as extract_features,
    extract_shards as extract_shards,
)
from .finetuning import FineTuning as FineTuning, finetune_backbone as finetune_backbone
from .heads import (
    Head as Head,
    HeadInfo as HeadInfo,
    HeadSource as HeadSource,
    HeadStep as HeadStep,
    LabelError as LabelError,
    Mistake as Mistake,
    Result as Result,
    build_head as build_head,
    describe_head as describe_head,
    evaluate_head as evaluate_head,
    find_label_errors as find_label_errors,
    find_mistakes as find_mistakes,
    load_head as load_head,
    read_results as read_results,
    save_head as save_head,
    to_records as to_records,
    train_head as train_head,
)
from .inputs import ImageSet as ImageSet, list_images as list_images
from .measures import ClusterAgreement as ClusterAgreement, HeadMetrics as HeadMetrics
from .provenance import __version__ as __version__
from .report import write_report as write_report, write_tables as write_tables
from .settings import Settings as Settings
from .suites import (
    Protocol as Protocol,
    SourceModel as SourceModel,
    Suite as Suite,
    SuiteOutcome as SuiteOutcome,
    Target as Target,
    read_suite as read_suite,
    run_suite as run_suite,
)
from .tables import (
    Split as Split,
    annotate as annotate,
    find_duplicates as find_duplicates,
    fuse_tables as fuse_tables,
    make_splits as make_splits,
    read_annotations as read_annotations,
)
from .transfer import (
    Adaptation as Adaptation,
    AdaptationRow as AdaptationRow,
    BaselineAccuracy as BaselineAccuracy,
    Cluster as Cluster,
    Clustering as Clustering,
    CurvePoint as CurvePoint,
    FeatureMap as FeatureMap,
    Gain as Gain,
    Gap as Gap,
    LabelPlan as LabelPlan,
    LabelsNeeded as LabelsNeeded,
    LabelsSaved as LabelsSaved,
    LabelSuggestion as LabelSuggestion,
    LearningCurve as LearningCurve,
    PartGain as PartGain,
    RankedSource as RankedSource,
    SourceGain as SourceGain,
    SourceScore as SourceScore,
    TransferScores as TransferScores,
    adapt_head as adapt_head,
    cluster_features as cluster_features,
    draw_curve as draw_curve,
    judge_gain as judge_gain,
    map_features as map_features,
    measure_gain as measure_gain,
    measure_gap as measure_gap,
    score_transferability as score_transferability,
    suggest_labels as suggest_labels,
    trace_curve as trace_curve,
    transfer_head as transfer_head,
)
