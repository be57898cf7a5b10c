"""Several files that hold images, given as a file, a folder or a pattern: which ones, and what their names tell."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featx.errors import ImageSetError
from featx.inputs.sets.files import Files, parent

MOST_SHARDS = 1_000_000
"""Names that braces may make: {0..9999999999} is a slip."""

_BRACES = re.compile(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_SPLIT = re.compile(r"(train|validation|valid|val|test)[-_.]")


@dataclass(frozen=True)
class Shards:
    """Files that hold the images of one image set, in bytewise order of their paths."""

    files: Files
    given: str
    """What was asked for: a file, a folder or a pattern."""
    base: str
    """What their paths begin with and their names leave out: a folder with its slash, or nothing."""
    paths: tuple[str, ...]
    ignored: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, "S1"))
    """Names of what lay beside them."""

    def name(self, path: str) -> str:
        """Path of the file relative to the base: what the names of its images begin with."""
        return path[len(self.base) :].lstrip("/")

    @cached_property
    def splits(self) -> tuple[str, ...] | None:
        """The splits that the files' names begin with; None unless all have one, and not all the same."""
        matches = [_SPLIT.match(path.rpartition("/")[2]) for path in self.paths]
        found = tuple(match[1] for match in matches if match)
        return found if len(found) == len(matches) and len(set(found)) > 1 else None


def one_file(files: Files, path: str) -> Shards:
    """The file alone, named relative to its folder."""
    return Shards(files, path, parent(path), (path,))


def is_pattern(path: str) -> bool:
    """Whether the path stands for several: with braces of numbers or words, or wildcards."""
    return _first_magic(path) < len(path)


def match_pattern(files: Files, pattern: str) -> Shards:
    """What the pattern stands for; each name that braces make must be there. Raises ImageSetError."""
    found: set[str] = set()
    for count, path in enumerate(_expand(pattern)):
        if count == MOST_SHARDS:
            raise ImageSetError(f"{pattern}: stands for more than {MOST_SHARDS} files; correct the braces")
        matched = files.glob(path) if _first_magic(path) < len(path) else [path]
        if not matched:
            raise ImageSetError(f"{path}: no file matches this pattern; check it")
        found.update(matched)
    return Shards(files, pattern, parent(pattern[: _first_magic(pattern)]), tuple(sorted(found, key=str.encode)))


def _first_magic(path: str) -> int:
    """Where the first wildcard or brace stands; in a web address ? begins a query, and is none."""
    wildcards = re.search(r"[*\[]" if path.startswith("http") else r"[*?\[]", path)
    places = [match.start() for match in (wildcards, _BRACES.search(path)) if match]
    return min(places, default=len(path))


def _expand(pattern: str) -> Iterator[str]:
    """Every text that the braces stand for: {a,b} for either, {000..127} for numbers as wide as the first."""
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    for choice in _choices(match[1]):
        yield from _expand(pattern[: match.start()] + choice + pattern[match.end() :])


def _choices(inner: str) -> Iterator[str]:
    if match := _RANGE.fullmatch(inner):
        first, last = int(match[1]), int(match[2])
        step = 1 if last >= first else -1
        return (f"{number:0{len(match[1])}}" for number in range(first, last + step, step))
    return iter(inner.split(","))
