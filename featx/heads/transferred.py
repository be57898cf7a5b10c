"""What a head took over from heads of other images, as its result says it."""

from collections.abc import Mapping
from dataclasses import dataclass

TARGET_ALONE = "target"
"""The way of a head that took over nothing."""


@dataclass(frozen=True)
class SourceOfHead:
    """One head that was offered as a source, and what became of it.

    >>> import featx
    >>> source = featx.load_head("photos.featx")
    >>> _, result = featx.transfer_head("photos.h5", "ridge", sources=[source], jobs=1)
    >>> [(one.head, one.backbones) for one in result.transferred.sources]
    [('ridge', ('efficientnet-lite0',))]
    """

    head: str
    """Its kind, such as `logreg`."""
    backbones: tuple[str, ...]
    digest: str
    """sha256 of its coefficients, intercepts and classes."""
    classes: tuple[str, ...]
    """The classes that it shares with the target, by name."""
    dropped: tuple[str, ...]
    """Its classes that the target lacks."""
    gamma: float
    """How strongly the head is drawn towards it: 0 if it is not used, 1 for its own coefficients."""
    why: str
    """Why it is used or not, with the log losses that decided."""
    standardised: bool = False
    """Whether features of the target are first given the mean and scale that each column has in the source."""

    @property
    def admitted(self) -> bool:
        """Whether the head is drawn towards it."""
        return self.gamma > 0


@dataclass(frozen=True)
class Transferred:
    """What a head took over from its sources, with the losses of all ways that were compared.

    >>> import featx
    >>> source = featx.load_head("photos.featx")
    >>> _, result = featx.transfer_head("photos.h5", "ridge", sources=[source], jobs=1)
    >>> sorted(result.transferred.losses)
    ['drawn', 'target']
    """

    way: str
    """`target`: labels of the target alone; `drawn`: towards the coefficients of sources; `pooled`: with their images.
    """
    gamma: float
    """The sum of gamma over all sources; 0 if no coefficient was taken over."""
    classes: tuple[str, ...]
    """The classes whose coefficients were taken over."""
    new_classes: tuple[str, ...]
    """Classes of the target that no source knows: they start from zero."""
    sources: tuple[SourceOfHead, ...]
    losses: Mapping[str, float]
    """Log loss in nats of the best head of each way on validation images of the target; the lowest was chosen, but
    another one than `target` only if it is lower by a margin."""
    images: int = 0
    """Number of images of the source that the head was fitted to, beside those of the target."""
    weight: float = 0.0
    """The weight of each of them, relative to an image of the target."""
    pool: str = ""
    """Digest of the images of the source that were offered; empty if none were."""
