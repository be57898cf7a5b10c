"""The operators of ONNX that classification networks consist of, as functions of torch."""

from featx.finetuning.network.operators import (  # noqa: F401 - each module registers its operators
    convolutions,
    elementwise,
    matrices,
    normalisations,
    pooling,
    reductions,
    shaping,
)
