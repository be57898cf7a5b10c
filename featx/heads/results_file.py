"""Results on disk: files of JSON lines, one line per result."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from featx.errors import CacheLockedError, TableError
from featx.heads.results import Result
from featx.locking import hold_lock
from featx.provenance import __version__

START = b'{"head": "'
"""Beginning of the line of a result."""
UNREADABLE = (OSError, ValueError, TypeError, KeyError, msgspec.ValidationError)
"""Errors that reading another kind of file raises."""


def write_results(results: Iterable[Result], path: Path | str) -> None:
    """Write the results to a file of JSON lines, replacing it."""
    Path(path).write_text("".join(map(_line, results)), encoding="utf-8")


def read_results(path: Path | str) -> list[Result]:
    """The results in a file of JSON lines, as `featx compare --into` writes it.

    Raises TableError if the file cannot be read, or if a line is not a result.

    >>> import featx
    >>> from featx.heads import write_results
    >>> _, result = featx.train_head(featx.read_features("photos.h5"), "class-mean", jobs=1)
    >>> write_results([result], "results.jsonl")
    >>> [found.head for found in featx.read_results("results.jsonl")]
    ['class-mean']
    """
    try:
        return [Result.from_dict(values) for values in _parse(Path(path).read_bytes())]
    except UNREADABLE as error:
        raise TableError(f"{path}: not a readable file of results ({error}); create it again") from error


def _parse(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.decode().splitlines()]


def _line(result: Result) -> str:
    return json.dumps(result.to_dict()) + "\n"


class ResultsFile:
    """A file of JSON lines to which one process at a time adds results one by one; None keeps them in memory only.

    Use it in a `with` block. A last line that a killed process left unfinished is cut off. Lines of other versions of
    featx, which may have other fields, stay in the file and are not read. Raises TableError if the file contains
    something else or cannot be written, CacheLockedError if another process is adding to it.
    """

    def __init__(self, path: Path | str | None) -> None:
        self._path = None if path is None else Path(path)
        self._lock = ExitStack()
        self.results: dict[str, Result] = {}
        """The results in the file by their keys, including those added."""

    def __enter__(self) -> Self:
        if self._path:
            with ExitStack() as lock:
                lock.enter_context(_locked(self._path))
                self.results = {result.key: result for result in _recover(self._path)}
                self._lock = lock.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def append(self, result: Result) -> None:
        """Add the result, which is on the disk when this returns. Raises TableError if it cannot be written."""
        self.results[result.key] = result
        if self._path:
            with _writing(self._path), self._path.open("ab") as file:
                file.write(_line(result).encode())
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


def _recover(path: Path) -> list[Result]:
    """Cut off an unfinished last line, and return the results; raise TableError for another kind of file, unchanged."""
    if not path.exists():
        with _writing(path):
            path.touch()
    lines, end, unfinished = path.read_bytes().rpartition(b"\n")
    if unfinished and not unfinished.startswith(START[: len(unfinished)]):
        raise TableError(f"{path}: contains something other than results; choose another --into")
    finished = lines + end
    try:
        own = [values for values in _parse(finished) if values["versions"]["featx"] == __version__]
        results = [Result.from_dict(values) for values in own]
    except UNREADABLE as error:
        raise TableError(f"{path}: not a readable file of results ({error}); choose another --into") from error
    if unfinished:
        os.truncate(path, len(finished))
    return results


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TableError(f"{path}: cannot be written ({error.strerror}); choose another --into") from error
