"""A backbone and a device in; a callable from pixels to features out. The only place that knows ONNX Runtime."""

from featx.session.diagnosing import Diagnosis, diagnose
from featx.session.feature_session import FeatureSession
from featx.session.nvidia import cuda_problem, gpus
from featx.session.opening import SAME, open_graph, open_session
from featx.session.whole import run_features, run_whole

__all__ = [
    "SAME",
    "Diagnosis",
    "FeatureSession",
    "cuda_problem",
    "diagnose",
    "gpus",
    "open_graph",
    "open_session",
    "run_features",
    "run_whole",
]
