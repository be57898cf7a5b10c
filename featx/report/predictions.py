"""Predictions as files: CSV, JSON, JSON Lines or Parquet, written row by row, so that their number does not matter."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from featx.cache import ParquetRows, is_parquet_of
from featx.csv_columns import CsvWriter
from featx.errors import HeadError, ReportError
from featx.showing import visible_json
from featx.targets import Kind, Target, explain_failure, reserve

if TYPE_CHECKING:
    from featx.deploy import Prediction

PREDICTION_ENDINGS = (".csv", ".jsonl", ".json", ".parquet")
"""Endings of files of predictions, which decide their format."""
_COLUMNS = ("name", "label", "probability", "failed")
_KIND = "featx.predictions"
"""Key of the metadata of Parquet files."""
_LONGEST_RECORD = 1 << 24
"""Most bytes of the first record of a file that are read to see whether it has predictions."""

WritePrediction: TypeAlias = Callable[["Prediction"], None]


@dataclass(frozen=True)
class PredictionColumns:
    """Which columns a list of predictions has.

    They are `name`, `label`, `probability` and `failed`; with `top` K also `label_1`, `probability_1` to `label_K`,
    `probability_K`, the most probable classes; with `every` also `probability:CLASS` for each class. All values but the
    name and `failed` are missing for a failed image.
    """

    classes: tuple[str, ...]
    top: int = 0
    every: bool = False

    def __post_init__(self) -> None:
        """Raise HeadError if there are fewer classes than are to be listed."""
        if self.top > len(self.classes):
            raise HeadError(
                f"--top-k {self.top} is more than the {len(self.classes)} classes of the head; "
                f"give {len(self.classes)} or less"
            )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of a flat table."""
        best = [name for rank in range(1, self.top + 1) for name in (f"label_{rank}", f"probability_{rank}")]
        return (*_COLUMNS, *best, *(f"probability:{name}" for name in (self.classes if self.every else ())))

    @property
    def types(self) -> dict[str, type[str] | type[float]]:
        """Name -> type of the values of each column of a flat table."""
        return {name: float if name.startswith("probability") else str for name in self.names}

    def row(self, prediction: "Prediction") -> tuple[str | float | None, ...]:
        """The values of a prediction, one for each column."""
        basic = (prediction.name, prediction.label, prediction.probability, prediction.failed)
        if prediction.probabilities is None:
            return (*basic, *[None] * (len(self.names) - len(basic)))
        best = [value for pair in self._best(prediction) for value in pair]
        return (*basic, *best, *(prediction.probabilities.tolist() if self.every else ()))

    def record(self, prediction: "Prediction") -> dict[str, Any]:
        """The prediction for JSON: `top` is a list of `{label, probability}`, `probabilities` is by class."""
        found: dict[str, Any] = {name: getattr(prediction, name) for name in _COLUMNS}
        known = prediction.probabilities is not None
        if self.top:
            best = self._best(prediction) if known else ()
            found["top"] = [{"label": label, "probability": probability} for label, probability in best]
        if self.every:
            values = () if prediction.probabilities is None else prediction.probabilities.tolist()
            found["probabilities"] = dict(zip(self.classes, values, strict=True)) if known else None
        return found

    def _best(self, prediction: "Prediction") -> Iterator[tuple[str, float]]:
        """The most probable classes; of equal ones the first."""
        assert prediction.probabilities is not None
        for column in np.argsort(-prediction.probabilities, kind="stable")[: self.top].tolist():
            yield self.classes[column], float(prediction.probabilities[column])


@contextmanager
def open_predictions(
    into: Path, columns: PredictionColumns, *, overwrite: bool = False, option: str = "--into"
) -> Iterator[WritePrediction]:
    """A function that appends a prediction to the file, which gets its name when the block ends without an error.

    The ending decides the format: .csv, .jsonl, .json or .parquet. `option` is the one that names the file, for
    messages. Raises ReportError if the ending is another, or if the file exists and does not contain predictions that
    `overwrite` replaces; CacheError if pyarrow is needed and not installed.
    """
    ending = into.suffix.lower()
    if ending not in PREDICTION_ENDINGS:
        raise ReportError(f"{into}: its ending is not that of predictions; end it in {', '.join(PREDICTION_ENDINGS)}")
    kind = Kind(
        name="predictions of featx",
        endings=(ending,),
        is_own=_IS_OWN[ending],
        error=ReportError,
        locked=ReportError,
        writing="writing these predictions",
        instead=f"choose another {option}",
        option=option,
    )
    with reserve(into, kind, overwrite=overwrite) as target, target.new_file() as new:
        with _OPEN[ending](new, columns) as write:
            yield lambda prediction: _explained(target, lambda: write(prediction))
        _explained(target, lambda: target.publish(new))


def _explained(target: Target, do: Callable[[], None]) -> None:
    """Do this, which may raise OSError. Raises ReportError that names the file."""
    try:
        do()
    except OSError as error:
        raise ReportError(explain_failure(target.path, error)) from error


@contextmanager
def _open_csv(path: Path, columns: PredictionColumns) -> Iterator[WritePrediction]:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = CsvWriter(file)
        lines.write(columns.names)
        yield lambda prediction: lines.write(["" if value is None else value for value in columns.row(prediction)])


@contextmanager
def _open_jsonl(path: Path, columns: PredictionColumns) -> Iterator[WritePrediction]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda prediction: _write_text(file, f"{_dump(columns, prediction)}\n")


@contextmanager
def _open_json(path: Path, columns: PredictionColumns) -> Iterator[WritePrediction]:
    """One list, with a line for each prediction."""
    between = iter(["[\n"])
    with path.open("w", encoding="utf-8") as file:
        yield lambda prediction: _write_text(file, next(between, ",\n") + _dump(columns, prediction))
        _write_text(file, next(between, "\n") + "]\n")


@contextmanager
def _open_parquet(path: Path, columns: PredictionColumns) -> Iterator[WritePrediction]:
    with ParquetRows(path, columns.types, kind=_KIND) as rows:
        yield lambda prediction: rows.write(columns.row(prediction))


def _dump(columns: PredictionColumns, prediction: "Prediction") -> str:
    return visible_json(json.dumps(columns.record(prediction), ensure_ascii=False))


def _write_text(file: IO[str], text: str) -> None:
    file.write(text)


def _has_header(path: Path) -> bool:
    header = ",".join(_COLUMNS).encode()
    with path.open("rb") as file:
        return file.read(len(header) + 1).rstrip(b"\r\n,") == header


def _has_records(path: Path) -> bool:
    """Whether the first line that is no bracket is a prediction; a file without any line has none, and is taken."""
    with path.open("rb") as file:
        lines = (file.readline(_LONGEST_RECORD).strip(b"[], \r\n") for _ in range(2))
        first = next(filter(None, lines), b"")
        if not first:
            return not file.read(1)
    try:
        found = json.loads(first)
    except ValueError:
        return False
    return isinstance(found, dict) and found.keys() >= set(_COLUMNS)


_OPEN: Mapping[str, Callable[[Path, PredictionColumns], AbstractContextManager[WritePrediction]]] = {
    ".csv": _open_csv,
    ".jsonl": _open_jsonl,
    ".json": _open_json,
    ".parquet": _open_parquet,
}
_IS_OWN: Mapping[str, Callable[[Path], bool]] = {
    ".csv": _has_header,
    ".jsonl": _has_records,
    ".json": _has_records,
    ".parquet": lambda path: is_parquet_of(path, _KIND),
}
