"""Pages of pictures: which images they show, how they are tagged, and what they say of the others."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from featx.deploy import Prediction
from featx.heads import LabelError, Mistake
from featx.labels import Labels
from featx.measures import HeadMetrics, measure
from featx.report.drawings import Matrix
from featx.report.galleries import choose_fairly, label_errors_page, mistakes_page
from featx.report.least_sure import LeastSure
from featx.report.section import Section

CLASSES = ("a", "b", "c")


def thumbnails_of(names: Iterable[str]) -> dict[str, bytes | None]:
    """A picture for every name but those that end in `gone`."""
    return {name: None if name.endswith("gone") else b"\xff\xd8" for name in names}


def mistakes(pairs: Iterable[tuple[str, str]], *, ending: str = "") -> list[Mistake]:
    """A mistake for each pair of true and predicted class."""
    return [Mistake(f"{number}{ending}", *pair, 0.9, 0.1) for number, pair in enumerate(pairs)]


def metrics_of(classes: tuple[str, ...]) -> HeadMetrics:
    """The measures of a head that takes every image for the last class."""
    codes = np.repeat(np.arange(len(classes)), 3)
    probabilities = np.full((len(codes), len(classes)), 0.1 / len(classes))
    probabilities[:, -1] += 0.9
    return measure(probabilities, Labels(classes, codes), seed=0)


@pytest.fixture(scope="module")
def metrics() -> HeadMetrics:
    """Of three classes."""
    return metrics_of(CLASSES)


def wrong_section(found: list[Mistake], metrics: HeadMetrics, most: int = 500) -> Section:
    """The section with the matrix and the pictures."""
    return mistakes_page(found, metrics, CLASSES, thumbnails=thumbnails_of, most=most).sections[0]


def test_every_picture_belongs_to_the_cell_of_its_classes(metrics: HeadMetrics) -> None:
    section = wrong_section(mistakes([("a", "c"), ("b", "c"), ("a", "c")]), metrics)
    assert isinstance(section.figure, Matrix)
    assert section.figure.counts == metrics.confusion
    assert [picture.tags for picture in section.pictures] == [
        (section.figure.tag(0, 2),),
        (section.figure.tag(1, 2),),
        (section.figure.tag(0, 2),),
    ]
    assert section.rows == (("a", "c", "2"), ("b", "c", "1"))


def test_a_limit_leaves_every_cell_its_surest_mistake_and_is_told(metrics: HeadMetrics) -> None:
    found = mistakes([("a", "c")] * 50 + [("b", "c")])
    section = wrong_section(found, metrics, most=3)
    assert [picture.name for picture in section.pictures] == ["0", "1", "50"]
    assert any(note.startswith("48 of 51 images are left out") for note in section.notes)


def test_pictures_that_are_gone_are_kept_and_counted(metrics: HeadMetrics) -> None:
    section = wrong_section(mistakes([("a", "c")] * 2, ending="gone") + mistakes([("a", "b")]), metrics)
    assert [picture.thumbnail for picture in section.pictures] == [None, None, b"\xff\xd8"]
    assert "2 of 3 pictures are missing: these images are gone, or cannot be decoded" in section.notes


def test_without_mistakes_the_page_says_so(metrics: HeadMetrics) -> None:
    page = mistakes_page([], metrics, CLASSES, thumbnails=thumbnails_of, most=10)
    assert page.sentence == "0 of 9 images are predicted wrongly."
    assert page.sections[0].pictures == ()


def test_of_very_many_classes_there_is_no_matrix_and_a_note() -> None:
    classes = tuple(f"class{number:03}" for number in range(101))
    found = mistakes([(classes[0], classes[1])])
    section = mistakes_page(found, metrics_of(classes), classes, thumbnails=thumbnails_of, most=10).sections[0]
    assert section.figure is None
    assert section.pictures[0].tags == ()
    assert "no confusion matrix: there are more than 100 classes" in section.notes


def test_suspected_labels_are_shown_in_their_order_up_to_the_limit() -> None:
    found = [LabelError(str(number), "a", "b", 0.1, 0.2, 0.9 - number / 100) for number in range(9)]
    page = label_errors_page(found, preferred=9, images=30, thumbnails=thumbnails_of, most=4)
    section, listed = page.sections
    assert [picture.name for picture in section.pictures] == ["0", "1", "2", "3"]
    assert section.pictures[0].caption == "labelled a, score 0.900, more like b"
    assert len(listed.rows) == 4
    assert any("5 of 9 images are left out" in note for note in section.notes)
    assert page.sentence == "9 of 30 images look more like another class than their own."


def test_choosing_is_fair_whatever_the_sizes_of_groups() -> None:
    groups = [*"a" * 100, *"b" * 5, *"c" * 1]
    chosen = choose_fairly(groups, 11)
    assert chosen == sorted(chosen)
    assert Counter(groups[position] for position in chosen) == {"a": 5, "b": 5, "c": 1}
    assert choose_fairly(groups, 1000) == list(range(106))
    assert choose_fairly([], 3) == []


def test_the_least_sure_images_of_each_class_are_kept_however_many_there_are() -> None:
    collected = LeastSure(CLASSES, most=3)
    for number in range(300):
        collected.add(Prediction(str(number), CLASSES[number % 2], 0.5 + (number * 7 % 300) / 1000, None))
    collected.add(Prediction("bad", None, None, "damaged"))
    page = collected.page(thumbnails=thumbnails_of, most=4)
    assert page.sentence == "300 images are predicted, and 1 failed."
    overview, *sections = page.sections
    assert [section.title for section in sections] == ["a", "b"]
    assert [[picture.name for picture in section.pictures] for section in sections] == [["0", "86"], ["43", "129"]]
    assert overview.rows == (("a", "150", "2"), ("b", "150", "2"))
    assert overview.notes[0].startswith("296 images are left out")


def test_an_image_with_several_labels_is_shown_under_each() -> None:
    collected = LeastSure(CLASSES, most=9, separator="|")
    collected.add(Prediction("both", "a|b", 0.6, None))
    collected.add(Prediction("none", "", 0.7, None))
    sections = collected.page(thumbnails=thumbnails_of, most=9).sections[1:]
    assert [(section.title, [picture.caption for picture in section.pictures]) for section in sections] == [
        ("a", ["a|b, 0.600"]),
        ("b", ["a|b, 0.600"]),
        ("no label", ["no label, 0.700"]),
    ]
