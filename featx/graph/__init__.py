"""ONNX graphs: what a model holds, where its features are, and the graph that a session is given."""

from featx.graph.contents import Contents, read_contents
from featx.graph.finding import Candidate, Inspection, inspect_model, resolve_outputs
from featx.graph.front import PIXELS
from featx.graph.image_input import ModelInput
from featx.graph.model import find_precision, read_metadata, save_model
from featx.graph.surgery import (
    PreparedGraph,
    channel_axes,
    feature_model,
    identity_graph,
    prepare_graph,
    whole_graph,
)

__all__ = [
    "PIXELS",
    "Candidate",
    "Contents",
    "Inspection",
    "ModelInput",
    "PreparedGraph",
    "channel_axes",
    "feature_model",
    "find_precision",
    "identity_graph",
    "inspect_model",
    "prepare_graph",
    "read_contents",
    "read_metadata",
    "resolve_outputs",
    "save_model",
    "whole_graph",
]
