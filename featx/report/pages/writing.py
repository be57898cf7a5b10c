"""Makes a report of results, suites, heads, caches and JSON documents, and writes it as one HTML file."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from featx.inputs import ImageSet
from featx.report.html import reserve_page, write_page
from featx.report.pages.collecting import collect
from featx.report.pages.data import DataOfReport, data_sections
from featx.report.pages.domains import domain_sections
from featx.report.pages.glossary import glossary_section
from featx.report.pages.learning import learning_sections
from featx.report.pages.maps import map_sections
from featx.report.pages.material import Material, list_rankings
from featx.report.pages.mistakes import error_sections, left_out_heads
from featx.report.pages.pictures import PictureSource
from featx.report.pages.reading import Input, list_inputs, name_input
from featx.report.pages.reproducing import reproduce_sections
from featx.report.pages.sources import source_sections
from featx.report.pages.summary import answer_of, summary_section
from featx.report.ranking import sections_of_rankings
from featx.report.section import Page, Section
from featx.report.split_rankings import SplitRanking
from featx.tables import Annotations, read_annotations
from featx.targets import Target

Inputs: TypeAlias = Input | Sequence[Input]


def write_report(
    inputs: Inputs,
    into: Path | str | Target,
    *,
    images: ImageSet | Path | str | None = None,
    annotations: Annotations | Path | str | None = None,
    title: str = "",
    seed: int = 0,
    overwrite: bool = False,
) -> Page:
    """The page of a report, which is also written as one HTML file that opens offline.

    Args:
        inputs: paths of results (`.jsonl`), folders of suites, heads (`.featx`), caches (`.h5`), and what commands
            printed with `--json` (`.json`); or the objects themselves: results, rankings, gains, learning curves, gaps,
            adaptations, scores, heads, tables, label errors, outcomes of suites, ... Heads are shown with what they
            predict for their own test images, if the caches or tables of their training are among them.
        into: the HTML file.
        images: the image set that thumbnails are read from, or what `list_images` takes; without it there are no
            pictures.
        annotations: labels in place of those in the caches, as for training.
        title: of the page.
        seed: of the images on the map, and of intervals.
        overwrite: whether to replace an existing page.

    Raises ReportError for an input that a report is not made of, or if the page cannot be written; FeatxError for a
    damaged input.

    >>> import featx
    >>> page = featx.write_report(["photos.featx", "photos.h5"], "report.html", images="photos")
    >>> page.sections[0].title, [len(one.pictures) > 0 for one in page.sections if one.title == "Errors: confusion"]
    ('Summary', [True])

    In a notebook, with what is at hand there:

    >>> table = featx.read_features("photos.h5")
    >>> head, result = featx.train_head(table, "ridge", jobs=1)
    >>> gain = featx.measure_gain([table], heads=["class-mean"], shots=[2], repeats=2, jobs=1)
    >>> page = featx.write_report([result, gain, head, table], "notebook.html")
    >>> {"summary", "ranking-stratified", "map", "gain"} <= {section.name for section in page.sections}
    True
    """
    if not isinstance(into, Target):
        with reserve_page(into, overwrite=overwrite) as target:
            return write_report(inputs, target, images=images, annotations=annotations, title=title, seed=seed)
    page = build_report(inputs, images=images, annotations=annotations, title=title, seed=seed, into=into.path)
    write_page(page, into)
    return page


def build_report(
    inputs: Inputs,
    *,
    images: ImageSet | Path | str | None = None,
    annotations: Annotations | Path | str | None = None,
    title: str = "",
    seed: int = 0,
    into: Path = Path("report.html"),
) -> Page:
    """The page of a report, as `write_report` writes it. Raises what that raises.

    >>> from featx.report import build_report
    >>> [section.title for section in build_report("photos.featx").sections][:2]
    ['Summary', 'Data: images and classes']
    """
    given = list_inputs(inputs)
    joined = read_annotations(annotations) if isinstance(annotations, str | Path) else annotations
    pictures = PictureSource(_list_images(images))
    material = collect(given, annotations=joined, seed=seed)
    command = _command(given, into.name, images)
    rankings = list_rankings(material)
    sections = _compose(material, rankings, pictures, command=command, seed=seed)
    return Page(title or _title(given), tuple(_unique(sections)), sentence=answer_of(material, rankings))


def _list_images(images: ImageSet | Path | str | None) -> ImageSet | None:
    if not isinstance(images, str | Path):
        return images
    from featx.inputs import list_images

    return list_images(images)


def _command(given: Sequence[Input], into: str, images: ImageSet | Path | str | None) -> str:
    """The command that makes this page, or the call if objects of Python were given."""
    shown = images if images is None or isinstance(images, str | Path) else "IMAGES"
    if not all(isinstance(one, Path | str) for one in given):
        named = (repr(str(one)) if isinstance(one, Path | str) else name_input(one) for one in given)
        names = list(dict.fromkeys(named))  # each class once
        pictures = "" if shown is None else f", images={str(shown)!r}"
        return f"featx.write_report([{', '.join(names)}], {into!r}{pictures})"
    options = [] if shown is None else ["--images", str(shown)]
    return shlex.join(["featx", "report", *map(str, given), *options, "--into", into])


def _title(given: Sequence[Input]) -> str:
    names = list(dict.fromkeys(map(name_input, given)))
    return f"Report: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"


def _compose(
    material: Material, rankings: list[SplitRanking], pictures: PictureSource, *, command: str, seed: int
) -> list[Section]:
    """All sections, in the order in which people ask."""
    data = DataOfReport(material)
    best = rankings[0].first if rankings else None
    body = [
        *data_sections(data, pictures),
        *source_sections(material, rankings),
        *sections_of_rankings(rankings),
        *learning_sections(material),
        *error_sections(material, best, pictures),
        *map_sections(material, seed=seed),
        *domain_sections(material),
        *material.further,
    ]
    summary = summary_section(material, rankings, data)
    summary = replace(summary, notes=(*summary.notes, *left_out_heads(material)))
    parts = [summary, *body, *reproduce_sections(material, command)]
    return [*parts, glossary_section(parts)]


def _unique(sections: Iterable[Section]) -> list[Section]:
    """The sections with names that differ, so that each has its own address on the page."""
    return list(_number(sections))


def _number(sections: Iterable[Section]) -> Iterator[Section]:
    seen = Counter[str]()
    for section in sections:
        seen[section.name] += 1
        count = seen[section.name]
        yield replace(section, name=f"{section.name}-{count}") if section.name and count > 1 else section
