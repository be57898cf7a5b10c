from .card import (
    DESCRIPTIVE as DESCRIPTIVE,
    GEM_POWER as GEM_POWER,
    SINCE_FIRST as SINCE_FIRST,
    Backbone as Backbone,
    Card as Card,
    Output as Output,
    Quantized as Quantized,
    bundled_folder as bundled_folder,
    check_card as check_card,
    list_backbones as list_backbones,
    load_backbone as load_backbone,
    read_card as read_card,
    user_folder as user_folder,
)
from .graph.contents import GraphContents as GraphContents, read_contents as read_contents
from .graph.finding import (
    EMBEDDING_STEP as EMBEDDING_STEP,
    LEAST_EMBEDDING as LEAST_EMBEDDING,
    Inspection as Inspection,
    inspect_model as inspect_model,
    resolve_outputs as resolve_outputs,
)
from .graph.front import PIXEL_INPUT as PIXEL_INPUT
from .graph.model import (
    RESERVED as RESERVED,
    View as View,
    assign as assign,
    find_precision as find_precision,
    opset as opset,
    read_metadata as read_metadata,
    save_model as save_model,
)
from .graph.shapes import view_model as view_model
from .graph.surgery import (
    channel_axes as channel_axes,
    feature_model as feature_model,
    identity_graph as identity_graph,
    prepare_graph as prepare_graph,
)
from .session.diagnosing import diagnose as diagnose
from .session.feature_session import FeatureSession as FeatureSession
from .session.nvidia import cuda_problem as cuda_problem, gpus as gpus
from .session.opening import open_session as open_session
from .session.whole import run_whole as run_whole
from .tryout import try_outputs as try_outputs
