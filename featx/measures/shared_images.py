"""How the mean of a score over several draws depends on which images were tested, if the draws share test images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featx.errors import TableError
from featx.labels import Labels
from featx.measures.comparison import Pair
from featx.measures.per_image import Floats, class_correctness
from featx.measures.resampling import Units, units_of


@dataclass(frozen=True)
class SharedImages:
    """The deviations of each head's mean score over draws that come from its test images, as `draws_t_test` takes them.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import SharedImages
    >>> labels = Labels(("cat", "dog"), codes=np.array([0, 0, 1, 1]))
    >>> guesses = {"a": [np.array([0, 0, 1, 1])] * 2, "b": [np.array([0, 1, 1, 1]), np.array([0, 1, 1, 0])]}
    >>> tested = SharedImages.of_guesses(guesses, labels=[labels] * 2, rows=[np.arange(4)] * 2)
    >>> round(tested.variance(("a", "b")), 4), tested.freedom
    (0.0573, 3.0)
    """

    deviations: Mapping[str, Floats]
    """(k,) for each head: the parts of its deviation that come from single images or groups; or those of resamples."""
    factor: float
    """What the sum of squares of a difference of deviations is multiplied by to become the variance of the mean."""
    count: int
    """Number of different images, or groups, that were tested; where resamples are given, those of the first draw."""
    noun: str
    """What they are called in texts: `images` or `whole groups`."""
    freedom: float
    """Degrees of freedom of the variance."""

    def variance(self, pair: Pair) -> float:
        """The variance of the mean difference of two heads that comes from the sample of test images."""
        return self._variance(self.deviations[pair[0]] - self.deviations[pair[1]])

    def variance_of(self, name: str) -> float:
        """The variance of the mean of one head that comes from the sample of test images."""
        return self._variance(self.deviations[name])

    def _variance(self, deviations: Floats) -> float:
        return float(deviations @ deviations) * self.factor

    @classmethod
    def of_guesses(
        cls,
        predicted: Mapping[str, Sequence[NDArray[np.int64]]],
        *,
        labels: Sequence[Labels],
        rows: Sequence[NDArray[np.int64]],
        balanced: bool = False,
        draws: Mapping[str, Sequence[int]] | None = None,
    ) -> Self:
        """The deviations of accuracy, or of balanced accuracy, from the predicted classes of each head on its draws.

        `labels` and `rows` say for each draw which images were tested: equal rows are equal images. `draws` says which
        of these draws each head has guesses for, if not for all of them. An image's part of a deviation is its
        influence: its weight times how far it is from the mean, divided by the sum of weights. Over draws it is
        averaged; those of a group are added up.
        """
        influence = _influence_on_recalls if balanced else _influence_on_accuracy
        return cls._of_influences(influence, predicted, labels=labels, rows=rows, draws=draws)

    @classmethod
    def of_values(
        cls, values: Mapping[str, Sequence[Floats]], *, labels: Sequence[Labels], rows: Sequence[NDArray[np.int64]]
    ) -> Self:
        """The deviations of a mean over images, such as accuracy, from the `row_values` of each head on each draw."""
        return cls._of_influences(_influence_on_mean, values, labels=labels, rows=rows)

    @classmethod
    def _of_influences(
        cls,
        influence: Callable[[NDArray[Any], Labels], Floats],
        given: Mapping[str, Sequence[NDArray[Any]]],
        *,
        labels: Sequence[Labels],
        rows: Sequence[NDArray[np.int64]],
        draws: Mapping[str, Sequence[int]] | None = None,
    ) -> Self:
        images, places = _places(rows)
        units, of_image = _units(labels, places, len(images))
        deviations = {}
        for name, of_draws in given.items():
            total = np.zeros(units.count)
            own = range(len(rows)) if draws is None else draws[name]
            for of_draw, draw in zip(of_draws, own, strict=True):
                total += np.bincount(of_image[places[draw]], influence(of_draw, labels[draw]), units.count)
            deviations[name] = total / len(own)
        return cls(deviations, units.spread, units.count, units.noun, units.freedom)

    @classmethod
    def of_resamples(cls, values: Mapping[str, Sequence[Floats]], *, labels: Sequence[Labels], aligned: bool) -> Self:
        """The deviations of any measure from its values on resamples (1 + b,) of the test images of each draw.

        If the draws are `aligned`, they have the same test images and resamples, and the values are averaged over
        draws. If not, the variance is the mean of those of the single draws, which is too large rather than too small:
        it takes the test images of all draws for the same sample.
        """
        units = units_of(labels[0])
        deviations = {}
        for name, of_draws in values.items():
            each = [np.mean(of_draws, axis=0)] if aligned else of_draws
            deviations[name] = np.concatenate([_centre(drawn[1:]) for drawn in each])
        resamples = min(map(len, deviations.values()), default=0)
        draws = 1 if aligned else len(labels)
        if resamples < 2 * draws:
            raise TableError("a head has fewer than 2 resamples of its measure; compute its results again")
        return cls(deviations, units.spread / (resamples - draws), units.count, units.noun, units.freedom)


def _centre(drawn: Floats) -> Floats:
    """The values on resamples minus their mean; 0 where the measure is undefined."""
    centred: Floats = np.nan_to_num(drawn - np.nanmean(drawn), nan=0.0)
    return centred


def _places(rows: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """The different rows of all draws, and the position among them of each row of each draw."""
    images, place = np.unique(np.concatenate(rows), return_inverse=True)
    return images, np.split(place.ravel(), np.cumsum([len(one) for one in rows])[:-1])


def _units(
    labels: Sequence[Labels], places: Sequence[NDArray[np.int64]], images: int
) -> tuple[Units, NDArray[np.int64]]:
    """The units of all images that were tested in any draw, with the weights of the images, and the unit of each."""
    weights = np.zeros(images)
    groups = None if labels[0].groups is None else np.empty(images, np.result_type(*(one.groups for one in labels)))
    for of_draw, place in zip(labels, places, strict=True):
        weights[place] = of_draw.weights
        if groups is not None:
            groups[place] = of_draw.groups
    units = units_of(Labels((), np.zeros(images, np.int64), None, weights, groups))
    return units, units.of_image


def _influence_on_accuracy(predicted: NDArray[np.int64], labels: Labels) -> Floats:
    """(n,): what each image adds to the deviation of the accuracy of these predictions."""
    return _influence_on_mean(class_correctness(predicted, labels), labels)


def _influence_on_mean(values: Floats, labels: Labels) -> Floats:
    """(n,): what each image adds to the deviation of the weighted mean of these values (n,)."""
    mean = float(np.average(values, weights=labels.weights))
    influence: Floats = labels.weights * (values - mean) / labels.weights.sum()
    return influence


def _influence_on_recalls(predicted: NDArray[np.int64], labels: Labels) -> Floats:
    """(n,): what each image adds to the deviation of the balanced accuracy of these predictions."""
    image, column, share = labels.entries
    value = labels.weights[image] * share
    correct = (predicted[image] == column).astype(np.float64)
    totals = np.bincount(column, value, len(labels.classes))
    present = totals > 0
    recalls = np.bincount(column, value * correct, len(labels.classes)) / np.where(present, totals, 1)
    part = value * (correct - recalls[column]) / np.where(present, totals, 1)[column] / present.sum()
    return np.bincount(image, part, len(labels)).astype(np.float64)
