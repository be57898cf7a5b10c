"""What a head uses of the views of its images, and what each of them is worth."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featx.measures import MEASURE_TITLES
from featx.report.measures import show_p, with_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.heads import Result, UsedViews

_COLUMNS = ("view", "difference", "p", "p, Holm")


def views_section(result: "Result", used: "UsedViews") -> Section:
    """The answer, how it was found, and one row for each view."""
    rows = tuple(
        (one.view, with_interval(f"{one.difference:+.3f}", one.ci), show_p(one.p), show_p(one.p_holm))
        for one in used.effects
    )
    return Section(
        title="views of the images",
        sentence=_sentence(result, used),
        columns=_COLUMNS if rows else (),
        rows=rows,
        notes=tuple(_notes(result, used)),
        name="views",
    )


def _sentence(result: "Result", used: "UsedViews") -> str:
    """Which views are used, and how far they are better than view 0 alone."""
    how = {"first": "view 0 alone", "mean": f"the mean of {len(used.names)} views"}
    said = f"{result.head} uses {how.get(used.rule, f'each of {len(used.names)} views')}"
    if used.difference is None:
        return f"{said}."
    difference = with_interval(f"{used.difference:+.3f}", used.difference_ci)
    return f"{said}: {MEASURE_TITLES[result.measure]} {difference} against view 0 alone, p {show_p(used.p)}."


def _notes(result: "Result", used: "UsedViews") -> Iterator[str]:
    tried = ", ".join(
        f"{rule} {value:.3f} (log loss {used.validated_loss[rule]:.3f})" for rule, value in used.validated.items()
    )
    yield f"{used.rule} was taken, {used.chosen}; on validation images: {tried}"
    yield f"views: {', '.join(used.names)}"
    if used.difference is not None:
        yield (f"against view 0 alone: a head of its own, tuned in the same way, on the same test images; {used.test}")
    elif used.test:
        yield used.test
    if used.effects:
        yield f"difference in {MEASURE_TITLES[result.measure]}: {used.effects_of}; p, Holm: over all views"
    elif used.effects_of:
        yield used.effects_of
