"""Parameters of which a quick run takes the first ones, and `make check` all."""

from collections.abc import Iterable
from typing import Any

import pytest


def shortened(values: Iterable[Any], *, most: int = 1) -> list[Any]:
    """The values for `pytest.mark.parametrize`; all but the first `most` are exhaustive."""
    chosen = list(values)
    return [*chosen[:most], *(as_exhaustive(value) for value in chosen[most:])]


def as_exhaustive(value: Any) -> Any:
    """The value, or the tuple of values, for tests that only `make check` runs."""
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.exhaustive)
