"""The files in the folder of a run: lines that are added one by one, and tables that are written as wholes."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from featx.errors import CacheLockedError, SuiteError
from featx.locking import hold_lock
from featx.targets import Kind, explain_failure, reserve

KEY = '{"key": "'
"""Beginning of every line that is added."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[Path]:
    """Hold the folder against other runs in the block; it is created if it is missing.

    Raises CacheLockedError if another process runs a suite into it, SuiteError if it cannot be used.
    """
    lock = folder / "benchmark.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = hold_lock(lock)
        held.__enter__()
    except BlockingIOError as error:
        raise CacheLockedError(
            f"{folder}: another process runs a suite into this folder; wait for it, or choose another --into"
        ) from error
    except OSError as error:
        raise SuiteError(f"{folder}: cannot be used ({error.strerror or error}); choose another --into") from error
    try:
        yield folder
    finally:
        held.__exit__(None, None, None)


@contextmanager
def written(path: Path, *, begins: str) -> Iterator[Path]:
    """Path of a new file, which replaces `path` after the block.

    Every file of this kind begins with this text, or is empty. Raises SuiteError if it cannot be written, or if `path`
    is a file of another kind.
    """
    kind = Kind(
        name=f"{path.name} of a suite",
        endings=(path.suffix,),
        is_own=lambda found: _begins(found, begins.encode()),
        error=SuiteError,
        locked=CacheLockedError,
        writing="writing it",
    )
    with reserve(path, kind, overwrite=True) as target, target.written() as new:
        yield new


def _begins(path: Path, text: bytes) -> bool:
    with path.open("rb") as file:
        start = file.read(len(text))
    return not start or start == text


def write_json(values: Mapping[str, Any], path: Path) -> None:
    """Write these values as one JSON document, which begins with the name of its first key. Raises SuiteError."""
    with written(path, begins=f'{{\n  "{next(iter(values))}": ') as new:
        new.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


class LinesFile:
    """A file of JSON lines, each with a key of its own, to which lines are added; use it in a locked folder.

    A last line that a killed process left unfinished is cut off. Raises SuiteError if the file contains something
    else or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: dict[str, dict[str, Any]] = {}
        """The lines by their keys, including those added."""
        try:
            self._recover()
        except OSError as error:
            raise SuiteError(explain_failure(path, error)) from error

    def _recover(self) -> None:
        content = self._path.read_bytes() if self._path.exists() else b""
        finished, end, rest = content.rpartition(b"\n")
        if rest and not (rest[: len(KEY)] == KEY.encode()[: len(rest)]):
            raise self._foreign()
        try:
            lines = [json.loads(line) for line in finished.decode().splitlines()]
            self.lines = {line["key"]: line for line in lines}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._foreign() from error
        if rest:
            os.truncate(self._path, len(finished + end))

    def _foreign(self) -> SuiteError:
        return SuiteError(
            f"{self._path}: contains something else than a suite wrote; move it away, or choose another --into"
        )

    def add(self, lines: list[dict[str, Any]]) -> None:
        """Add the lines with keys that the file lacks; they are on the disk when this returns. Raises SuiteError."""
        new = {line["key"]: line for line in lines if line["key"] not in self.lines}
        text = "".join(json.dumps(line) + "\n" for line in new.values())
        try:
            with self._path.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SuiteError(explain_failure(self._path, error)) from error
        self.lines |= new
