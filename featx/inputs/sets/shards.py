"""Finds the files of an image set that is one file, a folder of files or a pattern, and the splits in their names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featx.columns import as_texts, find_split
from featx.errors import ImageSetError
from featx.inputs.sets.class_folders import find_split_folders
from featx.inputs.sets.files import Files, check_utf8, parent

MOST_SHARDS = 1_000_000
"""Most names that braces may expand to: {0..9999999999} is a mistake."""

_BRACES = re.compile(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_FIRST_WORD = re.compile(r"([a-zA-Z]+)[-_.]")


@dataclass(frozen=True)
class Shards:
    """The files with the images of one image set, in bytewise order of their paths."""

    files: Files
    given: str
    """What the user gave: a file, a folder or a pattern."""
    base: str
    """The start of their paths, which is not part of their names: a folder with its slash, or an empty text."""
    paths: tuple[str, ...]
    ignored: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, "S1"))
    """Names of the other files in their folder."""

    def name(self, path: str) -> str:
        """Path of the file relative to the base; the names of its images begin with it."""
        return path[len(self.base) :].lstrip("/")

    @cached_property
    def splits(self) -> tuple[str, ...] | None:
        """The split of each file, which its name begins with, or the first folder in which the names differ.

        None if a file has none, or if all have the same.
        """
        words = [match[1] if (match := _FIRST_WORD.match(path.rpartition("/")[2])) else "" for path in self.paths]
        found = tuple(split for word in words if (split := find_split(word)))
        if len(found) == len(words) and len(set(found)) > 1:
            return found
        folders = find_split_folders(self.given, [as_texts([self.name(path) for path in self.paths])])
        return tuple(folders.split(self.name(path).encode()) for path in self.paths) if folders.splits else None


def one_file(files: Files, path: str) -> Shards:
    """One file, named relative to its folder. Raises ImageSetError if its name is not UTF-8."""
    check_utf8(path.rpartition("/")[2])
    return Shards(files, path, parent(path), (path,))


def is_pattern(path: str) -> bool:
    """Whether the path has wildcards, or braces with numbers or words."""
    return _pattern_start(path) < len(path)


def match_pattern(files: Files, pattern: str) -> Shards:
    """The files that match the pattern; every name that braces expand to must exist. Raises ImageSetError."""
    found: set[str] = set()
    for count, path in enumerate(_expand(pattern)):
        if count == MOST_SHARDS:
            raise ImageSetError(f"{pattern}: expands to more than {MOST_SHARDS} files; correct the braces")
        matched = files.glob(path) if _pattern_start(path) < len(path) else [path]
        if not matched:
            raise ImageSetError(f"{path}: no file matches this pattern; check it")
        for name in matched:
            check_utf8(name)
        found.update(matched)
    return Shards(files, pattern, parent(pattern[: _pattern_start(pattern)]), tuple(sorted(found, key=str.encode)))


def _pattern_start(path: str) -> int:
    """Position of the first wildcard or brace, or the length of the path; in web addresses ? begins a query."""
    wildcards = re.search(r"[*\[]" if path.startswith("http") else r"[*?\[]", path)
    places = [match.start() for match in (wildcards, _BRACES.search(path)) if match]
    return min(places, default=len(path))


def _expand(pattern: str) -> Iterator[str]:
    """Every text that the braces expand to: {a,b} to a and b, {000..127} to numbers padded as the first."""
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    for choice in _choices(match[1]):
        yield from _expand(pattern[: match.start()] + choice + pattern[match.end() :])


def _choices(inner: str) -> Iterator[str]:
    if match := _RANGE.fullmatch(inner):
        first = int(match[1])
        last = int(match[2])
        step = 1 if last >= first else -1
        return (f"{number:0{len(match[1])}}" for number in range(first, last + step, step))
    return iter(inner.split(","))
