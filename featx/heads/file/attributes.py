"""Reads the attributes of a loaded part of a pipeline with checks of their types, shapes and ranges."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.errors import HeadError


class Fitted:
    """A loaded part of a pipeline, whose attributes are read with checks of their types."""

    def __init__(self, part: Any, fitted: Collection[str]) -> None:
        self.part = part
        self.kind = type(part).__name__
        known = {*type(part)._get_param_names(), *fitted}
        if unknown := vars(part).keys() - known:
            raise self.wrong(f"an attribute {min(unknown)}, which it cannot have")

    def wrong(self, what: str) -> HeadError:
        """The error that says what this part has."""
        return HeadError(f"its {self.kind} has {what}; do not use this file")

    def get(self, name: str, kind: Any) -> Any:
        """The attribute, which has this type (a bool is no number). Raises HeadError."""
        value = vars(self.part).get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(f"{type(value).__name__} as {name}")
        return value

    def one_of(self, name: str, known: Collection[object]) -> Any:
        """The attribute, which is one of these values. Raises HeadError."""
        value = vars(self.part).get(name)
        if not isinstance(value, str | bool | type(None)) or value not in known:
            raise self.wrong(f"{str(value)[:40]!r} as {name}")
        return value

    def above(self, name: str, least: float) -> float:
        """The attribute, which is a number above this one. Raises HeadError."""
        value = self.get(name, int | float | np.number)
        if not value > least:
            raise self.wrong(f"{value} as {name}")
        return float(value)

    def array(self, name: str, *shape: int | None, kinds: str = "f") -> NDArray[Any]:
        """The array, which has this shape (None: any length), numbers of these kinds, and none that is not finite."""
        return self.check_array(name, self.get(name, np.ndarray), shape, kinds=kinds)

    def check_array(
        self, name: str, values: Any, shape: Sequence[int | None], *, kinds: str = "f", finite: bool = True
    ) -> NDArray[Any]:
        """The array as it is. Raises HeadError unless it has this shape, these kinds of numbers, and finite ones."""
        if not isinstance(values, np.ndarray) or values.dtype.kind not in kinds:
            raise self.wrong(f"no numbers as {name}")
        fits = [asked is None or asked == length for asked, length in zip(shape, values.shape, strict=False)]
        if len(shape) != values.ndim or not all(fits):
            raise self.wrong(f"{name} of shape {values.shape} where it needs {tuple(shape)}")
        if finite and not np.isfinite(values).all():
            raise self.wrong(f"{name} that is NaN or infinite")
        return values

    def reads(self, columns: int) -> None:
        """Raise HeadError unless this part was fitted to this number of columns."""
        if self.get("n_features_in_", int) != columns:
            raise self.wrong(f"{self.part.n_features_in_} columns where it is given {columns}")

    def classes(self) -> int:
        """The number of classes, which are 0, 1, 2 and so on."""
        found = self.array("classes_", None, kinds="iu")
        if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
            raise self.wrong("classes_ that are not numbered")
        return len(found)

    def seen(self, classes: int) -> int:
        """The number of classes that were in training."""
        found = self.array("seen_", None, kinds="iu")
        if len(found) < 2 or (np.diff(found) < 1).any() or found[0] < 0 or found[-1] >= classes:
            raise self.wrong("seen_ that are no classes")
        return len(found)
