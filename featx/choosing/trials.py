"""What trying several sources on a sample of the images showed."""

from dataclasses import dataclass

from featx.measures import Interval
from featx.showing import Overview, Shown, shorten
from featx.transfer import RankedSource, SourceScore


@dataclass(frozen=True, kw_only=True)
class TriedSource(RankedSource):
    """A source in the ranking; its numbers, and what it is compared with, are those of the last round that it was in.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> found = featx.choose_source(images, ["efficientnet-lite0", "raw-pixels"], sample=40, into="tried")
    >>> first = found.ranking[0]
    >>> first.backbone, first.dropped_in
    ('efficientnet-lite0', None)
    """

    accuracy: float | None
    """Of ridge regression on images that were left out."""
    accuracy_ci: Interval | None
    images: int
    """Number of images that the accuracy is of."""
    seconds_for_all: float | None
    """How long it may take to extract the images that are not extracted yet; None if that was not measured."""
    dropped_in: int | None = None
    """The round after which it was dropped; None if it never was."""


@dataclass(frozen=True)
class DroppedSource:
    """A source that was dropped, and why.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> found = featx.choose_source(images, ["efficientnet-lite0", "raw-pixels"], sample=40, into="tried")
    >>> [one.backbone for one in found.dropped]
    ['raw-pixels']
    """

    backbone: str
    round: int
    images: int
    """Number of images that it was compared on."""
    difference: float
    """Its accuracy minus that of the first."""
    ci: Interval
    """Interval of the difference, for all comparisons of all rounds together 95 %."""
    against: str
    """The backbone that was first."""


@dataclass(frozen=True)
class FailedSource:
    """A candidate that could not be run, and why.

    >>> from featx.choosing import FailedSource
    >>> FailedSource("broken", "its model cannot be read").backbone
    'broken'
    """

    backbone: str
    reason: str


@dataclass(frozen=True, repr=False)
class SourceTrials(Shown):
    """What trying several sources on a sample of the images showed.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> featx.choose_source(images, ["efficientnet-lite0", "raw-pixels"], sample=40, into="tried")
    SourceTrials: 2 sources tried
      to train: efficientnet-lite0
      dropped: raw-pixels
    """

    rows: tuple[SourceScore, ...]
    """The scores of each source, of the last round that it was in."""
    ranking: tuple[TriedSource, ...]
    """First the sources of the last round, then those that were dropped, the last ones first."""
    dropped: tuple[DroppedSource, ...]
    failed: tuple[FailedSource, ...]
    caches: dict[str, str]
    """Backbone -> path of its cache; `extract_features` into it computes only the other rows."""
    notes: tuple[str, ...]
    """Which images were tried, why the trial ended, and how sure the ranking is."""

    def overview(self) -> Overview:
        """The sources that the images cannot tell from the first, and those that were dropped."""
        count = len(self.ranking)
        facts = (
            ("to train", shorten(one.backbone for one in self.ranking if one.tied)),
            ("dropped", shorten(one.backbone for one in self.dropped)),
            ("failed", shorten(one.backbone for one in self.failed)),
        )
        return Overview(f"SourceTrials: {count} source{'s' * (count != 1)} tried", facts)
