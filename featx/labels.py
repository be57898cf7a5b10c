"""The labels of images, for heads and measures: a class, soft labels or several classes per image, and weights."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featx.columns import take


@dataclass(frozen=True)
class Labels:
    """The labels of n images, with their weights and groups; every array has one entry per image."""

    classes: tuple[str, ...]
    codes: NDArray[np.int64]
    """(n,): positions in `classes`; for soft labels the class with the largest share; -1 for multi-label images."""
    given_shares: NDArray[np.float64] | None = None
    """(n, classes): soft labels, which sum to 1, or 0 and 1 for each class of multi-label images; None for codes."""
    given_weights: NDArray[np.float64] | None = None
    """(n,), or None if no weights were given."""
    groups: NDArray[np.bytes_] | None = None
    multilabel: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """(n, classes): the share of each class in each image; one-hot rows if only codes were given."""
        return np.eye(len(self.classes))[self.codes] if self.given_shares is None else self.given_shares

    @property
    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """The nonzero shares as three arrays (k,): image, class and share, in the order of the images."""
        if self.given_shares is None:
            return np.arange(len(self)), self.codes, np.ones(len(self))
        image, column = np.nonzero(self.given_shares)
        return image, column, self.given_shares[image, column]

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(n,): the weight of each image; 1 if none were given."""
        return np.ones(len(self)) if self.given_weights is None else self.given_weights

    @cached_property
    def class_totals(self) -> NDArray[np.float64]:
        """(classes,): for each class, the sum of weight times share over all images."""
        if self.given_shares is not None:
            return np.asarray(self.weights @ self.given_shares)
        return np.asarray(np.bincount(self.codes, self.weights, len(self.classes)), np.float64)

    def take(self, rows: NDArray[np.int64]) -> "Labels":
        """The labels of the images in these rows, in this order."""
        columns = {
            name: take(getattr(self, name), rows) for name in ("codes", "given_shares", "given_weights", "groups")
        }
        return replace(self, **columns)  # type: ignore[arg-type]
