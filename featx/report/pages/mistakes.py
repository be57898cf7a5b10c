"""Errors: which classes are confused, how reliable probabilities are, the surest mistakes and suspected labels."""

from collections.abc import Iterator, Sequence

from featx.compare import RankedCandidate
from featx.heads import Examination
from featx.measures import ClassMetrics, HeadMetrics, ReliabilityBin
from featx.report.drawings import Bars, Line, Lines, Matrix, Point, Span
from featx.report.measures import show_interval, show_number, with_interval
from featx.report.pages.material import GivenHead, Material
from featx.report.pages.pictures import PictureSource, Shown
from featx.report.pages.printed import SuspectedLabels
from featx.report.section import Picture, Section

MOST_CLASSES = 30
"""Most classes of a matrix that is drawn; of more classes only the confused pairs are listed."""
MOST_BARS = 60
MOST_PAIRS = 30
MOST_MISTAKES = 30
MOST_OF_CELL = 6
"""Most pictures of a cell of the matrix."""

_OF_EVALUATE = "the images are those that evaluate was given; of images that the head was trained on it is too good"


def error_sections(material: Material, best: RankedCandidate | None, pictures: PictureSource) -> Iterator[Section]:
    """The errors of each head; without one whose images are at hand, those of the recommended result."""
    examined = [one for one in material.heads if one.examined is not None]
    for head in sorted(examined, key=_validated, reverse=True):
        assert head.examined is not None
        yield from _of_head(head, head.examined, pictures, prefix=len(examined) > 1)
    if not examined and best is not None:
        yield from _of_candidate(best)
    for metrics in material.of(HeadMetrics):
        yield from _of_metrics(metrics, "Errors: what evaluate printed", "evaluated", notes=(_OF_EVALUATE,))
    for suspected in material.of(SuspectedLabels):
        yield _suspects(suspected, pictures)


def left_out_heads(material: Material) -> tuple[str, ...]:
    """What is not shown of heads, and why."""
    shown = sum(one.examined is not None for one in material.heads)
    notes = [one.why for one in material.heads if one.why]
    if shown + len(notes) < len(material.heads):
        best = f"the {shown} heads that are" if shown > 1 else "the head that is"
        notes.append(
            f"errors are those of {best} best on validation images, of {len(material.heads)}; name others alone"
        )
    return tuple(notes)


def _validated(head: GivenHead) -> float:
    return head.result.validated if head.result is not None else 0.0


def _of_candidate(best: RankedCandidate) -> Iterator[Section]:
    several = len(best.results)
    notes = (f"of the first of {several} splits",) if several > 1 else ()
    yield from _of_metrics(best.results[0].metrics, f"Errors of {best.name}", "errors", notes=notes)


def _of_metrics(metrics: HeadMetrics, title: str, name: str, *, notes: Sequence[str] = ()) -> Iterator[Section]:
    """What results say of errors, which do not know the images."""
    if metrics.confusion is not None:
        yield _confusion(metrics, f"{title}: confusion", f"{name}-confusion", notes=notes)
    yield _per_class(metrics, f"{title}: per class", f"{name}-classes", notes=notes)


def _of_head(head: GivenHead, found: Examination, pictures: PictureSource, *, prefix: bool) -> Iterator[Section]:
    title = f"Errors of {head.path.stem}" if prefix else "Errors"
    name = f"errors-{head.path.stem}"
    shown = list(_of_cells(found)) if len(found.classes) <= MOST_CLASSES else []
    drawn = pictures.show(shown)
    if found.metrics.confusion is not None:
        extra = () if pictures.images is not None else ("--images FOLDER lets each cell open its images",)
        notes = (*pictures.notes(shown, drawn), *extra)
        yield _confusion(found.metrics, f"{title}: confusion", f"{name}-confusion", pictures=drawn, notes=notes)
    yield _per_class(found.metrics, f"{title}: per class", f"{name}-classes")
    if found.reliability:
        yield _reliability(found.reliability, f"{title}: reliability", f"{name}-reliability", found.metrics)
    if len(found.wrong):
        yield _most_confident(found, pictures, f"{title}: most confident mistakes", f"{name}-mistakes")


def _of_cells(found: Examination) -> Iterator[Shown]:
    """The test images cell by cell: of each at most a few, the wrong ones before the right ones."""
    counted = dict[tuple[int, int], int]()
    right = [place for place in range(len(found.rows)) if found.predicted[place] == found.codes[place]]
    for place in [*found.wrong.tolist(), *right]:
        cell = int(found.codes[place]), int(found.predicted[place])
        counted[cell] = counted.get(cell, 0) + 1
        if counted[cell] <= MOST_OF_CELL:
            yield Shown(found.name(place), _said(found, place), (f"{cell[0]},{cell[1]}",))


def _said(found: Examination, place: int) -> str:
    label, predicted = found.classes[found.codes[place]], found.classes[found.predicted[place]]
    if label == predicted:
        return f"{label}, predicted with {found.probability[place]:.2f}"
    return f"{label}, predicted {predicted} with {found.probability[place]:.2f}"


def _confusion(
    metrics: HeadMetrics,
    title: str,
    name: str,
    *,
    pictures: tuple[Picture, ...] = (),
    notes: Sequence[str] = (),
) -> Section:
    confusion = metrics.confusion or ()
    names = tuple(one.name for one in metrics.per_class)
    small = len(names) <= MOST_CLASSES
    pairs = sorted(
        (
            (count, names[row], names[column])
            for row, counts in enumerate(confusion)
            for column, count in enumerate(counts)
            if row != column and count
        ),
        key=lambda pair: -pair[0],
    )
    wrong = sum(count for count, _, _ in pairs)
    rows_of = {one.name: one.n for one in metrics.per_class}
    most = (
        f"; the most frequent confusion is {pairs[0][1]} taken for {pairs[0][2]}, {pairs[0][0]} times" if pairs else ""
    )
    left = (f"the {MOST_PAIRS} most frequent of {len(pairs)} confusions",) if len(pairs) > MOST_PAIRS else ()
    large = () if small else (f"no matrix is drawn of {len(names)} classes",)
    return Section(
        title=title,
        sentence=f"{wrong} of {metrics.n} test images are predicted wrongly{most}.",
        columns=("true class", "predicted class", "images", "share of the true class") if pairs else (),
        rows=tuple(
            (true, predicted, str(count), f"{count / max(1, rows_of[true]):.1%}")
            for count, true, predicted in pairs[:MOST_PAIRS]
        ),
        figure=Matrix("true and predicted classes", names, confusion) if small and confusion else None,
        pictures=pictures,
        notes=(*left, *large, *notes),
        name=name,
    )


def _per_class(metrics: HeadMetrics, title: str, name: str, *, notes: Sequence[str] = ()) -> Section:
    worst = sorted((one for one in metrics.per_class if one.recall is not None), key=lambda one: one.recall or 0)
    empty = [one.name for one in metrics.per_class if not one.n]
    sentence = ""
    if worst:
        recall = with_interval(show_number(worst[0].recall), worst[0].recall_ci)
        sentence = f"The hardest class is {worst[0].name}: {recall} of its {worst[0].n} images are found."
    further = [f"no test image: {', '.join(empty[:10])}{' …' if len(empty) > 10 else ''}"] if empty else []
    if len(worst) > MOST_BARS:
        further.append(f"the figure has the {MOST_BARS} hardest of {len(worst)} classes, the table all")
    return Section(
        title=title,
        sentence=sentence,
        columns=("class", "images", "recall", "95 % interval", "precision", "95 % interval of it", "F1"),
        rows=tuple(_class_row(one) for one in metrics.per_class),
        figure=Bars("recall of each class", "share of its images that are found", tuple(map(_bar, worst[:MOST_BARS]))),
        notes=(*further, *notes),
        name=name,
    )


def _class_row(one: ClassMetrics) -> tuple[str, ...]:
    recall = (show_number(one.recall), show_interval(one.recall_ci))
    return (
        one.name,
        str(one.n),
        *recall,
        show_number(one.precision),
        show_interval(one.precision_ci),
        show_number(one.f1),
    )


def _bar(one: ClassMetrics) -> Span:
    low, high = one.recall_ci or (None, None)
    return Span(one.name, one.recall or 0.0, low, high, f"{one.n} images")


def _reliability(bins: Sequence[ReliabilityBin], title: str, name: str, metrics: HeadMetrics) -> Section:
    ece = with_interval(show_number(metrics.ece), metrics.ece_ci)
    points = tuple(Point(one.probability, one.accuracy, *one.ci) for one in bins)
    return Section(
        title=title,
        sentence=f"The expected calibration error is {ece}: how far probabilities are from the share that is right.",
        columns=("probability", "images", "mean probability", "share right", "95 % interval"),
        rows=tuple(
            (
                f"{one.low:.1f} – {one.high:.1f}",
                str(one.n),
                f"{one.probability:.3f}",
                f"{one.accuracy:.3f}",
                show_interval(one.ci),
            )
            for one in bins
        ),
        figure=Lines(
            "reliability",
            "mean probability of the prediction",
            "share right",
            (Line("test images", points),),
            diagonal=True,
        ),
        notes=("on the diagonal, probabilities mean what they say; below it, the head is too sure",),
        name=name,
    )


def _most_confident(found: Examination, pictures: PictureSource, title: str, name: str) -> Section:
    places = found.wrong.tolist()
    shown = [Shown(found.name(place), _said(found, place)) for place in places]
    drawn = pictures.show(shown, most=MOST_MISTAKES)
    first = places[0]
    left = (f"the {MOST_MISTAKES} surest of {len(places)} mistakes",) if len(places) > MOST_MISTAKES else ()
    return Section(
        title=title,
        sentence=f"The surest mistake is {found.name(first)}: {_said(found, first)}.",
        columns=("image", "true class", "predicted class", "probability", "of the true class"),
        rows=tuple(
            (
                found.name(place),
                found.classes[found.codes[place]],
                found.classes[found.predicted[place]],
                f"{found.probability[place]:.3f}",
                f"{found.of_label[place]:.3f}",
            )
            for place in places[:MOST_MISTAKES]
        ),
        pictures=drawn,
        notes=(*left, "a mistake that the head is sure of may also be a wrong label", *pictures.notes(shown, drawn)),
        name=name,
    )


def _suspects(found: SuspectedLabels, pictures: PictureSource) -> Section:
    suspects = [one for one in found.ranking if one.score > 0]
    shown = [Shown(one.name, f"{one.label}, looks like {one.suggested}") for one in suspects]
    drawn = pictures.show(shown, most=MOST_MISTAKES)
    left = (f"the {MOST_MISTAKES} most suspicious of {len(suspects)}",) if len(suspects) > MOST_MISTAKES else ()
    return Section(
        title="Errors: suspected labels",
        sentence=f"{found.preferred_other} of {found.images} images look more like another class than their own.",
        columns=("image", "label", "looks like", "score") if suspects else (),
        rows=tuple((one.name, one.label, one.suggested, f"{one.score:.3f}") for one in suspects[:MOST_MISTAKES]),
        pictures=drawn,
        notes=(*left, "look at the images before you change a label", *pictures.notes(shown, drawn)),
        name="suspected-labels",
    )
