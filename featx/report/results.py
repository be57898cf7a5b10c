"""Results of heads on one split as a table, with notes on how they were measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featx.measures import MEASURE_TITLES
from featx.report.drawings import Forest, Span
from featx.report.measures import compared_measures, explain_result, show_interval, show_number, with_interval
from featx.report.section import Section
from featx.report.used_views import views_section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from featx.heads import Result, SourceOfHead, Transferred


def results_sections(results: "Sequence[Result]") -> list[Section]:
    """One row for each result; the notes hold for all results that share the split of the first one.

    A single result that used views of images has a section on them.
    """
    rows = tuple(_row(result) for result in results)
    return [
        Section(
            sentence=_sentence(results),
            columns=_columns(results[0]),
            rows=rows,
            figure=_figure(results),
            notes=_notes(results),
            wrapped="tuned",
            name="results",
        ),
        *(views_section(result, result.views) for result in results if len(results) == 1 and result.views),
    ]


def _sentence(results: "Sequence[Result]") -> str:
    """What the only result says; of several, none is chosen by its test images."""
    if len(results) > 1:
        return ""
    (result,) = results
    value = with_interval(show_number(result.value), getattr(result.metrics, f"{result.measure}_ci"))
    return f"{result.head} reaches {MEASURE_TITLES[result.measure]} {value} on {result.metrics.n:,} test images."


def _figure(results: "Sequence[Result]") -> Forest:
    """The measure by which the heads were tuned, with its interval."""
    measure = results[0].measure
    spans = tuple(
        Span.within(result.head, getattr(result.metrics, measure), getattr(result.metrics, f"{measure}_ci"))
        for result in results
        if getattr(result.metrics, measure) is not None
    )
    title = MEASURE_TITLES[measure]
    return Forest(f"{title} of each head", f"{title} on test images, 95 % interval", spans)


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


def _transferred_notes(found: "Transferred") -> "Iterator[str]":
    """What came from each source, and which classes did not."""
    losses = ", ".join(f"{way} {loss:.3f}" for way, loss in found.losses.items())
    if found.way == "drawn":
        yield f"drawn towards coefficients of the source with gamma {found.gamma:g}; log loss: {losses}"
    elif found.way == "pooled":
        yield (
            f"fitted to {found.images:,} images of the source too, each with {found.weight:g} times the weight of one "
            f"of the target; log loss: {losses}"
        )
    else:
        yield f"nothing came from a source; log loss on validation images: {losses}"
    yield from map(_source_note, found.sources)
    if found.new_classes:
        yield f"classes that no source knows, which start from zero: {', '.join(found.new_classes)}"


def _source_note(source: "SourceOfHead") -> str:
    """What became of a source, and which of its classes are the target's."""
    used = f"gamma {source.gamma:g}" if source.gamma else "not used"
    used += ", its features standardised by the target" if source.standardised else ""
    dropped = f"; its classes {', '.join(source.dropped)} are not in the target" if source.dropped else ""
    return (
        f"source {source.head} on {' + '.join(source.backbones)}: {used}, since {source.why}; classes in common: "
        f"{', '.join(source.classes)}{dropped}"
    )


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
    notes += [note for one in results if one.transferred for note in _transferred_notes(one.transferred)]
    if at_edge:
        notes.append(f"the best penalty or C is still at the end of its grid: {at_edge}")
    return tuple(notes)
