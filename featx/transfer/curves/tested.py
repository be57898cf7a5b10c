"""What the test images, which draws share, add to the variance of a mean over draws and of a difference of two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from featx.compare import predicted_classes
from featx.heads import unpack_drawn
from featx.measures import SharedImages
from featx.transfer.curves.trial import Trial


@dataclass(frozen=True)
class TestedImages:
    """The variances that come from the test images, each with its degrees of freedom."""

    shared: Mapping[str, SharedImages]
    """By the name of the trial; one for all trials if images have one label."""
    multilabel: bool

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Self:
        """Those of the test images of these trials, which are of the same table."""
        if trials[0].labels[0].multilabel:
            return cls({trial.name: _of_resamples(trial) for trial in trials}, multilabel=True)
        return cls(dict.fromkeys([trial.name for trial in trials], _of_guesses(trials)), multilabel=False)

    def of_mean(self, trial: Trial) -> tuple[float, float]:
        """The variance of the trial's mean over its draws."""
        shared = self.shared[trial.name]
        return shared.variance_of(trial.name), shared.freedom

    def of_difference(self, trial: Trial, other: Trial) -> tuple[float, float]:
        """The variance of the difference of the means of two trials.

        Of images with several labels it is the sum of both, for their resamples are of different test images. That is
        too large if both heads find the same images hard.
        """
        if self.multilabel:
            (one, freedom), (two, others) = self.of_mean(trial), self.of_mean(other)
            return one + two, min(freedom, others)
        shared = self.shared[trial.name]
        return shared.variance((trial.name, other.name)), shared.freedom


def _of_guesses(trials: Sequence[Trial]) -> SharedImages:
    """One for all trials, so that heads with different numbers of shots are compared image by image."""
    splits = dict[str, int]()
    rows, labels = [], []
    for trial in trials:
        for candidate, of_draw in zip(trial.candidates, trial.labels, strict=True):
            if candidate.split.key not in splits:
                splits[candidate.split.key] = len(splits)
                rows.append(candidate.split.test)
                labels.append(of_draw)
    return SharedImages.of_guesses(
        {
            trial.name: [
                predicted_classes(result, of_draw) for result, of_draw in zip(trial.results, trial.labels, strict=True)
            ]
            for trial in trials
        },
        labels=labels,
        rows=rows,
        balanced=trials[0].candidates[0].balanced,
        draws={trial.name: [splits[one.split.key] for one in trial.candidates] for trial in trials},
    )


def _of_resamples(trial: Trial) -> SharedImages:
    drawn = [unpack_drawn(result.drawn or "") for result in trial.results]
    aligned = all(np.array_equal(rows, trial.rows[0]) for rows in trial.rows)
    return SharedImages.of_resamples({trial.name: drawn}, labels=trial.labels, aligned=aligned)
