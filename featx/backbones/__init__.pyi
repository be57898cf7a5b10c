from .card import (
    DESCRIPTIVE as DESCRIPTIVE,
    GEM_POWER as GEM_POWER,
    LATER_KEYS as LATER_KEYS,
    Card as Card,
    Output as Output,
    Quantized as Quantized,
    Tuned as Tuned,
)
from .cuts import find_cut as find_cut, list_cuts as list_cuts, map_backbone as map_backbone
from .deployable import DeployableGraph as DeployableGraph, deployable_graph as deployable_graph
from .foreign import run_foreign as run_foreign
from .graph.cutting import Cut as Cut
from .graph.finding import (
    inspect_apart as inspect_apart,
    inspect_model as inspect_model,
    is_embedding_width as is_embedding_width,
    resolve_outputs as resolve_outputs,
)
from .graph.inspection import Inspection as Inspection
from .graph.model import (
    REDUCE_AXES_ARE_INPUTS as REDUCE_AXES_ARE_INPUTS,
    RESERVED as RESERVED,
    describe_format as describe_format,
    find_precision as find_precision,
    load_model as load_model,
    read_metadata as read_metadata,
    save_model as save_model,
    write_model as write_model,
)
from .graph.normalisation import Normalisation as Normalisation
from .graph.shapes import view_model as view_model
from .graph.surgery import channel_axes as channel_axes, feature_model as feature_model
from .graph.tail import Tail as Tail, TailNode as TailNode
from .graph.view import View as View, assign as assign, opset as opset
from .model_inputs import NUMPY_TYPES as NUMPY_TYPES, WHOLE_NUMBERS as WHOLE_NUMBERS, ImageInput as ImageInput
from .outputs import (
    expand_layers as expand_layers,
    list_layers as list_layers,
    select_outputs as select_outputs,
    with_class_scores as with_class_scores,
)
from .reading import check_card as check_card, read_card as read_card
from .session.deployed import OpenedModel as OpenedModel, Tensor as Tensor, open_model as open_model
from .session.diagnosing import choose_devices as choose_devices, diagnose as diagnose
from .session.feature_session import FeatureSession as FeatureSession
from .session.opening import open_session as open_session
from .session.whole import run_whole as run_whole
from .store import (
    Backbone as Backbone,
    bundled_folder as bundled_folder,
    list_backbones as list_backbones,
    load_backbone as load_backbone,
    user_folder as user_folder,
)
from .tails import read_tail as read_tail, replace_weights as replace_weights
from .tryout import limits_of_run as limits_of_run, try_apart as try_apart, try_outputs as try_outputs
from .vetting import remember as remember, vet as vet
