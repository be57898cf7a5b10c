"""Extracts the features that a suite needs and does not have."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from featx.errors import CacheError, CacheMismatchError, FeatxError
from featx.extract import Progress, extract_features
from featx.settings import Settings
from featx.suites.preparing import PreparedSuite, PreparedTarget
from featx.suites.progress import Work
from featx.suites.suite import SourceModel


@dataclass(frozen=True)
class SuiteFailure:
    """Something that a suite asks for and that has no result.

    >>> from featx.suites import SuiteFailure
    >>> print(SuiteFailure("shapes", "resnet", "extraction", "the model failed"))
    extraction of resnet for shapes: the model failed
    """

    target: str
    source: str
    """Name of the backbone, or of the candidate; empty if the whole target failed."""
    stage: str
    """What failed: extraction, tables, scores, heads or gain."""
    reason: str

    def __str__(self) -> str:
        """The failure in one line."""
        what = f"{self.stage} of {self.source}" if self.source else self.stage
        return f"{what} for {self.target}: {self.reason}"


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
            if target.images is None:
                path = _find(target, source.backbone)
            else:
                path = place_of(folder, target.target.name, source.backbone)
                notes += _extract(prepared, target, source, path, work)
        except FeatxError as error:
            failures.append(SuiteFailure(target.target.name, source.backbone, "extraction", _explain(error)))
        else:
            caches[path] = source.outputs or _feature_of(prepared, source)
    return Extraction(caches, tuple(failures), tuple(notes))


def place_of(folder: Path, target: str, backbone: str) -> Path:
    """Where the features of this target from this backbone are."""
    return folder / "caches" / target / f"{re.sub(r'[^A-Za-z0-9_.-]', '-', backbone)}.h5"


def _find(target: PreparedTarget, backbone: str) -> Path:
    """The finished cache of this backbone. Raises CacheError if none is given."""
    if backbone not in target.caches:
        known = ", ".join(target.caches)
        raise CacheError(
            f"none of the caches is of backbone {backbone!r}, only of {known}; add its cache to the target"
        )
    return target.caches[backbone]


def _feature_of(prepared: PreparedSuite, source: SourceModel) -> tuple[str, ...]:
    """The output that the card calls the feature; nothing if the card was not needed, for a cache has its own."""
    backbone = prepared.backbones.get(source.backbone)
    return () if backbone is None else (backbone.card.feature,)


def _extract(prepared: PreparedSuite, target: PreparedTarget, source: SourceModel, path: Path, work: Work) -> list[str]:
    """Extract the rows of the cache that are missing; returns notes on images that failed. Raises FeatxError."""
    assert target.images is not None
    protocol = prepared.suite.protocol
    steps = _Steps(work, f"{target.target.name} through {source.backbone}")
    summary = extract_features(
        target.images,
        prepared.backbones[source.backbone],
        into=path,
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
