"""Reads the tail of a backbone as a torch module."""

from typing import TYPE_CHECKING

from featx.backbones import Backbone, read_tail
from featx.finetuning.library import import_torch

if TYPE_CHECKING:
    from featx.finetuning.network.interpreter import Network


def read_network(backbone: Backbone, tensor: str) -> "Network":
    """The part of a backbone between this tensor and its feature, as a torch module whose weights can be trained.

    It takes maps (n, *shape) of float32, as `map_backbone` gives them but in the shape that `find_cut` says, and
    returns features (n, d), pooled as the card says. The tensor may be the model's own input: then it is the whole
    network. Batch normalisation stays in evaluation. `initializers` of the module says which weight of the file each
    parameter is. Raises FineTuningError, which names the operator, if one is unknown here, and BackboneError if the
    backbone cannot be cut at the tensor or is right for one number of images only.
    """
    import_torch()
    from featx.finetuning.network.interpreter import Network

    return Network(read_tail(backbone, tensor))
