"""Results on disk: files of JSON lines, one line per result."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec

from featx.errors import CacheLockedError, TableError, one_line
from featx.heads.results import Result
from featx.locking import NO_LINKS
from featx.provenance import __version__
from featx.targets import Kind, Target, explain_failure, reserve

START = '{"head": "", "fusion": "", "table": "'
"""Beginning of the line of a result, without the names of its head and fusion."""
LONGEST_LINE = 2**28
"""Bytes of a line: packed numbers have at most 2**27, which base64 makes a third longer."""
NAMES = re.compile(r'("(?:head|fusion)": ")[^"]*')
UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, msgspec.ValidationError)
"""Errors that reading another kind of file raises."""


def write_results(results: Iterable[Result], path: Path | str, *, overwrite: bool = False) -> None:
    """Write the results to a file of JSON lines.

    An existing file of results is replaced only with `overwrite`, a file of another kind never. Raises TableError if
    the file cannot be written.
    """
    with reserve(path, RESULTS, overwrite=overwrite) as target, target.written() as new:
        new.write_text("".join(map(_line, results)), encoding="utf-8")


def _is_results(path: Path) -> bool:
    """Whether every line of the file is a result; lines are read one by one, for the file may be of any size."""
    with path.open("rb") as file:
        return all(map(_is_result, iter(lambda: file.readline(LONGEST_LINE), b"")))


def _is_result(line: bytes) -> bool:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and "head" in values and "metrics" in values


RESULTS = Kind(
    name="a file of results",
    endings=(".jsonl",),
    is_own=_is_results,
    error=TableError,
    locked=CacheLockedError,
    writing="adding to these results",
)
ADDED_TO = replace(RESULTS, is_own=lambda path: True)
"""A file that results are added to: it is read anyway, and the message then says what is wrong with it."""


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
        step = "check the path" if isinstance(error, OSError) else "create it again"
        raise _unreadable(path, error, step=step) from error


def _unreadable(path: Path | str, error: Exception, *, step: str) -> TableError:
    reason = error.strerror if isinstance(error, OSError) else None
    return TableError(f"{path}: not a readable file of results ({(reason or one_line(error))[:200]}); {step}")


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
        self._file: BinaryIO | None = None
        self._held = ExitStack()
        self.results: dict[str, Result] = {}
        """The results in the file by their keys, including those added."""

    def __enter__(self) -> Self:
        if self._path:
            with ExitStack() as held:
                target = held.enter_context(reserve(self._path, ADDED_TO, may_exist=True))
                self._path = target.path
                with _writing(target.path):
                    self._file = held.enter_context(_open(target))
                self.results = {result.key: result for result in _recover(self._file, target.path)}
                self._held = held.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def append(self, result: Result) -> None:
        """Add the result, which is on the disk when this returns. Raises TableError if it cannot be written."""
        self.results[result.key] = result
        if self._path and self._file:
            with _writing(self._path):
                _check_same(self._file, self._path)
                self._file.write(_line(result).encode())
                self._file.flush()
                os.fsync(self._file.fileno())


def _open(target: Target) -> BinaryIO:
    """The file, open for adding to its end; a missing one is created. Raises OSError."""
    how = os.O_CREAT | os.O_EXCL if target.before is None else 0
    return open(os.open(target.path, os.O_RDWR | os.O_APPEND | NO_LINKS | how, 0o666), "a+b")


def _check_same(file: BinaryIO, path: Path) -> None:
    """Raise TableError if another file has this name now, or none."""
    if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), os.lstat(path)):
        raise TableError(f"{path}: was moved, removed or replaced while results were added; run the same command again")


def _recover(file: BinaryIO, path: Path) -> list[Result]:
    """Cut off an unfinished last line, and return the results; raise TableError for another kind of file, unchanged."""
    with _writing(path):
        file.seek(0)
        content = file.read()
    lines, end, unfinished = content.rpartition(b"\n")
    if unfinished and not _begins_result(unfinished):
        raise TableError(f"{path}: contains something other than results; choose another --into")
    finished = lines + end
    try:
        own = [values for values in _parse(finished) if values["versions"]["featx"] == __version__]
        results = [Result.from_dict(values) for values in own]
    except UNREADABLE as error:
        raise _unreadable(path, error, step="choose another --into") from error
    if unfinished:
        with _writing(path):
            file.truncate(len(finished))
    return results


def _begins_result(line: bytes) -> bool:
    """Whether a result's line could begin like this: nothing else that lacks its end is cut off."""
    text = NAMES.sub(r"\1", line.decode(errors="replace"))
    return text.startswith(START) or START.startswith(text)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TableError(explain_failure(path, error)) from error
