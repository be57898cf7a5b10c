"""One row of a comparison: what was trained on what, how it was measured, and what came out; JSON lines in and out."""

import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.errors import CacheLockedError, TableError
from featx.locking import hold_lock
from featx.measures import HeadMetrics
from featx.provenance import __version__

Measure: TypeAlias = Literal["accuracy", "balanced_accuracy", "average_precision"]

START = b'{"head": "'
"""How the line of a result begins."""


@dataclass(frozen=True)
class Penalty:
    """A strength of regularisation in the three ways that people write it; images count by their weights.

    The loss of ridge is half the squared error, so that its l2 is scikit-learn's alpha.
    """

    l2: float
    """Multiplies half the squared norm of the coefficients, beside the sum of losses."""
    l2_mean: float
    """The same beside the mean of losses."""
    C: float
    """Multiplies the sum of losses, as scikit-learn has it."""


@dataclass(frozen=True)
class Result:
    """A head's measured accuracy, with everything that is needed to repeat it."""

    head: str
    fusion: str
    """How the blocks of columns were joined, or columns chosen; empty where nothing was asked for."""
    table: str
    """Digest of the features and labels: equal digests, equal input."""
    images: str
    """Digest of the names of all its images, those without a label too."""
    backbones: tuple[str, ...]
    identities: tuple[str, ...]
    """sha256 of the card of each of them with this output alone, as their caches have it (docs/cache.md, `outputs`)."""
    params: Mapping[str, Any]
    penalty: Penalty | None
    """Of heads that have one."""
    edge: bool
    """Whether the best penalty or C still lies at the end of its grid, after all extensions."""
    folds: int | None
    """Of tuning; None where validation images chose."""
    balanced: bool
    """Whether classes counted alike in fitting and tuning, however many images they have."""
    tuned: str
    """How parameters were chosen."""
    validated: float
    """What the chosen parameters reached there: by this, and not by the test images, is one head to be preferred."""
    temperature: float
    metrics: HeadMetrics
    rows: Mapping[str, int]
    """How many images trained, chose parameters, tested, had no label, failed."""
    split: str
    """How the test rows were chosen."""
    split_key: str
    shots: int | None
    """Training images a class of a few-shot split."""
    test: str
    """Digest of the names of the test images: results of equal digests can be compared image by image."""
    guesses: str | None
    """The most probable class of each test image: positions in `classes`, packed; None of several labels."""
    drawn: str | None
    """Of several labels: `measure` on resamples of the test images, the same for every head, packed."""
    classes: tuple[str, ...]
    seed: int
    seconds: float
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """What this result is of: results of the same key are the same work."""
        return key_of(
            self.table,
            head=self.head,
            fusion=self.fusion,
            split=self.split_key,
            folds=self.folds,
            balanced=self.balanced,
            seed=self.seed,
            versions=self.versions,
        )

    @property
    def measure(self) -> Measure:
        """Name of the measure by which heads are tuned and compared."""
        if self.metrics.labels == "several":
            return "average_precision"
        return "balanced_accuracy" if self.balanced else "accuracy"

    @property
    def value(self) -> float:
        """This measure of the test images; NaN where it is not defined."""
        value: float | None = getattr(self.metrics, self.measure)
        return float("nan") if value is None else value

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Result":
        """The result from plain JSON values. Raises TypeError or KeyError where they are not those of a result."""
        penalty = values["penalty"]
        lists = {key: tuple(values[key]) for key in ("backbones", "identities", "classes")}
        own = {"metrics": HeadMetrics.from_dict(values["metrics"]), "penalty": Penalty(**penalty) if penalty else None}
        return cls(**dict(values) | lists | own)


def pack(values: NDArray[Any]) -> str:
    """Numbers as text: base64 of zlib of their bytes, little-endian; positions of classes as uint16, else float32."""
    kind = "<f4" if values.dtype.kind == "f" else "<u2"
    return b64encode(zlib.compress(values.astype(kind).tobytes())).decode()


def unpack_guesses(text: str) -> NDArray[np.uint16]:
    """(n,): positions of classes that were packed, in the order of the table."""
    return np.frombuffer(zlib.decompress(b64decode(text)), "<u2")


def unpack_drawn(text: str) -> NDArray[np.float64]:
    """(1 + b,): a measure on resamples that was packed."""
    return np.frombuffer(zlib.decompress(b64decode(text)), "<f4").astype(np.float64)


def key_of(
    table: str,
    *,
    head: str,
    fusion: str,
    split: str,
    folds: int | None,
    balanced: bool,
    seed: int,
    versions: Mapping[str, str],
) -> str:
    """What a result of these is called: equal work, by equal versions, has equal names."""
    tuned = (f"{folds} folds" if folds else "validation") + (", balanced" if balanced else "")
    made_by = (f"{package} {versions[package]}" for package in ("featx", "numpy", "scikit-learn"))
    return "/".join((table[:16], head, fusion or "-", split, tuned, str(seed), *made_by))


def write_results(results: Iterable[Result], path: Path) -> None:
    """Write one JSON line a result."""
    path.write_text("".join(json.dumps(result.to_dict()) + "\n" for result in results), encoding="utf-8")


def read_results(path: Path) -> list[Result]:
    """The results in this file of JSON lines. Raises TableError where the file or a line is not readable as such."""
    try:
        return _parse(path.read_bytes())
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise TableError(f"{path}: not a readable file of results ({error}); make it again") from error


def _parse(lines: bytes) -> list[Result]:
    return [Result.from_dict(json.loads(line)) for line in lines.decode().splitlines()]


class ResultsFile:
    """A file of JSON lines to which results are added one by one, by one process at a time; or none, for None.

    It is held as a context manager. A last line that a killed process left unfinished is cut off; lines of other
    versions of featx, which may hold other things, stay and are not read. Raises TableError where the file holds
    something else or cannot be written, CacheLockedError where another process adds to it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._held = path, ExitStack()
        self.results: dict[str, Result] = {}
        """What is there, by key."""

    def __enter__(self) -> Self:
        if self._path:
            with ExitStack() as held:
                held.enter_context(_locked(self._path))
                self.results = {result.key: result for result in _mend(self._path)}
                self._held = held.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def append(self, result: Result) -> None:
        """Add the result, which is on the disk when this returns. Raises TableError."""
        self.results[result.key] = result
        if self._path:
            with _writing(self._path), self._path.open("ab") as file:
                file.write((json.dumps(result.to_dict()) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock for adding to this file, whose folder is created if it is missing."""
    if path.exists() and not path.is_file():
        raise TableError(f"{path}: already exists and is not a file; choose another --into")
    lock = path.with_name(path.name + ".lock")
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(hold_lock(lock))
        except BlockingIOError as error:
            raise CacheLockedError(
                f"{lock}: another process is adding to these results; wait for it or choose another --into"
            ) from error
        except OSError as error:
            raise TableError(f"{path}: cannot be written ({error.strerror}); choose another --into") from error
        yield


def _mend(path: Path) -> list[Result]:
    """The results in the file, which then ends with a whole line; nothing is cut off a file of anything else."""
    if not path.exists():
        with _writing(path):
            path.touch()
    whole, end, torn = path.read_bytes().rpartition(b"\n")
    if torn and not torn.startswith(START[: len(torn)]):
        raise TableError(f"{path}: holds something other than results; choose another --into")
    try:
        lines = [json.loads(line) for line in (whole + end).decode().splitlines()]
        results = [Result.from_dict(line) for line in lines if line["versions"]["featx"] == __version__]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TableError(f"{path}: not a readable file of results ({error}); choose another --into") from error
    if torn:
        os.truncate(path, len(whole + end))
    return results


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TableError(f"{path}: cannot be written ({error.strerror}); choose another --into") from error
