"""What lies between two domains, as numbers and as a verdict."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from featx.measures import Interval
from featx.showing import Overview, Shown

GapVerdict: TypeAlias = Literal["same", "label shift", "domain shift", "undecided"]


@dataclass(frozen=True)
class ClassShare:
    """How large a part of the images has one class, in the source and, as estimated, in the target.

    >>> import featx
    >>> share = featx.measure_gap("photos.h5", "photos.h5").shares[0]
    >>> share.name, share.source
    ('circle', 0.2)
    """

    name: str
    source: float
    """Share of the labelled images of the source."""
    em: float
    """Share in the target by the EM algorithm (`em_shares`)."""
    em_ci: Interval
    """Its 95 % interval."""
    bbse: float
    """Share in the target by black-box shift estimation (`bbse_shares`)."""
    bbse_ci: Interval
    """Its 95 % interval."""


@dataclass(frozen=True)
class ColumnShift:
    """How one column of features differs between the domains.

    >>> import featx
    >>> featx.measure_gap("photos.h5", "photos.h5").columns[0].difference
    0.0
    """

    backbone: str
    output: str
    column: int
    """Its number in the output, from 0."""
    difference: float
    """Mean in the target minus mean in the source, in standard deviations of the source."""
    scale_ratio: float | None
    """Standard deviation in the target divided by that in the source; None if the source has one value only."""
    p_holm: float
    """p of the difference in means, corrected for all columns."""


@dataclass(frozen=True)
class BlockShift:
    """How the columns of one output differ between the domains.

    >>> import featx
    >>> block = featx.measure_gap("photos.h5", "photos.h5").blocks[0]
    >>> block.backbone, block.columns, block.moved
    ('efficientnet-lite0', 1280, 0)
    """

    backbone: str
    output: str
    columns: int
    moved: int
    """Columns whose means differ: p below 0.05 after Holm's correction over the columns of all outputs."""
    mean_difference: float
    """Mean over columns of the absolute difference in means, in standard deviations of the source."""


@dataclass(frozen=True, repr=False)
class Gap(Shown):
    """What lies between a source and a target domain, measured without any label of the target.

    >>> import featx
    >>> gap = featx.measure_gap("photos.h5", "photos.h5")
    >>> gap.verdict, gap.adapts
    ('same', False)
    """

    verdict: GapVerdict
    adapts: bool
    """Whether adapting to the target is advised: if the verdict is `domain shift`."""
    auroc: float | None
    """Of a classifier of domains; 0.5 if they cannot be told apart. None if a domain has a single image or group."""
    ci: Interval | None
    """Its 95 % interval."""
    weighted_auroc: float | None
    """The area if source images are weighted to the target's shares of classes; None without labels of the source."""
    weighted_ci: Interval | None
    mmd: float
    """Squared maximum mean discrepancy."""
    p: float
    """Its p-value: the share of permutations of the domains with a discrepancy at least as large."""
    class_p: float | None
    """p-value of equal shares of predicted classes in both domains; None without labels of the source."""
    shares: tuple[ClassShare, ...]
    """The shares of classes; empty without labels of the source, and of more than 200 classes."""
    columns: tuple[ColumnShift, ...]
    """The columns whose means differ most, at most ten."""
    blocks: tuple[BlockShift, ...]
    """Each output of each backbone."""
    source_rows: int
    """Images of the source that were looked at."""
    target_rows: int
    """Images of the target that were looked at."""
    notes: tuple[str, ...]

    def overview(self) -> Overview:
        """The verdict and the numbers that it follows from."""
        return Overview(f"Gap: {self.verdict}", tuple(self._facts()))

    def _facts(self) -> Iterator[tuple[str, str]]:
        if self.auroc is not None and self.ci is not None:
            yield "AUROC", _with_interval(self.auroc, self.ci)
        if self.weighted_auroc is not None and self.weighted_ci is not None:
            yield "AUROC, weighted", _with_interval(self.weighted_auroc, self.weighted_ci)
        yield "MMD", f"{self.mmd:.4f} (p {self.p:.3f})"
        yield "adapt", "yes" if self.adapts else "no"

    def to_dict(self) -> dict[str, Any]:
        """The gap as plain JSON values."""
        return asdict(self)


def _with_interval(value: float, ends: Interval) -> str:
    return f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"
