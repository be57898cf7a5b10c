"""The result of one training: what was trained on what, how it was measured, and the measures."""

import math
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from featx.heads.transferred import Transferred
from featx.heads.used_views import UsedViews
from featx.measures import MEASURE_TITLES, HeadMetrics, format_measure
from featx.showing import Overview, Shown

MeasureName: TypeAlias = Literal["accuracy", "balanced_accuracy", "average_precision"]


MOST_PACKED = 2**27
"""Bytes of packed numbers: the guesses of 60 million test images."""


@dataclass(frozen=True)
class Penalty:
    """The strength of regularisation in its three usual forms; images count by their weights.

    The loss of ridge regression is half the squared error, so that its l2 is scikit-learn's alpha.
    """

    l2: float
    """Factor of half the squared norm of the coefficients, which is added to the sum of losses."""
    l2_mean: float
    """Factor of half the squared norm if that is added to the mean of losses."""
    C: float
    """Factor of the sum of losses, as in scikit-learn."""


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """The measures of a trained head on test images, with everything that is needed to repeat the training.

    >>> import featx
    >>> _, result = featx.train_head(featx.read_features("photos.h5"), "class-mean", jobs=1)
    >>> result
    Result: class-mean on efficientnet-lite0
      accuracy: ... (95 % interval ... to ...) on 15 test images
      split: stratified quarter held out, seed 0
    >>> result.measure, result.metrics.n, result.shots
    ('accuracy', 15, None)
    """

    head: str
    """Name of the head."""
    fusion: str
    """How the blocks of columns were joined, or columns selected; empty if no fusion was chosen."""
    table: str
    """Digest of features and labels; equal for equal input."""
    images: str
    """Digest of the names of all images, including those without a label."""
    backbones: tuple[str, ...]
    """Names of the backbones, with their outputs if these are needed to tell them apart."""
    identities: tuple[str, ...]
    """sha256 of the card of each backbone with only this output, as in its cache (docs/cache.md, `outputs`)."""
    params: Mapping[str, Any]
    """The tuned parameters."""
    penalty: Penalty | None
    """None if the classifier is not regularised by one number."""
    edge: bool
    """Whether the best penalty or C is still at the end of its grid after all extensions."""
    folds: int | None
    """Number of folds of cross-validation in tuning; None if validation images were used."""
    balanced: bool
    """Whether all classes had the same total weight in fitting and tuning."""
    tuned: str
    """How parameters were chosen."""
    validated: float
    """Measure of the chosen parameters on validation images: choose between heads by this, not by the test images."""
    temperature: float
    """What class scores are divided by before they become probabilities."""
    metrics: HeadMetrics
    """The measures on the test images."""
    rows: Mapping[str, int]
    """Numbers of images: `train`, `validation`, `test`, `unlabelled`, `failed`."""
    split: str
    """How the test images were chosen."""
    split_key: str
    """Short name of the split."""
    shots: int | None
    """Training images per class of a few-shot split."""
    test: str
    """Digest of the names of the test images: results with equal digests can be compared image by image."""
    guesses: str | None
    """Predicted class of each test image, as packed positions in `classes`; None for multi-label images."""
    drawn: str | None
    """Multi-label: `measure` on resamples of the test images, which are equal for all heads, packed; else None.

    None too if the measure is undefined.
    """
    classes: tuple[str, ...]
    seed: int
    seconds: float
    """Duration of tuning, fitting and measuring."""
    versions: Mapping[str, str]
    """Version of featx and of each library that results depend on."""
    tuning: str = ""
    """Where parameters were chosen: `folds:K` or `validation`; empty in results of featx 0.1.0."""
    tuning_reason: str = ""
    """Why there: because of what the split is and how many images it has, or as asked for."""
    validated_loss: float | None = None
    """Log loss in nats on the validation images that `validated` is of; None in results of featx 0.1.0."""
    domain: str | None = None
    """The domain that all test images are of; None if they are of several, or have none."""
    transferred: Transferred | None = None
    """What the head took over from heads of other images; None if it was trained without any."""
    views: UsedViews | None = None
    """Which views of images are used, and what they are worth; None for view 0, if nobody asked for others."""

    @property
    def key(self) -> str:
        """Identifies the training behind this result: results with equal keys come from equal trainings."""
        if self.transferred is None:
            return self._key_of_training
        offered = [*(source.digest for source in self.transferred.sources), self.transferred.pool]
        return "/from ".join((self._key_of_training, *(digest[:16] for digest in offered if digest)))

    @property
    def _key_of_training(self) -> str:
        """The key without sources."""
        return key_of(
            self.table,
            head=self.head,
            fusion=self.fusion,
            split=self.split_key,
            folds=self.folds,
            balanced=self.balanced,
            seed=self.seed,
            versions=self.versions,
        )

    @property
    def measure(self) -> MeasureName:
        """Name of the measure by which heads are tuned and compared."""
        if self.metrics.labels == "several":
            return "average_precision"
        return "balanced_accuracy" if self.balanced else "accuracy"

    @property
    def value(self) -> float:
        """This measure on the test images; NaN if it is undefined."""
        value: float | None = getattr(self.metrics, self.measure)
        return float("nan") if value is None else value

    def overview(self) -> Overview:
        """The head and its backbones, the measure with its interval, and how the test images were chosen."""
        fusion = f" ({self.fusion})" if self.fusion else ""
        measured = format_measure(getattr(self.metrics, self.measure), getattr(self.metrics, f"{self.measure}_ci"))
        return Overview(
            f"Result: {self.head}{fusion} on {' + '.join(self.backbones)}",
            (
                (MEASURE_TITLES[self.measure], f"{measured} on {self.metrics.n} test images"),
                ("split", self.split),
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        values = asdict(self)
        for key in ("domain", "transferred", "views"):
            if values[key] is None:
                del values[key]  # heads without domains, sources or views are described as before there were any
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Result":
        """The result from plain JSON values. Raises ValueError or msgspec.ValidationError for other values."""
        result = msgspec.convert(values, cls)
        _check(result)
        return result


def _check(result: Result) -> None:
    """Raise ValueError for numbers out of range, and for packed ones that cannot be unpacked."""
    if not all(map(math.isfinite, (result.validated, result.seconds))) or not 0 < result.temperature < math.inf:
        raise ValueError("validated, seconds or temperature is out of range")
    if result.validated_loss is not None and not 0 <= result.validated_loss < math.inf:
        raise ValueError("validated_loss is out of range")
    if result.views is not None and result.views.validated.keys() != result.views.validated_loss.keys():
        raise ValueError("views.validated and views.validated_loss are of different rules")
    if any(count < 0 for count in (result.metrics.n, *result.rows.values())):
        raise ValueError("a number of images is below 0")
    if result.metrics.labels != "several":
        _check_guesses(unpack_guesses(result.guesses or ""), result)
    elif result.metrics.average_precision is not None:
        unpack_drawn(result.drawn or "")


def _check_guesses(guesses: NDArray[np.uint16], result: Result) -> None:
    if len(guesses) != result.metrics.n:
        raise ValueError(f"guesses are of {len(guesses)} images, but the measures of {result.metrics.n}")
    if (guesses >= len(result.classes)).any():
        raise ValueError("guesses name a class that there is not")


def pack(values: NDArray[Any]) -> str:
    """Numbers as text: base64 of zlib of their little-endian bytes; floats as float32, class positions as uint16."""
    kind = "<f4" if values.dtype.kind == "f" else "<u2"
    return b64encode(zlib.compress(values.astype(kind).tobytes())).decode()


def unpack_guesses(text: str) -> NDArray[np.uint16]:
    """The packed positions of predicted classes (n,), in the order of the test images."""
    return np.frombuffer(_unpack(text), "<u2")


def unpack_drawn(text: str) -> NDArray[np.float64]:
    """The packed values of a measure on the test images and on b resamples, (1 + b,)."""
    return np.frombuffer(_unpack(text), "<f4").astype(np.float64)


def _unpack(text: str) -> bytes:
    """The packed bytes. Raises ValueError if they are damaged, or more than any result has."""
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(b64decode(text, validate=True), MOST_PACKED)
    except zlib.error as error:
        raise ValueError(f"packed numbers are damaged ({error})") from error
    if not unpacking.eof:
        raise ValueError("packed numbers are cut short, or too many")
    return unpacked


def key_of(
    table: str,
    *,
    head: str,
    fusion: str,
    split: str,
    folds: int | None,
    balanced: bool,
    seed: int,
    versions: Mapping[str, str],
) -> str:
    """The key of the result of a training: equal trainings by equal package versions have equal keys."""
    tuning = (f"{folds} folds" if folds else "validation") + (", balanced" if balanced else "")
    software = (f"{package} {versions[package]}" for package in ("featx", "numpy", "scikit-learn"))
    return "/".join((table[:16], head, fusion or "-", split, tuning, str(seed), *software))
