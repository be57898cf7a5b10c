"""One row of a comparison: what was trained on what, how it was measured, and what came out; JSON lines in and out."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featx.errors import TableError
from featx.measures import HeadMetrics


@dataclass(frozen=True)
class Result:
    """A head's measured accuracy, with everything that is needed to repeat it."""

    head: str
    table: str
    """Digest of the features and labels: equal digests, equal input."""
    backbones: tuple[str, ...]
    params: Mapping[str, Any]
    metrics: HeadMetrics
    rows: Mapping[str, int]
    """How many images trained, tested, had no label, failed."""
    split: str
    """How the test rows were chosen."""
    classes: tuple[str, ...]
    seed: int
    seconds: float
    versions: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Result":
        """The result from plain JSON values. Raises TypeError or KeyError where they are not those of a result."""
        lists = {key: tuple(values[key]) for key in ("backbones", "classes")}
        return cls(**dict(values) | lists | {"metrics": HeadMetrics.from_dict(values["metrics"])})


def write_results(results: Iterable[Result], path: Path) -> None:
    """Write one JSON line a result."""
    path.write_text("".join(json.dumps(result.to_dict()) + "\n" for result in results), encoding="utf-8")


def read_results(path: Path) -> list[Result]:
    """The results in this file of JSON lines. Raises TableError where the file or a line is not readable as such."""
    try:
        return [Result.from_dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TableError(f"{path}: not a readable file of results ({error}); make it again") from error
