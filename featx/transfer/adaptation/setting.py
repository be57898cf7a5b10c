"""What every method of adaptation works with: the source, and of the target only what methods may see."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from featx.cache import FeatureTable
from featx.heads import AUTO, Head, Result, train_head
from featx.tables import RowIndices, Split, select_rows
from featx.transfer.adaptation.target_rows import FewLabels


@dataclass(frozen=True)
class HeadChoice:
    """Which head is trained, and how."""

    name: str = "logreg"
    fusion: str = ""
    tuning: str = AUTO
    balanced: bool = False
    seed: int = 0
    jobs: int | None = None

    def train(self, table: FeatureTable, split: Split, *, cautious: bool = False) -> tuple[Head, Result]:
        """The head, trained on a split of this table. Raises what `train_head` raises.

        With `cautious` its penalty is stronger, which was better for images of another domain wherever it was tried.
        """
        return train_head(
            table,
            self.name,
            fusion=self.fusion,
            split=split,
            tuning=self.tuning,
            balanced=self.balanced,
            cautious=cautious,
            seed=self.seed,
            jobs=self.jobs,
        )


@dataclass(frozen=True)
class Setting:
    """The source with its split; rows of the target without labels; and a few with labels, if they were asked for."""

    source: FeatureTable
    split: Split
    """Of the source: its test rows are used by no method."""
    seen: FeatureTable
    """Rows of the target without labels."""
    few: FewLabels | None
    choice: HeadChoice
    target_shares: Mapping[str, float] | None = None
    """The share of each class in the target, as given by the user."""

    @property
    def learnt(self) -> RowIndices:
        """The rows of the source that methods learn from."""
        return self.split.development

    @cached_property
    def learnt_table(self) -> FeatureTable:
        """The source with only these rows."""
        return select_rows(self.source, self.learnt)

    @cached_property
    def learnt_names(self) -> list[str]:
        """(learnt rows,): the class of each; of soft labels the one with the largest share."""
        labels = self.source.labels_of(self.learnt)
        return [labels.classes[code] for code in np.asarray(labels.codes)]
