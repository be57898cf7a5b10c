"""Results of heads on one split as a table, with notes on how they were measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featx.measures import MEASURE_TITLES
from featx.report.measures import compared_measures, explain_result, show_interval, show_number
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.heads import Result


def results_section(results: "Sequence[Result]") -> Section:
    """One row for each result; the notes hold for all results that share the split of the first one."""
    return Section(
        columns=_columns(results[0]),
        rows=tuple(_row(result) for result in results),
        notes=_notes(results),
        wrapped="tuned",
    )


def _measures(result: "Result") -> tuple[str, ...]:
    """Names of the measures in the table; the one by which the head was tuned is the first."""
    return tuple(dict.fromkeys((result.measure, *compared_measures(result.metrics))))


def _columns(result: "Result") -> tuple[str, ...]:
    first, *others = (MEASURE_TITLES[name] for name in _measures(result))
    return "head", first, "95 % interval", *others, "tuned"


def _row(result: "Result") -> tuple[str, ...]:
    first, *others = _measures(result)
    return (
        result.head,
        show_number(getattr(result.metrics, first)),
        show_interval(getattr(result.metrics, f"{first}_ci")),
        *(show_number(getattr(result.metrics, name)) for name in others),
        ", ".join(f"{_short_name(name)}={_show(value)}" for name, value in result.params.items()),
    )


def _short_name(parameter: str) -> str:
    """The parameter without the name of its pipeline step: `classifier__C` is C, and `lite0.classifier__C` lite0.C."""
    block, dot, rest = parameter.rpartition(".")
    return f"{block}{dot}{rest.rpartition('__')[2]}"


def _show(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _tuning_notes(results: "Sequence[Result]") -> list[str]:
    """How parameters were chosen, of all heads or, if that differs, of each group of heads."""
    heads = dict[str, list[str]]()
    for result in results:
        heads.setdefault(result.tuned, []).append(result.head)
    return [
        f"tuned: {tuned}" if len(heads) == 1 else f"tuned, {', '.join(dict.fromkeys(names))}: {tuned}"
        for tuned, names in heads.items()
    ]


def _notes(results: "Sequence[Result]") -> tuple[str, ...]:
    result = results[0]
    rows = result.rows
    tuning = "training and tuning in folds" if all(one.folds for one in results) else "tuning"
    at_edge = ", ".join(dict.fromkeys(result.head for result in results if result.edge))
    notes = [
        f"features: {' + '.join(result.backbones)}",
        f"classes: {', '.join(result.classes)}; accuracy of always predicting the most frequent one: "
        f"{result.metrics.majority_accuracy:.3f}",
        f"split: {result.split}: {rows['train']} images for training, {rows['validation']} for {tuning}, "
        f"{rows['test']} for testing; {rows['unlabelled']} without a label and {rows['failed']} failed are left out",
        explain_result(result),
        f"interval: {result.metrics.interval}",
        *_tuning_notes(results),
    ]
    if at_edge:
        notes.append(f"the best penalty or C is still at the end of its grid: {at_edge}")
    return tuple(notes)
