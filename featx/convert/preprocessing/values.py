"""Reads the values of a trainer's file, and knows which of its keys were not read."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from featx.errors import BackboneError

Choice = TypeVar("Choice", bound=str)

_STEP = "give the preprocessing with flags, and move the file away"


class Keys:
    """The keys of a file, or of one table in it; remembers those that were asked for."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self.values = values
        self.source = source
        self._read = set[str]()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; the default if the key is missing or null."""
        self._read.add(key)
        found = self.values.get(key)
        return default if found is None else found

    def table(self, key: str) -> "Keys":
        """The table under this key; an empty one if there is none."""
        found = self.get(key)
        return Keys(found if isinstance(found, dict) else {}, self.source)

    def number(self, key: str, default: float | None = None) -> float | None:
        """The finite number under this key."""
        found = self.get(key, default)
        return None if found is None else number(found, key, self.source)

    def flag(self, key: str, *, default: bool) -> bool:
        """Whether the key says true; the default if it is missing or null."""
        found = self.get(key, default)
        if not isinstance(found, bool):
            raise BackboneError(f"{self.source}: {key} = {found!r} should be true or false; {_STEP}")
        return found

    def one_of(self, key: str, known: Sequence[Choice], default: Choice | None = None) -> Choice | None:
        """The value under this key, which is one of these."""
        found = self.get(key, default)
        return None if found is None else one_of(found, known, key, self.source)

    def channels(self, key: str, factor: float) -> tuple[float, ...] | None:
        """Three numbers, or one for all channels, times this factor."""
        return scaled(self.get(key), factor, key, self.source)

    def refuse(self, key: str, why: str) -> BackboneError:
        """An error that names the key and its value."""
        return BackboneError(f"{self.source}: {key} = {self.values.get(key)!r} {why}; {_STEP}")

    def unread(self, harmless: Collection[str]) -> list[str]:
        """The keys that nobody asked for, without those that never change pixels, and those that say nothing."""
        return sorted(
            key
            for key, value in self.values.items()
            if key not in self._read and key not in harmless and value not in (None, False, "", [], {})
        )


def scaled(value: Any, factor: float, key: str, source: str, *, digits: int = 6) -> tuple[float, ...] | None:
    """Three numbers, or one for all channels, times this factor, rounded to digits after the point."""
    if value is None:
        return None
    values = value if isinstance(value, list) else [value] * 3
    values = values * 3 if len(values) == 1 else values
    if len(values) != 3:
        raise BackboneError(f"{source}: {key} = {value!r} should be three numbers, one per channel")
    return tuple(round(number(one, key, source) * factor, digits) for one in values)


def number(value: Any, key: str, source: str) -> float:
    """The value as a finite number. Raises BackboneError naming source and key."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BackboneError(f"{source}: {key} = {value!r} should be a number; correct it, or set it with flags")
    return float(value)


def one_of(value: Any, known: Sequence[Choice], key: str, source: str) -> Choice:
    """The value, which must be one of these. Raises BackboneError naming source and key."""
    for choice in known:
        if value == choice:
            return choice
    raise BackboneError(f"{source}: {key} = {value!r} is not known to featx ({', '.join(known)}); set it with flags")


def square(value: Any, key: str, source: str) -> int:
    """The side of a square given as one number, or as two equal ones."""
    sides = set(value) if isinstance(value, list) and 1 <= len(value) <= 2 else {str(value)}
    side = next(iter(sides)) if isinstance(value, list) and len(sides) == 1 else value
    if type(side) is not int or side < 1:
        raise BackboneError(f"{source}: {key} = {value!r} should be one side in pixels; featx gives square images")
    return side
