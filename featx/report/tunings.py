"""What fine-tuning found: frozen, tuned, layers and both, their differences, and the rates that were tried."""

from typing import TYPE_CHECKING

from featx.report.drawings import Bars, Span
from featx.report.measures import show_interval, show_number
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.finetuning import FineTuning, TriedRate
    from featx.measures import Comparison

TITLES = {
    "frozen": "frozen feature, logistic regression",
    "tuned": "tuned network",
    "layers": "frozen layers, kernel ridge",
    "both": "tuned and layers together",
}
"""Name of each figure -> its row."""


def tuning_sections(found: "FineTuning") -> list[Section]:
    """The accuracies with their intervals, the paired differences, and every epoch of every rate."""
    return [_accuracies(found), _differences(found), *map(_epochs, found.tried)]


def _accuracies(found: "FineTuning") -> Section:
    measured = {title: getattr(found, name) for name, title in TITLES.items() if getattr(found, name) is not None}
    rows = tuple(
        (title, show_number(one.accuracy), show_interval(one.accuracy_ci), show_number(one.log_loss))
        for title, one in measured.items()
    )
    spans = tuple(Span.within(title, one.accuracy, one.accuracy_ci) for title, one in measured.items())
    images = f"{found.tuned.n} {found.measured_on} images"
    return Section(
        title=f"{found.name}: {found.source} tuned from {found.tensor}",
        sentence=_sentence(found),
        columns=(f"on {images}", "accuracy", "95 % interval", "log loss"),
        rows=rows,
        figure=Bars(f"accuracy on {images}", "accuracy", spans),
        notes=(f"{len(found.views)} views of each image; split: {found.split}", *found.notes),
        name="tuning",
    )


def _sentence(found: "FineTuning") -> str:
    """Whether a backbone was written, and what tuning gained."""
    interval = "" if found.ci is None else f" ({found.ci[0]:+.3f} to {found.ci[1]:+.3f})"
    written = f"{found.name} was written" if found.written else "Nothing was written"
    return (
        f"{written}: the tuned network is {found.difference:+.3f}{interval} in accuracy against the frozen feature on "
        f"{found.tuned.n} {found.measured_on} images."
    )


def _differences(found: "FineTuning") -> Section:
    of_test = [_difference(one, found.measured_on) for one in found.comparisons]
    decided = [_difference(found.validation, "validation")] if found.measured_on == "test" else []
    tests = dict.fromkeys(one.test for one in found.comparisons)
    return Section(
        columns=("difference of accuracy", "images", "value", "95 % interval", "p (Holm)"),
        rows=(*of_test, *decided),
        notes=(f"test: {'; '.join(tests)}; p corrected for all comparisons on the same images (Holm)",),
        name="differences",
    )


def _difference(one: "Comparison", images: str) -> tuple[str, ...]:
    interval = "" if one.interval is None else f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}"
    p = "" if one.p_holm is None else f"{one.p_holm:.3f}"
    return f"{one.a} - {one.b}", f"{one.n} {images}", f"{one.difference:+.3f}", interval, p


def _epochs(tried: "TriedRate") -> Section:
    """What each epoch did at this rate."""
    rows = tuple(
        (str(epoch.number), show_number(epoch.training_loss), show_number(epoch.validation_loss))
        for epoch in tried.epochs
    )
    chosen = ", chosen" if tried.chosen else ""
    return Section(
        title=f"rate {tried.rate:g}{chosen}: accuracy {tried.accuracy:.3f} on validation images",
        columns=("epoch", "training loss", "validation loss, view 0"),
        rows=rows,
        name=f"epochs-{tried.rate:g}",
    )
