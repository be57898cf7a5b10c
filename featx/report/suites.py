"""The leaderboard of a suite, one table for each comparability group, and how well scores predict it."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from featx.report.drawings import Forest, Span
from featx.report.measures import show_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.measures import Interval
    from featx.suites import Agreement, Estimate, Group, GroupAgreement, LeaderboardRow, SuiteOutcome, TargetValue

_LEADERS = ("place", "source", "mean over targets", "mean rank", "", "against the first", "won / tied / lost")
_AGREEMENT = (
    "score",
    "sources",
    "weighted tau",
    "Pearson",
    "regret, points",
    "pairs right",
    "bias by width",
    "tied set",
)
_EXPLANATIONS = (
    "how well scores predict: means over targets, tau with its 95 % interval; validation accuracy is that of the head",
    "regret: points that the first by score reaches less than the best; pairs: those two points or more apart",
    "bias: above 0, wide features are ranked too high",
    "tied set: how often the sources that the default ranking names to train hold one within a point of the best",
)


def suite_sections(outcome: "SuiteOutcome") -> list[Section]:
    """One section for each comparability group, one for each group's agreement, and the notes."""
    board = outcome.leaderboard
    sections = []
    for group in board.groups:
        sections.append(_leaderboard_section(group, [row for row in board.rows if row.group == group.name], outcome))
        if by_domain := [row for row in board.rows if row.group == group.name and any(map(_has_domains, row.targets))]:
            sections.append(_domains_section(group.name, by_domain))
        agreement = [one for one in outcome.agreement if one.group == group.name]
        if agreement:
            sections.append(_agreement_section(group.name, agreement))
    explained = _EXPLANATIONS if outcome.agreement else ()
    return [*sections, Section(notes=(*explained, *outcome.notes))]


def _leaderboard_section(group: "Group", rows: "Sequence[LeaderboardRow]", outcome: "SuiteOutcome") -> Section:
    own = f"{group.name}: "
    notes = [note.removeprefix(own) for note in outcome.leaderboard.notes if note.startswith(own)]
    weak = [f"uninformative: {one}" for one in outcome.leaderboard.uninformative if one.group == group.name]
    return Section(
        title=group.name,
        columns=_LEADERS,
        rows=tuple(map(_row, rows)),
        figure=Forest(f"{group.name}: mean over targets", "mean over targets, 95 % interval", _spans(rows)),
        notes=(group.text, *notes, *weak),
        wrapped="source",
    )


def _spans(rows: "Iterable[LeaderboardRow]") -> tuple[Span, ...]:
    """The mean of each source that has a result on every target."""
    return tuple(
        Span.within(f"{row.source}, {row.head}", row.mean, row.ci, note=row.letters)
        for row in rows
        if row.mean is not None
    )


def _row(row: "LeaderboardRow") -> tuple[str, ...]:
    name = f"{row.source} (baseline)" if row.baseline else row.source
    if row.mean is None or row.mean_rank is None or row.difference is None:
        return ("", name, f"lacks {', '.join(row.lacks)}", "", "", "", "")
    first = row.place == 1
    return (
        str(row.place),
        name,
        _show_number(f"{row.mean:.3f}", row.ci),
        f"{row.mean_rank:.2f}",
        row.letters,
        "is the first" if first else _show_number(f"{row.difference:+.3f}", row.difference_ci),
        "" if first else f"{row.wins} / {row.ties} / {row.losses}",
    )


def _has_domains(value: "TargetValue") -> bool:
    return bool(value.domains)


def _domains_section(group: str, rows: "Iterable[LeaderboardRow]") -> Section:
    """What each source reached in each domain of the targets whose splits test domains."""
    shown = tuple(
        (row.source, one.target, f"{one.value:.3f}", ", ".join(f"{name} {value:.3f}" for name, value in of_domains))
        for row in rows
        for one in filter(_has_domains, row.targets)
        for of_domains in [sorted(one.domains.items(), key=lambda item: item[1])]
    )
    columns = ("source", "target", "mean over domains", "in each domain, the worst first")
    return Section(title=f"{group}: by domain", columns=columns, rows=shown, wrapped=columns[-1])


def _agreement_section(group: str, found: "Iterable[GroupAgreement]") -> Section:
    rows = tuple(_agreement_row(one.agreement) for one in found)
    return Section(title=f"{group}: how well scores predict", columns=_AGREEMENT, rows=rows, wrapped="score")


def _agreement_row(one: "Agreement") -> tuple[str, ...]:
    return (
        one.score,
        f"{one.sources} {one.among}",
        "" if one.tau is None else _show_number(f"{one.tau.mean:.2f}", one.tau.ci),
        _mean(one.pearson),
        "" if one.regret is None else f"{one.regret.mean:.2f} (largest {one.regret.highest:.1f})",
        _mean(one.pairs),
        _mean(one.bias),
        _mean(one.tied),
    )


def _mean(estimate: "Estimate | None") -> str:
    return "" if estimate is None else f"{estimate.mean:.2f}"


def _show_number(number: str, ci: "Interval | None") -> str:
    """The number, with its interval if there is one."""
    return f"{number} {show_interval(ci)}" if ci else number
