"""Reads what a report is made of: files by their endings, folders, and objects of Python by their classes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from featx.cache import FeatureTable, describe_cache, is_cache, list_outputs
from featx.compare import ComparisonResults, RankedCandidate, Ranking
from featx.errors import ReportError
from featx.hashing import hash_file
from featx.heads import Head, LabelError, Result, load_head, read_results
from featx.measures import HeadMetrics
from featx.report.notebooks import sections_of
from featx.report.pages.material import GivenCache, GivenInput, ImagesOfCache
from featx.report.pages.printed import ComparedResults, Document, SuspectedLabels, check_result, read_document
from featx.report.section import Section
from featx.report.split_rankings import KnownTests
from featx.showing import Shown
from featx.suites import SuiteOutcome, is_suite_folder, read_outcome
from featx.tables import Annotations, read_tables
from featx.transfer import Adaptation, Gain, Gap, LearningCurve, TransferScores

Input: TypeAlias = Path | str | Shown | Sequence[Shown]
"""A path, or an object of featx: a ranking, results, a gain, a head, a table, ..."""

HEAD, CACHES, RESULTS, DOCUMENT = ".featx", (".h5", ".hdf5"), ".jsonl", ".json"
READ = (HEAD, *CACHES, RESULTS)
"""Endings of the files that are read in a folder."""


def list_inputs(given: Input | Sequence[Input]) -> list[Input]:
    """Each input by itself: several results, rankings, ... may be in lists; label errors belong together.

    Raises ReportError for what is no input.
    """
    if isinstance(given, Path | str | Shown) or _are_label_errors(given):
        return [given]  # type: ignore[list-item]  # a tuple of label errors is one input
    if not isinstance(given, Iterable):
        raise ReportError(
            f"a report is not made of {type(given).__name__}; give paths, or what featx measured, such as a Ranking"
        )
    return [inner for one in given for inner in list_inputs(one)]


def _are_label_errors(given: object) -> bool:
    """Whether this is what `find_label_errors` returns."""
    return isinstance(given, Sequence) and len(given) > 0 and all(isinstance(one, LabelError) for one in given)


def name_input(given: Input) -> str:
    """The name of a file, or of an object's class; of label errors, of one of them."""
    if isinstance(given, Path | str):
        return Path(given).name
    return type(given if isinstance(given, Shown) else given[0]).__name__


@dataclass
class Reading:
    """What was read so far."""

    annotations: Annotations | None
    seen: set[object] = field(default_factory=set)
    inputs: list[GivenInput] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    suites: list[SuiteOutcome] = field(default_factory=list)
    heads: list[tuple[Path, Head]] = field(default_factory=list)
    caches: list[GivenCache] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    further: list[Section] = field(default_factory=list)

    def read(self, given: Input) -> None:
        """Read one input, whatever it is. Raises FeatxError."""
        if isinstance(given, Path | str):
            self._read_path(Path(given))
        elif id(given) in self.seen:
            raise ReportError(f"the same {type(given).__name__} is given twice; give each input once")
        else:
            self.seen.add(id(given))
            self._read_object(given)

    def _read_path(self, path: Path) -> None:
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
        self.inputs.append(GivenInput(str(path), what, hash_file(path) if hashed else ""))

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
        backbones = frozenset(list_outputs(path).values())
        self.caches.append(GivenCache(path, ImagesOfCache.of_cache(describe_cache(path)), table, backbones))
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
            self._read_path(path)

    def _read_object(self, given: Any) -> None:
        """Take an object of featx, by its class. Raises ReportError for one that a report says nothing of."""
        match given:
            case FeatureTable():
                backbones = frozenset(source.backbone for source in given.sources)
                self.caches.append(GivenCache(None, ImagesOfCache.of_table(given), given, backbones))
            case Head():
                self.heads.append((Path(f"{given.name}{HEAD}"), given))
            case SuiteOutcome():
                self.suites.append(given)
            case Result() | ComparisonResults():
                self._take_results([given] if isinstance(given, Result) else given.results)
            case RankedCandidate() | Ranking():
                self._take_ranking([given] if isinstance(given, RankedCandidate) else given)
            case HeadMetrics() | TransferScores() | Gain() | LearningCurve() | Gap() | Adaptation():
                self.documents.append(given)
            case Shown():
                self._take_shown(given)
            case errors:
                self.documents.append(SuspectedLabels(len(errors), sum(one.score > 0 for one in errors), tuple(errors)))
        digest = given.digest if isinstance(given, FeatureTable) else ""
        self.inputs.append(GivenInput(name_input(given), "given in Python", digest))

    def _take_results(self, results: Iterable[Result]) -> None:
        try:
            self.results += map(check_result, results)
        except ValueError as error:
            raise ReportError(f"a Result is damaged ({error}); create it again") from error

    def _take_ranking(self, ranking: Sequence[RankedCandidate]) -> None:
        """The results of a ranking, with its tests, which need the images' labels and are not repeated."""
        tests = {
            (one.name, one.splits): KnownTests(one.comparison, one.mcnemar, one.chosen_per_split) for one in ranking
        }
        self._take_results(result for one in ranking for result in one.results)
        self.documents.append(ComparedResults((), tests, {}))

    def _take_shown(self, given: Shown) -> None:
        """What notebooks show of an object, as sections of its own."""
        name = type(given).__name__
        sections = sections_of(given)
        if not sections:
            raise ReportError(f"a report has nothing to say of a {name}; give what was measured, such as a Ranking")
        self.further += [replace(one, title=f"{name}: {one.title}" if one.title else name) for one in sections]
