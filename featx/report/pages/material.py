"""Collects what a report is made of: results, suites, heads, caches and what commands printed as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from featx.cache import CacheInfo, FeatureTable, describe_cache, is_cache, list_outputs
from featx.compare import RankedResults, rank_results
from featx.errors import FeatxError, ReportError
from featx.hashing import hash_file
from featx.heads import Examination, Head, Result, examine_head, is_of_training, load_head, read_results
from featx.measures import Comparison
from featx.report.pages.printed import ComparedResults, Document, check_result, read_document
from featx.report.split_rankings import SplitRanking, split_rankings
from featx.suites import SuiteOutcome, is_suite_folder, read_outcome
from featx.tables import Annotations, Duplicates, fuse_tables, read_tables

Kind = TypeVar("Kind")
HEAD, CACHES, RESULTS, DOCUMENT = ".featx", (".h5", ".hdf5"), ".jsonl", ".json"
READ = (HEAD, *CACHES, RESULTS)
"""Endings of the files that are read in a folder."""
MOST_HEADS = 3
"""Most heads whose errors are shown; of heads in a folder only the best one."""


@dataclass(frozen=True)
class InputFile:
    """A file that the report was made from."""

    path: str
    what: str
    digest: str
    """sha256 of the file; empty for a cache, whose model and images have hashes of their own, and for a folder."""


@dataclass(frozen=True)
class GivenCache:
    """A cache, and the table of its features."""

    path: Path
    info: CacheInfo
    table: FeatureTable
    outputs: Mapping[str, str]
    """Name of each output -> its backbone, as heads name it."""


@dataclass(frozen=True)
class GivenHead:
    """A head, and what it predicts for its own test images."""

    path: Path
    head: Head
    result: Result | None
    """How it was measured when it was trained; None for a head that does not say."""
    examined: Examination | None = None
    why: str = ""
    """Why it is not known what it predicts."""


@dataclass(frozen=True)
class Material:
    """All that a report is made of."""

    files: tuple[InputFile, ...]
    ranked: RankedResults
    comparisons: Mapping[tuple[str, str], Comparison]
    """Tests that `compare` printed, for candidates whose images are not at hand."""
    duplicates: Mapping[str, Duplicates]
    suites: tuple[SuiteOutcome, ...]
    heads: tuple[GivenHead, ...]
    caches: tuple[GivenCache, ...]
    documents: tuple[Document, ...]
    notes: tuple[str, ...]

    @property
    def results(self) -> tuple[Result, ...]:
        """All results that are ranked."""
        return tuple(result for ranking in self.ranked.rankings for one in ranking for result in one.results)

    def of(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The documents of this kind."""
        return tuple(one for one in self.documents if isinstance(one, kind))


@dataclass
class _Reading:
    """What was read so far."""

    annotations: Annotations | None
    seen: set[Path] = field(default_factory=set)
    files: list[InputFile] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    suites: list[SuiteOutcome] = field(default_factory=list)
    heads: list[tuple[Path, Head]] = field(default_factory=list)
    caches: list[GivenCache] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def read(self, path: Path) -> None:
        """Read one input, whatever it is. Raises FeatxError."""
        place = path.resolve()
        if place in self.seen:
            raise ReportError(f"{path} is given twice, by itself or in a folder; give each input once")
        self.seen.add(place)
        ending = path.suffix.lower()
        if path.is_dir():
            self._read_folder(path)
        elif ending == HEAD:
            self.heads.append((path, load_head(path)))
            self._add(path, "head")
        elif ending in CACHES or (path.is_file() and is_cache(path)):
            self._read_cache(path)
        elif ending == RESULTS:
            self._read_results(path)
        elif ending == DOCUMENT:
            self.documents.append(read_document(path))
            self._add(path, "what a command printed with --json")
        else:
            what = "nothing that a report is made of" if path.exists() else "no such file"
            raise ReportError(
                f"{path}: {what}; give results (.jsonl), the folder of a suite, heads (.featx), caches (.h5) or what "
                "commands print with --json (.json)"
            )

    def _add(self, path: Path, what: str, *, hashed: bool = True) -> None:
        self.files.append(InputFile(str(path), what, hash_file(path) if hashed else ""))

    def _read_results(self, path: Path) -> None:
        found = read_results(path)
        if not found:
            raise ReportError(f"{path}: has no results yet; run `featx compare` with --into {path}")
        try:
            self.results += map(check_result, found)
        except ValueError as error:
            raise ReportError(f"{path}: a result in it is damaged ({error}); create it again") from error
        self._add(path, f"{len(found)} results")

    def _read_cache(self, path: Path) -> None:
        (table,) = read_tables([path], annotations=self.annotations)
        self.caches.append(GivenCache(path, describe_cache(path), table, list_outputs(path)))
        self._add(path, "cache", hashed=False)

    def _read_folder(self, folder: Path) -> None:
        """A suite, or the results, heads and caches in a folder such as that of the demo."""
        if is_suite_folder(folder):
            self.suites.append(read_outcome(folder))
            self._add(folder, "folder of a suite", hashed=False)
            return
        inside = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in READ)
        if not any(path.suffix.lower() in (RESULTS, HEAD) for path in inside):
            raise ReportError(
                f"{folder}: has neither results nor heads, and no suite has finished in it; give the --into of "
                "`featx benchmark`, or files"
            )
        for path in inside:
            self.read(path)


def collect(inputs: Sequence[Path | str], *, annotations: Annotations | None = None, seed: int = 0) -> Material:
    """Read all inputs, rank the results, and let heads predict their own test images.

    Raises ReportError for an input that a report is not made of, for one that is given twice, and for none at all;
    FeatxError for a damaged file.
    """
    paths = [Path(one) for one in inputs]
    if not paths:
        raise ReportError("no results were given; name a file of results, a folder of a suite, heads or caches")
    reading = _Reading(annotations)
    for path in paths:
        reading.read(path)
    compared = [one for one in reading.documents if isinstance(one, ComparedResults)]
    heads = _examine_best(reading, most=MOST_HEADS if any(path in paths for path, _ in reading.heads) else 1, seed=seed)
    results = [*reading.results, *(result for one in compared for result in one.results)]
    results += [one.result for one in heads if one.result is not None]
    return Material(
        files=tuple(reading.files),
        ranked=rank_results(_each_once(results), [cache.table for cache in reading.caches]),
        comparisons={key: found for one in compared for key, found in one.comparisons.items()},
        duplicates={key: found for one in compared for key, found in one.duplicates.items()},
        suites=tuple(reading.suites),
        heads=tuple(heads),
        caches=tuple(reading.caches),
        documents=tuple(reading.documents),
        notes=tuple(reading.notes),
    )


def list_rankings(material: Material) -> list[SplitRanking]:
    """The candidates of all results by kind of split, those with the most candidates first."""
    found = [
        one
        for ranking, tested in zip(material.ranked.rankings, material.ranked.tested, strict=True)
        for one in split_rankings(ranking, tests=material.comparisons, could_be_tested=tested)
    ]
    return sorted(found, key=lambda one: -len(one.candidates))


def _each_once(results: Sequence[Result]) -> list[Result]:
    """The results without those that stand in several files, such as those of heads in a file of results."""
    return list({(one.key, one.backbones, one.value, one.metrics.n): one for one in results}.values())


def _examine_best(reading: _Reading, *, most: int, seed: int) -> list[GivenHead]:
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


def _examine(given: GivenHead, reading: _Reading, *, seed: int) -> GivenHead:
    """The head with its predictions, if caches of its backbones are among the inputs."""
    head, name = given.head, given.path.name
    found = _matching(head, reading.caches)
    if found is None:
        names = " + ".join(dict.fromkeys(source.name for source in head.sources))
        why = f"{name}: its test images are not shown, for no cache of its backbone is given ({names}); add it"
        return replace(given, why=why)
    try:
        table = fuse_tables(read_tables(found, sources=head.sources, annotations=reading.annotations))
        examined = examine_head(head, table, seed=seed)
    except FeatxError as error:
        return replace(given, why=f"{name}: its test images are not shown: {error}")
    if examined is None:
        why = (
            f"{name}: its test images are not shown, for {found[0].name} does not have the images, labels and splits "
            f"of its training; `featx evaluate {name} {found[0].name}` measures it on other images"
        )
        return replace(given, why=why)
    return replace(given, examined=examined)


def _matching(head: Head, caches: Sequence[GivenCache]) -> list[Path] | None:
    """Paths of caches with all features that the head reads, those of its training first; None if some are missing."""
    paths = dict[Path, None]()
    for backbone in dict.fromkeys(source.backbone for source in head.sources):
        own = [one for one in caches if backbone in one.outputs.values()]
        own.sort(key=lambda one: not is_of_training(head, one.table))
        if not own:
            return None
        paths[own[0].path] = None
    return list(paths)


def _result_of(head: Head) -> Result | None:
    try:
        return check_result(Result.from_dict(head.training))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
