"""The views of images in the columns of a head: where each of them is, and how those of one image are one again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import Source
from featx.errors import HeadError
from featx.measures import pool_views
from featx.showing import show_views


@dataclass(frozen=True)
class ViewColumns:
    """How many views of an image stand side by side in a row of features, and how wide each block of one view is."""

    count: int
    widths: tuple[int, ...]
    """The number of columns of one view, of each output of each backbone."""

    @property
    def width(self) -> int:
        """The number of columns of one view."""
        return sum(self.widths)

    def spread(self, features: NDArray[Any]) -> NDArray[Any]:
        """(n x count, width): a row for each view of features (n, columns), those of one image one after another."""
        if self.count == 1:
            return features
        ends = np.cumsum([self.count * width for width in self.widths])[:-1]
        blocks = np.split(features, ends, axis=1)
        of_views = [block.reshape(len(features), self.count, -1) for block in blocks]
        return np.concatenate(of_views, axis=2).reshape(-1, self.width)

    def join(self, scores: NDArray[np.float64], *, multilabel: bool) -> NDArray[np.float64]:
        """(n, classes): the class scores of images from those of their views, (n x count, classes).

        Their probabilities are the mean over the views.
        """
        if self.count == 1:
            return scores
        return pool_views(scores.reshape(-1, self.count, scores.shape[1]), multilabel=multilabel)


def view_columns(sources: Sequence[Source]) -> ViewColumns:
    """How views stand in the columns of these sources: one by one if all are read by the rule `rows`.

    Raises HeadError if some are, and others are not or have other views: a row must be one view of the image in all.
    """
    side_by_side = {source.views if source.view_rule == "rows" else () for source in sources}
    if len(side_by_side) > 1:
        described = " + ".join(f"{one.view_rule} of {show_views(one.views)} ({one.name})" for one in sources)
        raise HeadError(
            f"with `rows` every backbone needs the same views of the images, but there are {described}; extract with "
            "the same --views, or use mean"
        )
    count = max([1, *map(len, side_by_side)])
    return ViewColumns(count, tuple((source.stop - source.start) // count for source in sources))
