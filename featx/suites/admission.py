"""Which targets say nothing about sources, because what transfers nothing reaches the best of them already."""

from collections.abc import Iterator
from dataclasses import dataclass

from featx.measures import Interval
from featx.suites.standing import Field
from featx.transfer import Predictor


@dataclass(frozen=True)
class UninformativeTarget:
    """A target on which a baseline, or always naming the most frequent class, reaches the best source.

    >>> from featx.suites import UninformativeTarget
    >>> print(UninformativeTarget("logreg/all", "coins", "majority", "lite0:features", 0.5, 0.51, (-0.02, 0.04)))
    coins (logreg/all): majority reaches 0.500, the best source lite0:features 0.510, which is not significantly more
    """

    group: str
    target: str
    baseline: str
    """`majority`, or the backbone and output."""
    best: str
    """Backbone and output of the best source, by test images."""
    baseline_value: float
    best_value: float
    ci: Interval | None
    """95 % interval of the best minus the baseline; None if the images say nothing about it."""

    def __str__(self) -> str:
        """The target in one line."""
        return (
            f"{self.target} ({self.group}): {self.baseline} reaches {self.baseline_value:.3f}, the best source "
            f"{self.best} {self.best_value:.3f}, which is not significantly more"
        )


def admit(field: Field, group: str) -> Iterator[UninformativeTarget]:
    """Yields the best baseline of those that the images do not tell from the best source of this target; often none."""
    sources = [one for one in field.standings if not one.baseline]
    if not sources:
        return
    best = max(sources, key=lambda one: one.value)
    rivals = {":".join(one.source): one.predictor for one in field.standings if one.baseline}
    rivals |= {"majority": field.majority}
    found = [
        UninformativeTarget(
            group=group,
            target=field.target.target,
            baseline=name,
            best=":".join(best.source),
            baseline_value=float(rival.values.mean()),
            best_value=best.value,
            ci=ci,
        )
        for name, rival in rivals.items()
        for ci in [_difference(field, best.predictor, rival)]
        if (ci[0] if ci else best.value - float(rival.values.mean())) <= 0
    ]
    if found:
        yield max(found, key=lambda one: one.baseline_value)


def _difference(field: Field, best: Predictor, rival: Predictor) -> Interval | None:
    """The 95 % interval of the best minus the rival."""
    outcomes = {best.name: best.outcomes, rival.name: rival.outcomes}
    (compared,) = field.images.compare(outcomes, [(best.name, rival.name)])
    return compared.interval
