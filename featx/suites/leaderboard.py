"""The leaderboard: the sources of each comparability group in the order of their mean ranks over targets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from featx.compare import means_by_domain
from featx.measures import (
    MEASURE_TITLES,
    Comparison,
    Interval,
    MeanRanks,
    compare_ranks,
    holm,
    letters_of,
    mean_over_sets,
)
from featx.suites.admission import UninformativeTarget, admit
from featx.suites.groups import Group, GroupedFields, group_fields
from featx.suites.standing import Field, Standing
from featx.suites.suite import Protocol
from featx.transfer import interval_of

SIGNIFICANT = 0.05
MOST_NAMED = 5
"""Most pairs that a note names."""
ORDERING = ("accuracy", "balanced_accuracy", "log_loss")
"""The measures whose orders are compared; of the last one, smaller values are better."""


@dataclass(frozen=True)
class TargetValue:
    """What a source reached on one target, and how that differs from the first of its group."""

    target: str
    value: float
    """The measure on test images, a mean over splits."""
    ci: Interval | None
    """Its 95 % interval."""
    difference: float
    """Minus that of the first source of the group, on the same test images."""
    difference_ci: Interval | None
    """95 % interval of the difference; None for the first, and if the images say nothing about it."""
    p: float | None
    p_holm: float | None
    """p corrected for all sources and targets of the group (Holm 1979)."""
    domains: Mapping[str, float] = field(default_factory=dict)
    """Domain -> the measure on its test images, if splits test different domains; `value` is their mean."""


@dataclass(frozen=True)
class LeaderboardRow:
    """One source, with one head, in its comparability group."""

    group: str
    """Name of the group; rows of different groups do not stand together."""
    place: int | None
    """1 for the lowest mean rank; None for a source that lacks a target."""
    backbone: str
    output: str
    head: str
    baseline: str
    """What the source is if it transfers nothing; empty for all others."""
    columns: int
    lacks: tuple[str, ...]
    """Targets on which the source has no result: it is listed apart, and not averaged over fewer."""
    mean: float | None = None
    """Weighted mean over targets of the measure on test images."""
    ci: Interval | None = None
    """95 % interval of the mean, by Student's t over targets; None for one target, or if all values are equal."""
    mean_rank: float | None = None
    letters: str = ""
    """Sources that share a letter are within the critical difference of mean ranks."""
    difference: float | None = None
    """Mean over targets of the difference from the first of the group."""
    difference_ci: Interval | None = None
    """95 % interval of that, by Student's t over targets."""
    wins: int | None = None
    """Number of targets on which the source is significantly better than the first."""
    ties: int | None = None
    losses: int | None = None
    targets: tuple[TargetValue, ...] = ()

    @property
    def source(self) -> str:
        """Backbone and output."""
        return f"{self.backbone}:{self.output}"


@dataclass(frozen=True)
class Leaderboard:
    """The rows of all groups, what decides what their numbers mean, and what to know about them."""

    groups: tuple[Group, ...]
    rows: tuple[LeaderboardRow, ...]
    uninformative: tuple[UninformativeTarget, ...]
    """Targets on which a baseline reaches the best source."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The leaderboard as plain JSON values."""
        groups = [asdict(group) | {"digest": group.digest} for group in self.groups]
        return asdict(self) | {"groups": groups}


def rank_sources_over_targets(fields: Sequence[Field], protocol: Protocol) -> Leaderboard:
    """The leaderboard of these fields: within each group by mean rank, each source tested against the first.

    Mean ranks are compared by Friedman's test and Nemenyi's critical difference. On each target, every source is
    compared with the first of its group by the paired test of `featx compare`; p-values are corrected by Holm's method
    over all sources and targets of the group.
    """
    groups = group_fields(fields, protocol)
    rows = []
    notes = []
    for grouped in groups:
        ranked = _Ranked.of(grouped)
        rows += [*ranked.rows(), *_apart(grouped)]
        notes += [f"{grouped.group.name}: {note}" for note in ranked.notes()]
    uninformative = tuple(
        one for grouped in groups for field in grouped.fields for one in admit(field, grouped.group.name)
    )
    return Leaderboard(tuple(grouped.group for grouped in groups), tuple(rows), uninformative, tuple(notes))


@dataclass(frozen=True)
class _Ranked:
    """The complete sources of one group, with their values (targets, sources) and mean ranks."""

    group: Group
    fields: tuple[Field, ...]
    sources: tuple[tuple[str, str], ...]
    values: np.ndarray[Any, np.dtype[np.float64]]
    ranks: MeanRanks

    @classmethod
    def of(cls, grouped: GroupedFields) -> "_Ranked":
        """The sources that have a result on every target of the group, with their mean ranks."""
        sources = tuple(one.source for one in grouped.fields[0].standings)
        standings = [{one.source: one for one in field.standings} for field in grouped.fields]
        values = np.array([[by_source[source].value for source in sources] for by_source in standings], np.float64)
        values = values.reshape(len(grouped.fields), len(sources))
        ranks = compare_ranks(values) if sources else MeanRanks(np.zeros(0), None, None, ())
        return cls(grouped.group, grouped.fields, sources, values, ranks)

    @property
    def weights(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(targets,): weights in means over targets."""
        return np.array([field.target.weight for field in self.fields])

    def order(self) -> list[int]:
        """The sources by mean rank, equal ones by their mean."""
        means = self.weights @ self.values
        return sorted(
            range(len(self.sources)), key=lambda place: (round(float(self.ranks.means[place]), 9), -means[place])
        )

    def rows(self) -> Iterator[LeaderboardRow]:
        """The rows in their order."""
        if not self.sources:
            return
        order = self.order()
        tested = self._test(self.sources[order[0]])
        letters = letters_of(self.ranks.groups, len(self.sources))
        for number, place in enumerate(order, start=1):
            yield self._row(number, place, tested=tested[self.sources[place]], letters=letters[place])

    def _row(self, number: int, place: int, *, tested: tuple[TargetValue, ...], letters: str) -> LeaderboardRow:
        standing = next(one for one in self.fields[0].standings if one.source == self.sources[place])
        mean, ci = mean_over_sets(self.values[:, place], self.weights, within=(0, 1))
        difference, difference_ci = mean_over_sets(
            np.array([one.difference for one in tested]), self.weights, within=(-1, 1)
        )
        verdicts = [_verdict(one) for one in tested]
        return replace(
            _plain_row(self.group, standing, ()),
            place=number,
            mean=mean,
            ci=ci,
            mean_rank=float(self.ranks.means[place]),
            letters=letters,
            difference=difference,
            difference_ci=None if number == 1 else difference_ci,
            wins=verdicts.count(1),
            ties=verdicts.count(0),
            losses=verdicts.count(-1),
            targets=tested,
        )

    def _test(self, first: tuple[str, str]) -> dict[tuple[str, str], tuple[TargetValue, ...]]:
        """For each source its values on all targets, compared with those of the first."""
        of_targets = [_compare(field, first) for field in self.fields]
        known = [(place, source) for place, found in enumerate(of_targets) for source in found]
        p_values = {at: of_targets[at[0]][at[1]].p for at in known}
        tested = [at for at in known if p_values[at] is not None]
        corrected = dict(zip(tested, holm([p for p in p_values.values() if p is not None]), strict=True))
        return {
            source: tuple(
                replace(found[source], p_holm=corrected.get((place, source))) for place, found in enumerate(of_targets)
            )
            for source in self.sources
        }

    def notes(self) -> Iterator[str]:
        """How sure the order is, and where other measures order sources differently."""
        if self.ranks.distance is not None and self.ranks.p is not None:
            yield (
                f"Friedman's test that all are equal: p {self.ranks.p:.3g}; mean ranks within "
                f"{self.ranks.distance:.2f} of each other, which share a letter, cannot be told apart (Nemenyi, 5 %)"
            )
        elif len(self.sources) > 1:
            yield "one target says nothing about others: no critical difference"
        measures = {target.measure for target in self.group.targets}
        if len(measures) > 1:
            yield f"means are over different measures: {', '.join(sorted(measures))}"
        yield from self._disagreements()

    def _disagreements(self) -> Iterator[str]:
        means = {measure: self._means(measure) for measure in ORDERING}
        known = {measure: found for measure, found in means.items() if found is not None}
        for one, other in combinations(known, 2):
            pairs = [
                f"{self._name(first)} and {self._name(second)}"
                for first, second in combinations(range(len(self.sources)), 2)
                if _differs(known[one], known[other], first, second)
            ]
            if pairs:
                more = f", and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
                yield (
                    f"{MEASURE_TITLES[one]} and {MEASURE_TITLES[other]} order differently: "
                    f"{'; '.join(pairs[:MOST_NAMED])}{more}"
                )

    def _means(self, measure: str) -> list[float] | None:
        """The weighted mean over targets of a measure for each source, larger ones better; None if it is undefined."""
        found = []
        for source in self.sources:
            values = [one.mean(measure) for field in self.fields for one in field.standings if one.source == source]
            if None in values:
                return None
            found.append(float(np.average(np.array(values, np.float64), weights=self.weights)))
        return [-value for value in found] if measure == "log_loss" else found

    def _name(self, place: int) -> str:
        return ":".join(self.sources[place])


def _differs(one: Sequence[float], other: Sequence[float], first: int, second: int) -> bool:
    """Whether two measures order two sources differently; equal values are in no order."""
    by_one, by_other = one[first] - one[second], other[first] - other[second]
    return by_one * by_other < 0 and min(abs(by_one), abs(by_other)) > 1e-9


def _compare(field: Field, first: tuple[str, str]) -> dict[tuple[str, str], TargetValue]:
    """The value of each source on this target, and its difference from the first source."""
    by_source = {one.source: one for one in field.standings}
    best = by_source[first].predictor
    rivals = [one for one in field.standings if one.source != first]
    outcomes = {one.predictor.name: one.predictor.outcomes for one in field.standings}
    pairs = [(rival.predictor.name, best.name) for rival in rivals]
    compared = field.images.compare(outcomes, pairs) if pairs else ()
    found = {rival.source: _value(field, rival, one) for rival, one in zip(rivals, compared, strict=True)}
    return found | {first: _value(field, by_source[first], None)}


def _value(field: Field, standing: Standing, compared: Comparison | None) -> TargetValue:
    return TargetValue(
        target=field.target.target,
        value=standing.value,
        ci=interval_of(standing.predictor, field.images),
        difference=0.0 if compared is None else compared.difference,
        difference_ci=None if compared is None else compared.interval,
        p=None if compared is None else compared.p,
        p_holm=None,
        domains=means_by_domain(standing.predictor.values, field.images.domains),
    )


def _verdict(value: TargetValue) -> int:
    """1 for a win against the first, -1 for a loss, 0 for neither."""
    if value.p_holm is None or value.p_holm >= SIGNIFICANT:
        return 0
    return 1 if value.difference > 0 else -1


def _apart(grouped: GroupedFields) -> Iterator[LeaderboardRow]:
    """The sources that lack a target."""
    for standing, lacking in grouped.incomplete:
        yield _plain_row(grouped.group, standing, lacking)


def _plain_row(group: Group, standing: Standing, lacks: Sequence[str]) -> LeaderboardRow:
    backbone, output = standing.source
    return LeaderboardRow(
        group=group.name,
        place=None,
        backbone=backbone,
        output=output,
        head=group.head,
        baseline=standing.baseline,
        columns=standing.columns,
        lacks=tuple(lacks),
    )


def to_columns(board: Leaderboard) -> list[dict[str, Any]]:
    """One flat row for each row of the leaderboard, all with the same columns, as its CSV file has them."""
    groups: Mapping[str, Group] = {group.name: group for group in board.groups}
    names = dict[str, dict[str, None]]((target.name, {}) for group in board.groups for target in group.targets)
    for one in (target for row in board.rows for target in row.targets):
        names[one.target] |= dict.fromkeys(one.domains)
    weak: dict[str, list[str]] = {}
    for uninformative in board.uninformative:
        weak.setdefault(uninformative.group, []).append(uninformative.target)
    return [_flat(row, groups[row.group], names, weak.get(row.group, [])) for row in board.rows]


def _flat(row: LeaderboardRow, group: Group, names: Mapping[str, Iterable[str]], weak: Sequence[str]) -> dict[str, Any]:
    """One flat row; `names` has every target with the domains that are tested on it."""
    values: dict[str, Any] = {
        "group": row.group,
        "group_digest": group.digest,
        "place": row.place,
        "backbone": row.backbone,
        "output": row.output,
        "head": row.head,
        "shots": group.shots,
        "baseline": row.baseline,
        "columns": row.columns,
        "targets": len(group.targets),
        "lacks": " ".join(row.lacks),
        "uninformative": " ".join(weak),
        **_bounded("mean", row.mean, row.ci),
        "mean_rank": row.mean_rank,
        "letters": row.letters,
        **_bounded("difference", row.difference, row.difference_ci),
        "wins": row.wins,
        "ties": row.ties,
        "losses": row.losses,
    }
    of_targets = {one.target: one for one in row.targets}
    for name, domains in names.items():
        values |= _columns_of(name, of_targets.get(name), domains)
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}


def _columns_of(name: str, found: TargetValue | None, domains: Iterable[str]) -> dict[str, Any]:
    """The columns of one target and its domains; empty if the source has no value there."""
    if found is None:
        empty = dict.fromkeys(f"{name}_in_{domain}" for domain in domains)
        return {**_bounded(name, None, None), f"{name}_difference": None, f"{name}_p_holm": None, **empty}
    return {
        **_bounded(name, found.value, found.ci),
        f"{name}_difference": found.difference,
        f"{name}_p_holm": found.p_holm,
        **{f"{name}_in_{domain}": found.domains.get(domain) for domain in domains},
    }


def _bounded(name: str, value: float | None, ci: Interval | None) -> dict[str, Any]:
    low, high = ci or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
