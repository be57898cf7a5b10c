"""Describes a saved head: what it consists of, what it was trained on, and how good it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from featx.cache import Source
from featx.heads.head import Head
from featx.heads.saving import load_head
from featx.showing import Overview, Shown, shorten


@dataclass(frozen=True)
class HeadStep:
    """A step of a head's pipeline.

    >>> import featx
    >>> featx.describe_head("photos.featx").steps[0].kind
    'FeatureScaler'
    """

    name: str
    """Its name in the pipeline, such as `scaler`."""
    kind: str
    """Its class, such as `FeatureScaler`."""
    params: Mapping[str, Any]
    """Its parameters; of an array its shape, of an estimator its class."""


@dataclass(frozen=True)
class HeadSource:
    """An output of a backbone that a head reads.

    >>> import featx
    >>> featx.describe_head("photos.featx").sources[0].dim
    1280
    """

    backbone: str
    """Its name."""
    output: str
    dim: int
    """Number of columns of one view."""
    identity: str
    """sha256 of what its features depend on in its card, which caches have too."""
    sha256: str
    """sha256 of its model; empty if the card does not say."""
    decode: str
    """How JPEGs were decoded."""
    views: tuple[str, ...] = ("center",)
    """The views of each image that it reads."""
    view_rule: str = "first"
    """How: `first` is view 0 alone, `mean` their mean feature, `rows` the mean probability over views."""


@dataclass(frozen=True, kw_only=True, repr=False)
class HeadInfo(Shown):
    """What a saved head consists of and how it was trained; what its file does not say is empty or None.

    >>> import featx
    >>> info = featx.describe_head("photos.featx")
    >>> info.name, [step.kind for step in info.steps], info.rows["test"]
    ('ridge', ['FeatureScaler', 'LooRidgeClassifier'], 15)
    """

    head: str
    """Path of the file."""
    size: int
    """Size of the file in bytes."""
    name: str
    """Name of its kind, such as `logreg`."""
    fusion: str
    """How caches and outputs were joined; empty if their columns stand side by side."""
    steps: tuple[HeadStep, ...]
    sources: tuple[HeadSource, ...]
    classes: tuple[str, ...]
    multilabel: bool
    params: Mapping[str, Any]
    """The tuned parameters."""
    temperature: float
    """What class scores are divided by before the softmax."""
    rows: Mapping[str, Any]
    """Number of images for training, validation and test, of those without a label, and of those that failed."""
    split: str
    """Which images were held out, in words."""
    tuned: str
    """How parameters were chosen, in words."""
    seed: int | None
    metrics: Mapping[str, Any] | None
    """Measures on the test images, with their intervals; None if there were none."""
    adaptation: Mapping[str, Any] | None
    """How the head was adapted to another domain; None if it was not."""
    transferred: Mapping[str, Any] | None
    """What it took over from other heads; None if nothing."""
    views: Mapping[str, Any] | None = None
    """How its views were chosen and what they are worth, as `featx train` found it; None for view 0 alone."""
    table: str
    """sha256 of the table that it was trained on."""
    images: str
    """sha256 of the names of the images of that table."""
    versions: Mapping[str, Any]
    """Versions of the packages that trained it."""

    def overview(self) -> Overview:
        """The kind of head, its backbones, classes and steps."""
        backbones = shorten(dict.fromkeys(source.backbone for source in self.sources))
        facts = (
            ("classes", shorten(self.classes)),
            ("steps", ", ".join(step.kind for step in self.steps)),
        )
        return Overview(f"HeadInfo: {self.head}: {self.name} on {backbones}, {len(self.classes)} classes", facts)


def describe_head(path: Path | str) -> HeadInfo:
    """Describe the head in this file. Raises HeadError if it is missing, damaged, or anything else.

    >>> import featx
    >>> featx.describe_head("photos.featx").sources[0].backbone
    'efficientnet-lite0'
    """
    head = load_head(path)
    training = head.training
    return HeadInfo(
        head=str(path),
        size=Path(path).stat().st_size,
        name=head.name,
        fusion=_text(training.get("fusion")),
        steps=_describe_steps(head),
        sources=tuple(map(_describe_source, head.sources)),
        classes=head.classes,
        multilabel=head.multilabel,
        params=dict(head.params),
        temperature=head.temperature,
        rows=_mapping(training.get("rows")) or {},
        split=_text(training.get("split")),
        tuned=_text(training.get("tuned")),
        seed=training["seed"] if isinstance(training.get("seed"), int) else None,
        metrics=_mapping(training.get("metrics")),
        adaptation=_mapping(training.get("adaptation")),
        transferred=_mapping(training.get("transferred")),
        views=_mapping(training.get("views")),
        table=_text(training.get("table")),
        images=_text(training.get("images")),
        versions=_mapping(training.get("versions")) or {},
    )


def _describe_steps(head: Head) -> tuple[HeadStep, ...]:
    return tuple(
        HeadStep(name, type(step).__name__, {key: _plain(value) for key, value in _params(step).items()})
        for name, step in head.pipeline.steps
    )


def _params(step: BaseEstimator) -> Mapping[str, Any]:
    params: Mapping[str, Any] = step.get_params(deep=False)
    return params


def _plain(value: object) -> object:
    """The value if JSON has it, or what kind of thing it is."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype} {value.shape}"
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return type(value).__name__


def _describe_source(source: Source) -> HeadSource:
    return HeadSource(
        backbone=source.name,
        output=source.output,
        dim=(source.stop - source.start) // (len(source.views) if source.view_rule == "rows" else 1),
        identity=source.backbone,
        sha256=_text(source.card.get("sha256")),
        decode=source.decode,
        views=source.views,
        view_rule=source.view_rule,
    )


def _text(value: object) -> str:
    """The value if it is a text, as nothing checks what else a description says of the training; else an empty one."""
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None
