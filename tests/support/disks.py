"""A disk that can be asked what a power cut would have left on it, and that fails when it is told to."""

import builtins
import io
import os
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest

SYNCS = ("os.fsync", "os.fdatasync")
WRITES = (
    *("os.open", "os.pwrite", "os.write", "os.posix_fallocate", "os.truncate", "os.ftruncate"),
    *("os.replace", "os.rename", "os.link", *SYNCS),
)
REMOVALS = ("os.unlink", "os.remove")
OPENS = ("io.open", "builtins.open")
MODULES = {"os": os, "io": io, "builtins": builtins}
SECTOR, PAGE = 512, 4096


@dataclass(frozen=True)
class Call:
    """One call of the system that concerns the folder under watch."""

    name: str
    target: str
    """Name of the file in the folder, "." for the folder itself."""
    real: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]

    def go(self) -> Any:
        """Do it."""
        return self.real(*self.arguments, **self.options)


def watch(folder: Path, patch: pytest.MonkeyPatch, seen: Callable[[Call], Any]) -> None:
    """From now on, `seen` is given every call on the folder or its files, to do it or not."""
    for name in (*WRITES, *REMOVALS, *OPENS):
        module, _, attribute = name.partition(".")
        if real := getattr(MODULES[module], attribute, None):
            patch.setattr(name, partial(_pass, seen, folder.resolve(), name, real))


def _pass(
    seen: Callable[[Call], Any],
    folder: Path,
    name: str,
    real: Callable[..., Any],
    /,
    *arguments: Any,
    **options: Any,
) -> Any:
    target = _target(folder, arguments[0])
    call = Call(name, target or "", real, arguments, options)
    return seen(call) if target else call.go()


def _target(folder: Path, place: object) -> str | None:
    """What a path or descriptor is in the folder; None where it lies elsewhere."""
    if isinstance(place, int):
        return _names(folder).get(os.fstat(place).st_ino)
    path = Path(os.fsdecode(place))  # type: ignore[arg-type]
    parent = path.parent.resolve()
    return path.name if parent == folder else "." if path.resolve() == folder else None


def _names(folder: Path) -> dict[int, str]:
    with os.scandir(folder) as entries:
        return {folder.stat().st_ino: "."} | {entry.inode(): entry.name for entry in entries}


@dataclass(frozen=True)
class State:
    """What a folder was at one moment, as its programs see it."""

    names: Mapping[str, int]
    contents: Mapping[int, bytes]
    synced: int | None
    """What was brought to the disk just before: a file, or the folder itself, by its number."""


@dataclass
class Disk:
    """Records a folder around every call on it, and says what a power cut would have left.

    All that was synced is there. Of what was written later, any part may be there and any other not, in any order and
    torn anywhere; of names that were changed since the folder was synced, the first few changes.
    """

    folder: Path
    ignored: Callable[[str], bool] = lambda name: False
    """Files whose syncs do nothing: what the test of the tests needs."""
    states: list[State] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    _here: int = 0

    def __post_init__(self) -> None:
        self._here = self.folder.stat().st_ino
        self._take(None)

    def __call__(self, call: Call) -> Any:
        """Do the call, and remember what was before and after it."""
        if call.name in ("os.open", *OPENS):
            return call.go()
        with self._lock:
            self._take(None)
            result = call.go()
            is_sync = call.name in SYNCS and not self.ignored(call.target)
            self._take(os.fstat(call.arguments[0]).st_ino if is_sync else None)
            return result

    def _take(self, synced: int | None) -> None:
        files = [path for path in self.folder.iterdir() if not path.name.endswith(".lock")]
        names = {path.name: path.stat().st_ino for path in files}
        before = self.states[-1].contents if self.states else {}
        contents = {names[path.name]: path.read_bytes() for path in files}
        contents = {number: before[number] if before.get(number) == data else data for number, data in contents.items()}
        state = State(names, contents, synced)
        if not self.states or state != self.states[-1]:
            self.states.append(state)

    def after_power_cut(self, moment: int, rng: np.random.Generator) -> dict[str, bytes]:
        """Names and contents of the files that a power cut at this moment may have left."""
        past = self.states[self._last_sync(self._here, moment) : moment + 1]
        names = past[rng.integers(len(past))].names
        return {name: self._content(number, moment, rng) for name, number in names.items()}

    def least(self, moment: int) -> dict[str, bytes]:
        """What any power cut at this moment would leave: what was synced, and nothing else."""
        names = self.states[self._last_sync(self._here, moment)].names
        synced = {name: self.states[self._last_sync(number, moment)] for name, number in names.items()}
        return {name: state.contents[names[name]] for name, state in synced.items() if names[name] in state.contents}

    def _last_sync(self, number: int, moment: int) -> int:
        """When this was last brought to the disk; what was there at first was."""
        syncs = [0, *(index for index, state in enumerate(self.states) if state.synced == number)]
        return syncs[bisect_right(syncs, moment) - 1]

    def _content(self, number: int, moment: int, rng: np.random.Generator) -> bytes:
        first = self._last_sync(number, moment)
        past = [state.contents[number] for state in self.states[first : moment + 1] if number in state.contents]
        unborn = [] if number in self.states[first].contents else [b""]
        versions = list(dict.fromkeys([*unborn, *past]))
        return mix(versions, rng) if len(versions) > 1 else versions[0]


def mix(versions: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Every page, sector or byte from any of the versions; sometimes the oldest, or the newest, as a whole."""
    if rng.random() < 0.2:
        return versions[0 if rng.random() < 0.5 else -1]
    size = len(versions[int(rng.integers(len(versions)))])
    pieces = np.zeros((len(versions), size), np.uint8)
    for row, version in zip(pieces, versions, strict=True):
        row[: len(version)] = np.frombuffer(version, np.uint8)[:size]
    grain = (PAGE, SECTOR, 1)[rng.integers(3)]
    chosen = rng.integers(len(versions), size=-(-size // grain)).repeat(grain)[:size]
    return pieces[chosen, np.arange(size)].tobytes()


@dataclass
class Failing:
    """Lets one call fail, counted from 0, and all others pass."""

    at: int | None
    code: int = 0
    names: tuple[str, ...] = WRITES
    calls: list[str] = field(default_factory=list)
    """What was called, and on which file."""

    def __call__(self, call: Call) -> Any:
        """Do the call, unless it is the one that fails."""
        if call.name not in self.names:
            return call.go()
        self.calls.append(f"{call.name} {call.target}")
        if len(self.calls) - 1 == self.at:
            raise OSError(self.code, os.strerror(self.code), call.target)
        return call.go()
