"""What an inspection of a model finds."""

from dataclasses import asdict, dataclass
from typing import Any

from featx.backbones.card import ClassifierKind
from featx.backbones.graph.cutting import Cut
from featx.backbones.graph.image_input import ModelInput
from featx.backbones.graph.normalisation import Normalisation
from featx.backbones.graph.view import Shape


@dataclass(frozen=True)
class FeatureCandidate:
    """A tensor that can be the feature."""

    name: str
    dim: int | None
    """Length of the feature; None if only running the model can show it."""
    shape: Shape | None
    kind: str
    """One of: global pool, class token, hidden dense layer, pooled map, flattened map, embedding output."""
    pool: str
    """The pooling that turns it into a vector: mean, max or cls; empty if it already is one."""


@dataclass(frozen=True)
class Inspection:
    """What `inspect_model` found in a model: its image input, its outputs, and the tensors that can be features.

    >>> import featx
    >>> found = featx.inspect_model(featx.load_backbone("efficientnet-lite0").path)
    >>> found.input.layout, found.input.shape
    ('NCHW', (None, 3, 224, 224))
    >>> found.classifier_output, found.certain
    ('logits', True)
    """

    model: str
    input: ModelInput
    feature_output: str | None
    """Name of the tensor that is the feature."""
    feature_pool: str
    """The pooling that turns it into a vector; empty if it already is one."""
    feature_dim: int | None
    classifier_output: str | None
    certain: bool
    """Whether there is no doubt about the feature."""
    notes: tuple[str, ...]
    """What is doubtful about the feature, and why."""
    candidates: tuple[FeatureCandidate, ...]
    outputs: tuple[str, ...]
    """The model's own outputs."""
    normalisation: Normalisation | None = None
    """The normalisation of pixels that the model does itself; None if it takes normalised pixels."""
    classifier_kind: ClassifierKind = ""
    """What the class scores are: softmax, sigmoid, logits, sigmoid logits; empty if the graph does not tell."""
    cuts: tuple[Cut, ...] = ()
    """Where the network can be cut into a frozen part and a tail that is trained."""

    def to_dict(self) -> dict[str, Any]:
        """The inspection as plain JSON values."""
        return asdict(self) | {"cuts": [cut.to_dict() for cut in self.cuts]}
