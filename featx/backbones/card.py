"""The card of a backbone: what its model takes, which of its tensors are features, and where it comes from."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from featx.backbones.model_inputs import Input

POOLINGS = ("mean", "max", "gem", "cls")
"""How a map or a sequence of tokens becomes a vector: its mean, maximum or generalised mean, or the class token."""
GEM_POWER = 3.0
"""The p of the generalised mean (mean of x^p)^(1/p) over x above 0."""

_OptionalPooling = Annotated[
    str, Meta(pattern=rf"\A({'|'.join(POOLINGS)})?\Z", description=f"{' or '.join(POOLINGS)}, or left out")
]
_Precision = Literal["", "float32", "float16", "int8"]
ClassifierKind = Literal["", "softmax", "sigmoid", "logits", "sigmoid logits"]
_Baseline = Literal["", "pixels", "histogram", "random weights"]
MOST_OUTPUTS = 1000
_MOST_DIM = 2**26
_MOST_BATCH = 2**16
_MOST_LETTERS = 255
"""Longest name of a file."""
_FILE = r"(?!\.{1,2}\Z)[^/\\\x00-\x1f\x7f]"
_Dim = Annotated[int, Meta(gt=0, le=_MOST_DIM, description=f"a whole number above 0, at most {_MOST_DIM}")]
_Name = Annotated[
    str,
    Meta(
        pattern=r"\A[\w.-]+\Z",
        max_length=_MOST_LETTERS - len(".onnx.data"),
        description="a name of letters, digits, '.', '_' and '-'",
    ),
]
_Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hexadecimal digits")]
_File = Annotated[
    str, Meta(pattern=rf"\A{_FILE}+\Z", max_length=_MOST_LETTERS, description="a file name without a folder")
]
_OptionalFile = Annotated[
    str,
    Meta(pattern=rf"\A{_FILE}*\Z", max_length=_MOST_LETTERS, description="a file name without a folder, or left out"),
]
_Count = Annotated[int, Meta(ge=0)]
_Cosine = Annotated[float, Meta(ge=-1.000001, le=1.000001)]
_Speed = Annotated[float, Meta(ge=0, le=1e6)]
_Share = Annotated[float, Meta(ge=0, le=1)]

DESCRIPTIVE = {
    "name",
    "file",
    "data",
    "source",
    "licence",
    "reference",
    "golden",
    "classifier",
    "classifier_kind",
    "precision",
    "quantized",
    "tuned",
    "baseline",
}
"""Keys of a card that do not affect features; all others are part of its identity.

`baseline` and `classifier_kind` are among them, so that a cache that was written before these keys existed is continued
by the same backbone.
"""
LATER_KEYS = {"data_sha256": "", "channels": "RGB", "batch": 0, "crop_mode": "center", "pool": "", "outputs": []}
"""Keys added after the first version -> the value that older cards imply; an identity leaves out that value."""
_KEYS = (
    *("name", "file", "sha256", "data", "data_sha256", "source", "licence", "reference", "golden"),
    *("input", "layout", "dtype", "size", "channels", "batch", "resize", "crop_mode", "filter", "mean", "std"),
    *("exif_orientation", "feature", "dim", "pool", "outputs", "classifier", "classifier_kind"),
    *("precision", "quantized", "tuned", "baseline"),
)
"""The keys of a card in the order of its file, with those that describe the input among the others."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """A vector that is taken from a model."""

    name: str
    """As the user asks for it and as the cache names it: a tensor, or a tensor and its pooling as in `layer4:gem`."""
    dim: _Dim
    pool: _OptionalPooling = ""
    """How the tensor becomes a vector: mean, max, gem or cls; empty if it already is one."""

    @property
    def tensor(self) -> str:
        """Name of the tensor."""
        return self.name.removesuffix(f":{self.pool}") if self.pool else self.name


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """The backbone from which a quantised one was computed, and what quantising costs and gains."""

    source: str
    """Name of the backbone in float32."""
    source_hash: str
    """Identity hash of the backbone in float32."""
    method: str
    images: _Count
    """Number of images on which the ranges of its tensors were measured."""
    images_hash: str
    """sha256 over the fingerprints of these and of the held-out images."""
    held_out: _Count
    """Number of other images on which the agreement was measured."""
    mean_cosine: _Cosine
    """Mean cosine between its features and those in float32."""
    lowest_cosine: _Cosine
    speed: _Speed
    """How many times faster it is than float32, on one core of `measured_on`."""
    measured_on: str

    def __str__(self) -> str:
        """What it costs and gains, in one line."""
        return (
            f"{self.speed:.2f} times as fast as {self.source} on {self.measured_on}, "
            f"mean cosine {self.mean_cosine:.4f} (lowest {self.lowest_cosine:.4f}) on {self.held_out} held-out images"
        )


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The backbone from which a fine-tuned one was computed, the images that it learned from, and what that gained."""

    source: str
    """Name of the frozen backbone."""
    source_hash: str
    """Identity hash of the frozen backbone."""
    tensor: str
    """The tensor after which its weights were trained."""
    recipe: str = ""
    """How they were trained, in words."""
    images: _Count
    """Number of images that it learned from: training and validation images."""
    images_hash: str = ""
    """sha256 over their fingerprints, sorted."""
    memory: str = ""
    """What recognises these images in any cache: see featx.learned."""
    split: str = ""
    """How its test images were chosen, in words."""
    split_key: str = ""
    """The short name of that split."""
    validated: _Count
    """Number of validation images."""
    validation_frozen: _Share
    """Accuracy on them of a head on the frozen backbone."""
    validation_tuned: _Share
    """Accuracy on them of a head on the tuned backbone."""
    tested: _Count
    """Number of test images, which were not learned from."""
    test_frozen: _Share
    test_tuned: _Share

    def __str__(self) -> str:
        """What it learned from and what that gained, in one line."""
        return (
            f"{self.source} tuned after {self.tensor} on {self.images} images, accuracy {self.test_tuned:.3f} on "
            f"{self.tested} test images (frozen {self.test_frozen:.3f})"
        )


_Outputs = Annotated[
    tuple[Output, ...],
    Meta(
        max_length=MOST_OUTPUTS,
        description=(
            f"a list of tables {{ name, dim, pool }}, at most {MOST_OUTPUTS}, dim above 0 and at most {_MOST_DIM}, "
            f"pool {', '.join(POOLINGS)} or left out"
        ),
    ),
]
_Quantized = Annotated[
    Quantized | None,
    Meta(
        description=f"a table {{ {', '.join(field.name for field in dataclasses.fields(Quantized))} }}, "
        "numbers of images from 0, cosines up to 1, a finite speed"
    ),
]
_Tuned = Annotated[
    Tuned | None,
    Meta(
        description=f"a table {{ {', '.join(field.name for field in dataclasses.fields(Tuned))} }}, "
        "numbers of images from 0, accuracies from 0 to 1"
    ),
]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The card of a backbone: what its model takes, and which of its tensors are features.

    Its file is flat: the keys that describe the input are among the others.
    """

    name: _Name
    file: _File
    """The model, a file in the folder of the card."""
    sha256: _Sha256
    data: _OptionalFile = ""
    """The model's external weights, a file in the folder of the card."""
    data_sha256: str = ""
    source: str = ""
    licence: str = ""
    reference: str = ""
    """Published accuracy on the source task."""
    golden: _OptionalFile = ""
    """A .npz file: `pixels` (n, size, size, 3) uint8, and their `features` (n, dim) float32 by another runtime."""

    input: Input
    """What the model takes, and how an image becomes that."""
    batch: Annotated[int, Meta(ge=0, le=_MOST_BATCH, description=f"0 or above, at most {_MOST_BATCH}")] = 0
    """Number of images that are run at once: 0 for any, 1 if a feature would depend on the others of its batch."""

    feature: str
    """Name of the output that is the feature: a tensor, or a tensor and its pooling."""
    dim: _Dim
    pool: _OptionalPooling = ""
    """How the feature's tensor becomes a vector: mean, max, gem or cls; empty if it already is one."""
    outputs: _Outputs = ()
    """Further outputs that are taken in the same pass."""
    classifier: str = ""
    """Name of the tensor with the class scores of the source task."""
    classifier_kind: ClassifierKind = ""
    """What these scores are, as the graph tells: probabilities that sum to 1 (softmax), a probability of each class
    (sigmoid), or the numbers before one of these (logits, sigmoid logits); empty if it does not tell."""

    precision: _Precision = ""
    """Type in which the model computes: float32, float16 or int8; empty if it is that of the input."""
    quantized: _Quantized = None
    """Origin of a backbone that was computed by quantising another."""
    tuned: _Tuned = None
    """Origin of a backbone that was fine-tuned, and the images that it has seen."""
    baseline: _Baseline = ""
    """What it is if it transfers nothing and stands beside sources as a baseline; empty for a source."""

    @property
    def computes_in(self) -> str:
        """Type in which the model computes, whether the card names it or not."""
        return self.precision or (self.input.dtype if self.input.dtype in ("float16", "bfloat16") else "float32")

    @property
    def all_outputs(self) -> tuple[Output, ...]:
        """Every output that is taken, the feature first."""
        return (Output(name=self.feature, dim=self.dim, pool=self.pool), *self.outputs)

    @property
    def width(self) -> int:
        """Number of values of one image over all outputs."""
        return sum(output.dim for output in self.all_outputs)

    def with_outputs(self, outputs: Sequence[Output]) -> "Card":
        """The card with these outputs instead, the first of which is the feature."""
        first, *others = outputs
        return dataclasses.replace(self, feature=first.name, dim=first.dim, pool=first.pool, outputs=tuple(others))

    def identity(self) -> dict[str, object]:
        """The keys of the card on which the features depend."""
        return {
            key: value
            for key, value in self.to_dict().items()
            if key not in DESCRIPTIVE and (key not in LATER_KEYS or value != LATER_KEYS[key])
        }

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON values under the keys of its file, in their order."""
        flat = json.loads(json.dumps(dataclasses.asdict(self) | self.input.to_card()))
        if self.tuned is None:
            del flat["tuned"]  # cards and caches of other backbones stay as they were before this key existed
        return {key: flat[key] for key in _KEYS if key in flat}

    def to_toml(self) -> str:
        """The card as the text of its file."""
        values = {key: value for key, value in self.to_dict().items() if value not in ("", [], None)}
        return "".join(f"{key} = {_to_toml(value)}\n" for key, value in values.items())


def _to_toml(value: Any) -> str:
    """A value in TOML, which is JSON except for tables; tomli_w would spread `mean` over five lines and move tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_to_toml(inner)}" for key, inner in value.items() if inner != "") + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_to_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
