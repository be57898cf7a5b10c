"""What a suite says: which targets, which sources, and how they are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from featx.settings import Decode, Device, Storage
from featx.showing import Overview, Shown, shorten

_Name = Annotated[
    str,
    Meta(
        pattern=r"\A\w[\w.-]*\Z",
        max_length=100,
        description="a name of letters, digits, '.', '_' and '-', at most 100, that begins with a letter or digit",
    ),
]
_Text = Annotated[str, Meta(min_length=1, description="text in quotes")]
_Texts = Annotated[tuple[_Text, ...], Meta(description="text in quotes, or a list of such texts")]
_Names = Annotated[tuple[_Text, ...], Meta(min_length=1, description="a list of one or more names")]
_Weight = Annotated[float, Meta(gt=0, le=1e6, description="a number above 0")]
_Count = Annotated[int, Meta(ge=1, le=10**6, description="a whole number above 0")]
_Seed = Annotated[int, Meta(ge=0, le=2**31, description="a whole number, 0 or above")]
_Shots = Annotated[tuple[_Count, ...], Meta(description="a list of whole numbers above 0")]
_Folds = Annotated[int, Meta(ge=2, le=10**6, description="a whole number, 2 or above")]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target task: images with labels, and how they are split.

    >>> import featx
    >>> featx.Target(name="shapes", images=("photos",)).weight
    1.0
    """

    name: _Name
    images: _Texts = ()
    """Whatever featx.list_images takes: a folder, a manifest, tars, an address, or several of these."""
    root: _Text | None = None
    """Folder that the paths in a manifest are relative to."""
    label_column: _Text | None = None
    """Column of labels of a manifest or table."""
    caches: _Texts = ()
    """Finished caches of the target's images instead of `images`: nothing is extracted then."""
    annotations: _Text | None = None
    """CSV file with labels, splits, groups, domains and weights, in place of those of the images."""
    label_rule: str = ""
    """How the labels came about, in words: results of different label rules never stand together."""
    splits: _Text | None = None
    """Name of a split rule, or a CSV file of splits, in place of those of the protocol."""
    source_domains: Annotated[tuple[_Text, ...], Meta(description="a list of names of domains")] = ()
    """Domains that train in source-target splits; empty for all but the target domain."""
    target_domain: _Text | None = None
    """Domain that source-target splits test."""
    weight: _Weight = 1.0
    """Weight of this target in means over targets."""


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """A source: one backbone, and which of its outputs are compared.

    >>> import featx
    >>> featx.SourceModel(backbone="efficientnet-lite0", outputs=("features", "logits")).outputs
    ('features', 'logits')
    """

    backbone: _Text
    outputs: Annotated[tuple[_Text, ...], Meta(description="a list of names of outputs")] = ()
    """Names of outputs; empty for the one that the card calls the feature."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the sources of a suite are compared: the same for every target and source.

    >>> import featx
    >>> featx.Protocol(shots=(4, 16)).heads
    ('logreg',)
    """

    heads: _Names = ("logreg",)
    splits: _Text = "auto"
    """Name of a split rule of featx.make_splits, or a CSV file of splits as an earlier run wrote it."""
    repeats: _Count | None = None
    """Draws of each split; None for the rule's own number."""
    folds: _Folds | None = None
    """Number of folds of k-fold splits."""
    shots: _Shots = ()
    """Training images per class of few-shot splits, which are drawn beside those of the rule."""
    seed: _Seed = 0
    balanced: bool = False
    """Whether all classes have the same weight in fitting, tuning and comparing."""
    tuning: _Text = "auto"
    """Where parameters are chosen: `auto`, `validation` or `folds:K`."""
    scores: _Names = ("ridge", "press", "logme")
    """The scores of sources that are computed before any head is trained, or `all`."""
    decode: Decode = "exact"
    device: Device = "auto"
    storage: Storage = "float32"


@dataclass(frozen=True, repr=False)
class Suite(Shown):
    """Targets x sources x protocol: what `featx benchmark` runs.

    >>> import featx
    >>> suite = featx.Suite(
    ...     targets=(featx.Target(name="shapes", images=("photos",)),),
    ...     sources=(featx.SourceModel(backbone="efficientnet-lite0", outputs=("features", "logits")),),
    ... )
    >>> suite
    Suite: 1 target, 1 backbone with 2 outputs
      targets: shapes
      backbones: efficientnet-lite0
      heads: logreg
    """

    targets: tuple[Target, ...]
    sources: tuple[SourceModel, ...]
    protocol: Protocol = Protocol()
    folder: Path = Path()
    """The folder that paths of the suite are relative to: that of its file."""
    where: str = "the suite"
    """The suite's file, for messages."""

    def overview(self) -> Overview:
        """The numbers of targets, backbones and outputs, and their names."""
        outputs = sum(max(1, len(source.outputs)) for source in self.sources)
        counts = (
            f"{_count(len(self.targets), 'target')}, {_count(len(self.sources), 'backbone')} "
            f"with {_count(outputs, 'output')}"
        )
        facts = (
            ("targets", shorten(target.name for target in self.targets)),
            ("backbones", shorten(source.backbone for source in self.sources)),
            ("heads", shorten(self.protocol.heads)),
        )
        return Overview(f"Suite: {counts}", facts)

    def locate(self, path: str) -> str:
        """The path as seen from here: relative ones are relative to the suite's folder, addresses stay as they are."""
        return path if "://" in path else str(self.folder / path)

    @property
    def split_files(self) -> Mapping[str, str]:
        """Target -> the CSV file of its splits, for those that have one."""
        chosen = {target.name: target.splits or self.protocol.splits for target in self.targets}
        return {name: self.locate(splits) for name, splits in chosen.items() if is_split_file(splits)}


def is_split_file(splits: str) -> bool:
    """Whether this names a file of splits, and not a rule."""
    return splits.lower().endswith(".csv")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number > 1)}"
