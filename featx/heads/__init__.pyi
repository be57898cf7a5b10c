from .describing import (
    HeadInfo as HeadInfo,
    HeadSource as HeadSource,
    HeadStep as HeadStep,
    describe_head as describe_head,
)
from .evaluate import evaluate_head as evaluate_head, order_classes as order_classes
from .examining import Examination as Examination, examine_head as examine_head
from .fusions import FUSIONS as FUSIONS, find_fusion as find_fusion
from .head import ROWS_AT_ONCE as ROWS_AT_ONCE, Head as Head
from .label_errors import LabelError as LabelError, find_label_errors as find_label_errors
from .mistakes import (
    Mistake as Mistake,
    find_mistakes as find_mistakes,
    join_classes as join_classes,
    label_probability as label_probability,
    predicted_classes as predicted_classes,
)
from .recipes import HEADS as HEADS, build_head as build_head, find_recipe as find_recipe
from .records import to_records as to_records
from .results import (
    Result as Result,
    key_of as key_of,
    unpack_drawn as unpack_drawn,
    unpack_guesses as unpack_guesses,
)
from .results_file import ResultsFile as ResultsFile, read_results as read_results, write_results as write_results
from .saving import load_head as load_head, reserve_head as reserve_head, save_head as save_head
from .training.calibrating import Calibration as Calibration, calibrate as calibrate, fit_tuned as fit_tuned
from .training.choosing import (
    BY_ROWS_ALONE as BY_ROWS_ALONE,
    STACKED as STACKED,
    STACKED_HEADS as STACKED_HEADS,
)
from .training.development import (
    DevelopmentSet as DevelopmentSet,
    is_large as is_large,
    make_development_set as make_development_set,
)
from .training.fitting import held_out_scores as held_out_scores
from .training.outcome import Training as Training
from .training.refitting import refit_head as refit_head
from .training.training import complete_head as complete_head, train_head as train_head
from .training.tuning import TunedPipeline as TunedPipeline, measure_validation as measure_validation
from .training.validating import (
    AUTO as AUTO,
    choose_tuning as choose_tuning,
    join_tuning as join_tuning,
    parse_tuning as parse_tuning,
)
from .transferred import TARGET_ALONE as TARGET_ALONE, SourceOfHead as SourceOfHead, Transferred as Transferred
from .unseen import (
    find_named as find_named,
    find_split as find_split,
    find_unseen as find_unseen,
    has_names_of_training as has_names_of_training,
    is_of_source as is_of_source,
    is_of_training as is_of_training,
    tell_apart as tell_apart,
)
from .used_views import UsedViews as UsedViews, ViewChoice as ViewChoice, ViewEffect as ViewEffect
from .views import ViewColumns as ViewColumns, view_columns as view_columns
