"""Collects what a report is made of: reads the inputs, ranks results, and lets heads predict their own test images."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from featx.cache import FeatureTable
from featx.compare import rank_results
from featx.errors import FeatxError, ReportError
from featx.heads import Head, Result, examine_head, is_of_training
from featx.report.pages.material import GivenCache, GivenHead, Material
from featx.report.pages.printed import ComparedResults, check_result
from featx.report.pages.reading import Input, Reading
from featx.tables import Annotations, as_table, read_tables

MOST_HEADS = 3
"""Most heads whose errors are shown; of heads in a folder only the best one."""


def collect(inputs: Sequence[Input], *, annotations: Annotations | None = None, seed: int = 0) -> Material:
    """Read all inputs, rank the results, and let heads predict their own test images.

    Raises ReportError for an input that a report is not made of, for one that is given twice, and for none at all;
    FeatxError for a damaged file.
    """
    if not inputs:
        raise ReportError("no results were given; name a file of results, a folder of a suite, heads or caches")
    reading = Reading(annotations)
    for one in inputs:
        reading.read(one)
    compared = [one for one in reading.documents if isinstance(one, ComparedResults)]
    heads = _examine_best(reading, most=MOST_HEADS if _names_heads(inputs, reading) else 1, seed=seed)
    results = [*reading.results, *(result for one in compared for result in one.results)]
    results += [one.result for one in heads if one.result is not None]
    return Material(
        inputs=tuple(reading.inputs),
        ranked=rank_results(_each_once(results), [cache.table for cache in reading.caches]),
        tests={key: found for one in compared for key, found in one.tests.items()},
        duplicates={key: found for one in compared for key, found in one.duplicates.items()},
        suites=tuple(reading.suites),
        heads=tuple(heads),
        caches=tuple(reading.caches),
        documents=tuple(reading.documents),
        further=tuple(reading.further),
    )


def _names_heads(inputs: Sequence[Input], reading: Reading) -> bool:
    """Whether a head was given by itself, and not only in a folder."""
    paths = [Path(one) for one in inputs if isinstance(one, Path | str)]
    return any(isinstance(one, Head) for one in inputs) or any(path in paths for path, _ in reading.heads)


def _each_once(results: Sequence[Result]) -> list[Result]:
    """The results without those that stand in several files, such as those of heads in a file of results."""
    return list({(one.key, one.backbones, one.value, one.metrics.n): one for one in results}.values())


def _examine_best(reading: Reading, *, most: int, seed: int) -> list[GivenHead]:
    """All heads, of which those that are best on validation images, at most `most`, have their predictions."""
    given = [GivenHead(path, head, _result_of(head)) for path, head in reading.heads]
    order = sorted(range(len(given)), key=lambda place: -_validated(given[place]))
    left = most
    for place in order:
        if left:
            given[place] = _examine(given[place], reading, seed=seed)
            left -= given[place].examined is not None
    return given


def _validated(head: GivenHead) -> float:
    return head.result.validated if head.result is not None else 0.0


def _examine(given: GivenHead, reading: Reading, *, seed: int) -> GivenHead:
    """The head with its predictions, if caches of its backbones are among the inputs."""
    head, name = given.head, given.path.name
    found = _matching(head, reading.caches)
    if found is None:
        names = " + ".join(dict.fromkeys(source.name for source in head.sources))
        why = f"{name}: its test images are not shown, for no cache of its backbone is given ({names}); add it"
        return replace(given, why=why)
    try:
        tables = [_table_of(head, one, reading.annotations) for one in found]
        examined = examine_head(head, as_table(tables, sources=head.sources), seed=seed)
    except FeatxError as error:
        return replace(given, why=f"{name}: its test images are not shown: {error}")
    if examined is None:
        why = (
            f"{name}: its test images are not shown, for {found[0].name} does not have the images, labels and splits "
            f"of its training; `featx evaluate {name} {found[0].name}` measures it on other images"
        )
        return replace(given, why=why)
    return replace(given, examined=examined)


def _matching(head: Head, caches: Sequence[GivenCache]) -> list[GivenCache] | None:
    """Caches with all features that the head reads, those of its training first; None if some are missing."""
    found = list[GivenCache]()
    for backbone in dict.fromkeys(source.backbone for source in head.sources):
        own = [one for one in caches if backbone in one.backbones]
        own.sort(key=lambda one: not is_of_training(head, one.table))
        if not own:
            return None
        if own[0] not in found:
            found.append(own[0])
    return found


def _table_of(head: Head, cache: GivenCache, annotations: Annotations | None) -> FeatureTable:
    """The features of this cache that the head reads. Raises FeatxError."""
    read = [(one.backbone, one.output) for one in head.sources if one.backbone in cache.backbones]
    if cache.path is None or read == [(one.backbone, one.output) for one in cache.table.sources]:
        return cache.table
    return read_tables([cache.path], sources=head.sources, annotations=annotations)[0]


def _result_of(head: Head) -> Result | None:
    try:
        return check_result(Result.from_dict(head.training))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
