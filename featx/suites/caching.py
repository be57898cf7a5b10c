"""Extracts the features that a suite needs and does not have."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from featx.cache import open_cache, partial_path
from featx.convert import card_name
from featx.errors import CacheError, CacheMismatchError, FeatxError
from featx.extract import Progress, extract_features
from featx.settings import Settings
from featx.suites.failures import SuiteFailure
from featx.suites.preparing import PreparedSuite, PreparedTarget
from featx.suites.progress import Work
from featx.suites.suite import SourceModel


@dataclass(frozen=True)
class Extraction:
    """The caches of one target, and what has none."""

    caches: Mapping[Path, tuple[str, ...]]
    """Path of each cache -> the outputs that are compared, none for the one that its card calls the feature."""
    failures: tuple[SuiteFailure, ...]
    notes: tuple[str, ...]


def extract_missing(prepared: PreparedSuite, target: PreparedTarget, folder: Path, work: Work) -> Extraction:
    """The caches of this target in the folder; those that are missing or unfinished are extracted."""
    caches: dict[Path, tuple[str, ...]] = {}
    failures = []
    notes = list[str]()
    for source in prepared.suite.sources:
        try:
            found, told = _find_or_extract(prepared, target, source=source, folder=folder, work=work)
        except FeatxError as error:
            failures.append(SuiteFailure(target.target.name, source.backbone, "extraction", _explain(error)))
        else:
            caches |= found
            notes += told
    return Extraction(caches, tuple(failures), tuple(notes))


def _find_or_extract(
    prepared: PreparedSuite, target: PreparedTarget, *, source: SourceModel, folder: Path, work: Work
) -> tuple[dict[Path, tuple[str, ...]], list[str]]:
    """The caches of this source, each with the outputs that are compared, and notes. Raises FeatxError."""
    if target.images is None:
        return {_find(target, source.backbone): source.outputs or _feature_of(prepared, source)}, []
    wanted = source.outputs or _feature_of(prepared, source)
    caches = {}
    notes = list[str]()
    for path, outputs in _places(folder, target.target.name, source.backbone, wanted):
        notes += _extract(prepared, target, source, into=path, outputs=outputs, work=work)
        caches[path] = tuple(name for name in wanted if name in outputs)
    return caches, notes


def _places(folder: Path, target: str, backbone: str, wanted: Sequence[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yields the caches of these outputs, each with all outputs that it has; the last one may have to be begun.

    A suite to which an output is added gets it in a further cache, so that the others stay as they are.
    """
    left = list(wanted)
    for number in count(1):
        path = place_of(folder, target, backbone, number)
        there = _outputs_in(path) or tuple(left)
        if set(there) & set(left):
            yield path, there
        left = [name for name in left if name not in there]
        if not left:
            return


def place_of(folder: Path, target: str, backbone: str, number: int = 1) -> Path:
    """Where the features of this target from this backbone are; further outputs are in caches of higher numbers."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", backbone)
    return folder / "caches" / target / (f"{name}.h5" if number == 1 else f"{name}.{number}.h5")


def _outputs_in(path: Path) -> tuple[str, ...]:
    """The outputs of the cache at this path, finished or not, the feature first; none if there is no cache."""
    for place in (path, partial_path(path)):
        if place.exists():
            card = open_cache(place).card
            return card["feature"], *(output["name"] for output in card["outputs"])
    return ()


def _find(target: PreparedTarget, backbone: str) -> Path:
    """The finished cache of this backbone. Raises CacheError if none is given."""
    name = card_name(backbone)
    if name not in target.caches:
        known = ", ".join(target.caches)
        raise CacheError(f"none of the caches is of backbone {name!r}, only of {known}; add its cache to the target")
    return target.caches[name]


def _feature_of(prepared: PreparedSuite, source: SourceModel) -> tuple[str, ...]:
    """The output that the card calls the feature; nothing if the card was not needed, for a cache has its own."""
    backbone = prepared.backbones.get(source.backbone)
    return () if backbone is None else (backbone.card.feature,)


def _extract(
    prepared: PreparedSuite,
    target: PreparedTarget,
    source: SourceModel,
    *,
    into: Path,
    outputs: Sequence[str],
    work: Work,
) -> list[str]:
    """Extract the rows of the cache that are missing; returns notes on images that failed. Raises FeatxError."""
    assert target.images is not None
    protocol = prepared.suite.protocol
    steps = _Steps(work, f"{target.target.name} through {source.backbone}")
    summary = extract_features(
        target.images,
        prepared.with_outputs(source.backbone, outputs),
        into=into,
        settings=Settings(device=protocol.device, decode=protocol.decode),
        storage=protocol.storage,
        report=steps,
    )
    steps.end(len(target.images))
    if not summary.failed:
        return []
    name, reason = summary.failures[0]
    return [
        f"{target.target.name}: {summary.failed} of {summary.images} images have no feature from {source.backbone} "
        f"and are left out for all sources, such as {name} ({reason})"
    ]


@dataclass
class _Steps:
    """Counts the images of one extraction."""

    work: Work
    what: str
    finished: int = 0

    def __call__(self, progress: Progress) -> None:
        if progress.earlier > self.finished:
            self.work.found(progress.earlier)
            self.finished = progress.earlier
        self.work.done(progress.finished - self.finished, self.what)
        self.finished = progress.finished

    def end(self, images: int) -> None:
        """The rest of the images existed already."""
        self.work.found(images - self.finished)


def _explain(error: FeatxError) -> str:
    """The message of the error, with the step that fits a suite if a cache is of other features."""
    if isinstance(error, CacheMismatchError):
        return f"{str(error).rpartition('; ')[0]}; remove this cache, or choose another --into"
    return str(error)
