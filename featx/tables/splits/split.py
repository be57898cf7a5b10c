"""The result of splitting a table: training, validation and test rows, and the rule that assigned them."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.showing import Overview, Shown

LEAVE_ONE_DOMAIN_OUT = "leave-one-domain-out"
SOURCE_TARGET = "source-target"
RowIndices: TypeAlias = NDArray[np.int64]
"""Positions of rows in a table."""


@dataclass(frozen=True, repr=False)
class Split(Shown):
    """Training, validation and test rows of a table; no row is in two of them.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> featx.make_splits(table, "stratified")[0]
    Split: 35 training, 10 validation and 15 test images
      rule: stratified quarter held out, seed 0
    """

    train: RowIndices
    """Rows to fit heads on, in the table's order."""
    validation: RowIndices
    """Rows to choose heads and their parameters by."""
    test: RowIndices
    """Rows for the final measurement only."""
    rule: str
    """How the rows were assigned, in words."""
    key: str
    """A short name of the assignment; the table's digest and this key together identify the rows."""
    refit: bool = True
    """Whether a tuned head is fitted again on training and validation rows; False if shots are counted."""
    shots: int | None = None
    """Number of training images per class in few-shot splits."""
    blocks: NDArray[np.int64] | None = None
    """(table rows,): the block of each row, if the folds of tuning must not divide blocks either."""
    validation_drawn: bool = False
    """Whether the validation rows were drawn at random from the rows to learn from: folds may then take their place."""
    adaptation: RowIndices | None = None
    """Rows of the target domain that adaptation may see without their labels; None if the rule has no target domain."""

    @property
    def kind(self) -> str:
        """The part of the key that repeated splits of one rule share, such as `few-shot-4`."""
        return self.key.partition("/")[0]

    @property
    def by_domain(self) -> bool:
        """Whether test rows are of another domain than all others, so that repeated splits are no resamples."""
        return self.kind in (LEAVE_ONE_DOMAIN_OUT, SOURCE_TARGET)

    @property
    def development(self) -> RowIndices:
        """Training and validation rows together, in the table's order."""
        return np.sort(np.concatenate([self.train, self.validation]))

    @property
    def fitted(self) -> RowIndices:
        """The rows that the tuned head is finally fitted on."""
        return self.development if self.refit else self.train

    def overview(self) -> Overview:
        """The number of rows in each part, and the rule."""
        counts = f"{len(self.train)} training, {len(self.validation)} validation and {len(self.test)} test images"
        unlabelled = "" if self.adaptation is None else f"{len(self.adaptation)} images"
        return Overview(f"Split: {counts}", (("rule", self.rule), ("adaptation", unlabelled)))
