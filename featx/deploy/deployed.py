"""What was deployed: the file, its tensors, and how it compares with featx's own predictions."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from featx.errors import HeadError
from featx.targets import Kind, Target, reserve

MARK = "featx deploy"
"""The producer that a deployed model names. Files beside it contain it too, so that featx replaces only its own."""


@dataclass(frozen=True)
class DeployedTensor:
    """An input or an output of a deployed model."""

    name: str
    dtype: str
    """As ONNX Runtime names it, such as `tensor(uint8)`."""
    shape: tuple[int | None, ...]
    """None for the number of images, if that is free."""


@dataclass(frozen=True)
class Deployed:
    """A head and its backbones as one ONNX file, and how it compares with featx's own predictions.

    >>> import featx
    >>> deployed = featx.deploy_head("photos.featx", into="photos.onnx", images=featx.list_images("new"))
    >>> [tensor.name for tensor in (*deployed.inputs, *deployed.outputs)]
    ['pixels', 'label', 'probabilities']
    >>> deployed.images, deployed.largest_difference < 1e-5
    (5, True)
    """

    path: Path
    """The model."""
    inputs: tuple[DeployedTensor, ...]
    outputs: tuple[DeployedTensor, ...]
    opset: int
    """The version of the ONNX operators that it uses."""
    size: int
    """Bytes of the model."""
    images: int
    """Number of images whose predictions were compared."""
    drawn: bool
    """Whether these images were drawn at random, because none were given."""
    largest_difference: float
    """Largest difference of a probability from the one that featx predicts."""
    notes: tuple[str, ...] = ()


def _is_own(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(64)


MODEL = Kind(
    name="a model that featx deployed",
    endings=(".onnx",),
    is_own=_is_own,
    error=HeadError,
    locked=HeadError,
    writing="writing this model",
)


def reserve_model(into: Path | str, *, overwrite: bool = False) -> AbstractContextManager[Target]:
    """Hold the file of a deployed model until the block ends, and check that it can be written.

    Raises HeadError, also for a name without an ending: programs that run models know them by it.
    """
    if not Path(into).suffix and str(into) != "-":
        raise HeadError(
            f"{into}: the name of a model ends in .onnx; choose {into}.onnx, or a --layout that is a folder"
        )
    return reserve(into, MODEL, overwrite=overwrite)
