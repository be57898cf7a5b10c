"""Pages of pictures: images that are predicted wrongly, those with doubtful labels, and the least sure predictions."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from featx.report.drawings import Matrix
from featx.report.measures import show_number
from featx.report.section import Page, Picture, Section

if TYPE_CHECKING:
    from featx.heads import LabelError, Mistake
    from featx.measures import HeadMetrics

Thumbnails = Callable[[Iterable[str]], Mapping[str, bytes | None]]
"""Returns the thumbnail of the image of each name, and None for each that is gone or cannot be decoded."""
_LISTED = "The same images in a list"
_MOST_CLASSES = 100
"""With more classes, a matrix of them is not drawn."""


def mistakes_page(
    mistakes: "Sequence[Mistake]",
    metrics: "HeadMetrics",
    classes: Sequence[str],
    *,
    thumbnails: Thumbnails,
    most: int,
) -> Page:
    """The wrongly predicted images, by cell of the confusion matrix, and the surest first.

    At most `most` have a picture: the surest mistake of each cell before the second one of any. `classes` are those of
    the head, in its order.
    """
    matrix = Matrix("Confusion", tuple(classes), metrics.confusion) if metrics.confusion else None
    pairs = [(mistake.true, mistake.predicted) for mistake in mistakes]
    pictures = _take_pictures(
        [one.name for one in mistakes],
        pairs,
        list(map(_explain_mistake, mistakes)),
        matrix=matrix,
        thumbnails=thumbnails,
        most=most,
    )
    answer = f"{len(mistakes)} of {metrics.n} images are predicted wrongly."
    by_class = Section(
        title="Wrong images",
        columns=("true", "predicted", "images"),
        rows=_count_pairs(pairs),
        figure=matrix,
        pictures=pictures,
        notes=(*_explain_pictures(pictures, len(mistakes)), *_explain_matrix(metrics)),
        name="wrong",
    )
    sections = (by_class, _mistakes_section(mistakes, most)) if mistakes else (by_class,)
    return Page("Wrong predictions", sections, sentence=answer)


def _explain_mistake(mistake: "Mistake") -> str:
    probability, of_true = map(show_number, (mistake.probability, mistake.true_probability))
    return f"{_name(mistake.true)} taken for {_name(mistake.predicted)}, {probability} (true {of_true})"


def _mistakes_section(mistakes: "Sequence[Mistake]", most: int) -> Section:
    """The first mistakes in a table."""
    rows = tuple(
        (one.name, one.true, one.predicted, show_number(one.probability), show_number(one.true_probability))
        for one in mistakes[:most]
    )
    return Section(
        title=_LISTED,
        columns=("name", "true", "predicted", "probability", "of the true label"),
        rows=rows,
        notes=_explain_rows(len(mistakes), most),
        name="list",
    )


def label_errors_page(
    found: "Sequence[LabelError]", *, preferred: int, images: int, thumbnails: Thumbnails, most: int
) -> Page:
    """The images whose label is most probably wrong; the first `most` have a picture.

    `preferred` counts those of all `images` that look more like another class than their own.
    """
    shown = found[:most]
    pairs = [(one.label, one.suggested) for one in shown]
    classes = tuple(sorted({name for pair in pairs for name in pair}))
    matrix = _count_matrix(pairs, classes) if 0 < len(classes) <= _MOST_CLASSES else None
    pictures = _take_pictures(
        [one.name for one in shown],
        pairs,
        list(map(_explain_label, shown)),
        matrix=matrix,
        thumbnails=thumbnails,
        most=most,
    )
    answer = f"{preferred} of {images} images look more like another class than their own."
    gallery = Section(
        title="Suspected labels",
        figure=matrix,
        pictures=pictures,
        notes=tuple(_explain_pictures(pictures, len(found))),
        name="labels",
    )
    each = Section(
        title=_LISTED,
        columns=("name", "label", "suggested", "probability of the label", "share of neighbours", "score"),
        rows=tuple(map(_label_row, shown)),
        notes=_explain_rows(len(found), most),
        name="list",
    )
    return Page("Suspected labels", (gallery, each) if found else (gallery,), sentence=answer)


def _explain_label(found: "LabelError") -> str:
    other = f", more like {found.suggested}" if found.suggested != found.label else ""
    return f"labelled {found.label}, score {show_number(found.score)}{other}"


def _label_row(found: "LabelError") -> tuple[str, ...]:
    numbers = map(show_number, (found.self_confidence, found.neighbour_share, found.score))
    return (found.name, found.label, found.suggested, *numbers)


def _count_matrix(pairs: Sequence[tuple[str, str]], classes: tuple[str, ...]) -> Matrix:
    """How often each label is suggested for each, as a matrix whose cells choose pictures."""
    counted = Counter(pairs)
    counts = tuple(tuple(counted[row, column] for column in classes) for row in classes)
    return Matrix("Labels that may be wrong", classes, counts, row_title="label", column_title="more like")


def _take_pictures(
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    captions: Sequence[str],
    *,
    matrix: Matrix | None,
    thumbnails: Thumbnails,
    most: int,
) -> tuple[Picture, ...]:
    """Pictures of the images that are chosen fairly among these pairs of classes, tagged by the cell of the pair."""
    chosen = choose_fairly(pairs, most)
    places = {name: place for place, name in enumerate(matrix.names)} if matrix else {}
    read = thumbnails([names[position] for position in chosen])
    return tuple(
        Picture(names[position], captions[position], read[names[position]], _tags(pairs[position], places, matrix))
        for position in chosen
    )


def _tags(pair: tuple[str, str], places: Mapping[str, int], matrix: Matrix | None) -> tuple[str, ...]:
    known = matrix is not None and all(name in places for name in pair)
    return (matrix.tag(places[pair[0]], places[pair[1]]),) if matrix and known else ()


def choose_fairly(groups: Sequence[Hashable], most: int) -> list[int]:
    """Positions of at most `most` items, in their order: the first item of each group before the second of any.

    >>> from featx.report.galleries import choose_fairly
    >>> choose_fairly(["a", "a", "a", "b"], 2)
    [0, 3]
    """
    seen = Counter[Hashable]()
    ranks = []
    for group in groups:
        ranks.append(seen[group])
        seen[group] += 1
    return sorted(sorted(range(len(groups)), key=lambda position: (ranks[position], position))[:most])


def _count_pairs(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """A row for each pair of true and predicted class, the most frequent first."""
    counted = sorted(Counter(pairs).items(), key=lambda item: (-item[1], item[0]))
    return tuple((_name(true), _name(predicted), str(count)) for (true, predicted), count in counted)


def _explain_pictures(pictures: Sequence[Picture], images: int) -> Iterator[str]:
    """How many images have no picture, and why."""
    if len(pictures) < images:
        yield (
            f"{images - len(pictures)} of {images} images are left out: the page has at most {len(pictures)} pictures, "
            "of each pair of classes the first; --pictures N shows more"
        )
    if gone := sum(picture.thumbnail is None for picture in pictures):
        yield f"{gone} of {len(pictures)} pictures are missing: these images are gone, or cannot be decoded"


def _explain_matrix(metrics: "HeadMetrics") -> tuple[str, ...]:
    if metrics.confusion is None and metrics.labels != "several":
        return (f"no confusion matrix: there are more than {_MOST_CLASSES} classes",)
    return ()


def _explain_rows(rows: int, most: int) -> tuple[str, ...]:
    return (f"the table has the first {most} of {rows} images",) if rows > most else ()


def _name(label: str) -> str:
    """The label, or words for the empty one of images with several labels."""
    return label or "no label"
