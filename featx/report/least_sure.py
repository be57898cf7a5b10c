"""A page of predictions: for each class the images of which a head is least sure."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from featx.report.galleries import Thumbnails, choose_fairly
from featx.report.measures import show_number
from featx.report.section import Page, Picture, Section

if TYPE_CHECKING:
    from featx.deploy import Prediction

_Candidate: TypeAlias = tuple[float, int, str, str]
"""Probability and number of an image, both negative so that the smallest is the surest; its name and its label."""
_Shown: TypeAlias = tuple[str, _Candidate]
"""The class under which an image is shown, and the image."""


class LeastSure:
    """Collects the least sure predictions, at most `most` of each class, so that memory stays bounded.

    With a `separator`, an image has the several labels that it separates, and is shown under each.
    """

    def __init__(self, classes: Sequence[str], *, most: int, separator: str | None = None) -> None:
        self._order = (*classes, "")
        self._most = most
        self._separator = separator
        self._images = 0
        self._failed = 0
        self._counts = Counter[str]()
        self._heaps: dict[str, list[_Candidate]] = {}

    def add(self, prediction: "Prediction") -> None:
        """Take one more prediction."""
        self._images += 1
        if prediction.label is None or prediction.probability is None:
            self._failed += 1
            return
        labels = prediction.label.split(self._separator) if self._separator else [prediction.label]
        candidate = (-prediction.probability, -self._images, prediction.name, prediction.label)
        for label in labels:
            self._counts[label] += 1
            heap = self._heaps.setdefault(label, [])
            if len(heap) < self._most:
                heapq.heappush(heap, candidate)
            else:
                heapq.heappushpop(heap, candidate)

    def page(self, *, thumbnails: Thumbnails, most: int) -> Page:
        """The page, with at most `most` pictures: the least sure of each class before the second one of any."""
        every = [(label, found) for label in self._order for found in sorted(self._heaps.get(label, ()), reverse=True)]
        chosen = [every[position] for position in choose_fairly([label for label, _ in every], most)]
        read = thumbnails([found[2] for _, found in chosen])
        pictures = {label: tuple(_picture(one, read) for one in chosen if one[0] == label) for label in self._counts}
        shown = [label for label in self._order if label in self._counts]
        sections = [_class_section(label, self._counts[label], pictures[label]) for label in shown]
        return Page("Predictions", (self._overview(shown, pictures), *sections), sentence=self._answer())

    def _answer(self) -> str:
        failed = f", and {self._failed} failed" if self._failed else ""
        return f"{self._images - self._failed} images are predicted{failed}."

    def _overview(self, labels: Sequence[str], pictures: "dict[str, tuple[Picture, ...]]") -> Section:
        """The number of images and of pictures of each class."""
        gone = sum(picture.thumbnail is None for found in pictures.values() for picture in found)
        count = sum(map(len, pictures.values()))
        left_out = sum(self._counts.values()) - count
        notes = [
            f"{left_out} images are left out: the page has the {count} least sure ones; --pictures N shows more",
            f"{gone} of {count} pictures are missing: these images are gone, or cannot be decoded",
        ]
        return Section(
            title="Classes",
            columns=("class", "images", "pictures"),
            rows=tuple((_name(label), str(self._counts[label]), str(len(pictures[label]))) for label in labels),
            notes=tuple(note for note, number in zip(notes, (left_out, gone), strict=True) if number),
            name="classes",
        )


def _class_section(label: str, images: int, pictures: tuple[Picture, ...]) -> Section:
    least = "all of them" if len(pictures) == images else f"the {len(pictures)} least sure of them"
    return Section(
        title=_name(label), sentence=f"{images} images; here {least}, the least sure first", pictures=pictures
    )


def _picture(shown: _Shown, read: Mapping[str, bytes | None]) -> Picture:
    probability, _, name, label = shown[1]
    return Picture(name, f"{_name(label)}, {show_number(-probability)}", read[name])


def _name(label: str) -> str:
    return label or "no label"
