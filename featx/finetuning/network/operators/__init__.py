"""The operators of ONNX that classification networks consist of, as functions of torch."""

import importlib

from featx.finetuning.network.operators.registry import OPERATORS as OPERATORS

_FAMILIES = ("convolutions", "pooling", "elementwise", "matrices", "normalisations", "reductions", "shaping")
"""The modules that enter their operators in the table when they are imported."""

for _family in _FAMILIES:
    importlib.import_module(f"{__name__}.{_family}")
