"""Draws the images of each round: those that a head would learn from, stratified, the ones before among them."""

from dataclasses import dataclass

from featx.cache import FeatureTable
from featx.columns import NO_LABEL
from featx.errors import TableError
from featx.inputs import ImageSet
from featx.tables import RowIndices, first_rows, split_table, table_without_features

ROUNDS = (1 / 4, 1 / 2, 1)
"""The shares of the sample that have been tried after each round."""

LEAST_TRIED = 20
"""Number of images in the first round, if the sample has as many."""


@dataclass(frozen=True)
class Sample:
    """The images that a head would learn from, and how many of them are tried at most."""

    table: FeatureTable
    """Of all images, without features."""
    learnable: RowIndices
    """The rows of the training and validation images."""
    size: int
    seed: int

    @classmethod
    def draw(cls, images: ImageSet, *, size: int, seed: int) -> "Sample":
        """A sample of at most this many images. Raises TableError if they have no labels, or cannot be split."""
        _check_labelled(images)
        table = table_without_features(images)
        return cls(table, split_table(table, seed=seed).development, size, seed)

    def sizes(self) -> list[int]:
        """Number of images that have been tried after each round: LEAST_TRIED after the first, or two of each class."""
        most = min(self.size, len(self.learnable))
        least = min(most, max(LEAST_TRIED, 2 * len(self.table.classes)))
        return sorted({max(least, round(share * most)) for share in ROUNDS})

    def first(self, count: int) -> RowIndices:
        """The rows of about the first `count` images, ascending; whole groups, if there are groups."""
        return first_rows(self.table, self.learnable, count=count, seed=self.seed)


def _check_labelled(images: ImageSet) -> None:
    if images.labels is None or not (images.labels != NO_LABEL).any():
        raise TableError(
            "none of the images has a label, so no source can be scored; put them into class folders, or give a "
            "manifest with a column of labels (--label-column)"
        )
