"""What a split is: rows to train on, to validate on and to test on, and how they were chosen."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Rows of a table, in its order, in three parts that share none."""

    train: Rows
    validation: Rows
    """For choosing among heads and their parameters."""
    test: Rows
    """For nothing but the final measure."""
    rule: str
    """How they were chosen, in words."""
    key: str
    """A short name, the same for the same choice; with the table's digest and the seed it tells which rows they are."""
    refit: bool = True
    """Whether a tuned head is fitted once more on training and validation rows: not where the shots are counted."""
    shots: int | None = None
    """Training images of each class, where they are counted."""
    blocks: NDArray[np.int64] | None = None
    """(table rows,): the block of each, where blocks are kept on one side in tuning too."""

    @property
    def kind(self) -> str:
        """What splits have in common that are drawn alike, as in `few-shot-4`."""
        return self.key.partition("/")[0]

    @property
    def development(self) -> Rows:
        """Training and validation rows: all that a head may learn from."""
        return np.sort(np.concatenate([self.train, self.validation]))

    @property
    def fitted(self) -> Rows:
        """The rows that the tuned head is fitted on in the end."""
        return self.development if self.refit else self.train
