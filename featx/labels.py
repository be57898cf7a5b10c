"""What is true of images, for heads and measures: labels, soft labels or several labels, and weights."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featx.columns import take


@dataclass(frozen=True)
class Labels:
    """What is true of some images; one entry an image in every array."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """(n,): positions in `classes`; of soft labels the largest share; -1 where an image has several labels."""
    given: NDArray[np.float64] | None = None
    """(n, classes): soft labels, or 0 and 1 for each class alone; None where the labels say it all."""
    weights: NDArray[np.float64] | None = None
    groups: NDArray[np.bytes_] | None = None
    multilabel: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """(n, classes): how much of each class an image is."""
        return np.eye(len(self.classes))[self.labels] if self.given is None else self.given

    @property
    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """(k,) each: every image and class of which it is, and how much of it; images in their order."""
        if self.given is None:
            return np.arange(len(self)), self.labels, np.ones(len(self))
        image, column = np.nonzero(self.given)
        return image, column, self.given[image, column]

    @cached_property
    def weight(self) -> NDArray[np.float64]:
        """(n,): the weights, 1 where none are given."""
        return np.ones(len(self)) if self.weights is None else self.weights

    @cached_property
    def class_totals(self) -> NDArray[np.float64]:
        """(classes,): what the images of each weigh together."""
        if self.given is not None:
            return np.asarray(self.weight @ self.given)
        return np.asarray(np.bincount(self.labels, self.weight, len(self.classes)), np.float64)

    def take(self, rows: NDArray[np.int64]) -> "Labels":
        """These images alone."""
        columns = {name: take(getattr(self, name), rows) for name in ("labels", "given", "weights", "groups")}
        return replace(self, **columns)  # type: ignore[arg-type]
