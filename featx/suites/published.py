"""Published splits: a CSV file that says which image of which target is in which part of which split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from featx.cache import FeatureTable
from featx.csv_columns import CsvWriter, check_header, open_csv
from featx.errors import TableError
from featx.hashing import hash_settings
from featx.suites.files import written
from featx.tables import SOURCE_TARGET, RowIndices, Split

COLUMNS = ("target", "split", "shots", "rule", "validation", "digest", "name", "part", "block")
PARTS = ("train", "validation", "test")
ADAPTATION = "adaptation"
"""The part of images of a target domain that adaptation may see without labels."""
UNUSED = "unused"
"""The part of images that a split leaves out."""
DRAWN, GIVEN = "drawn", "given"
"""Whether validation images were drawn at random from those to learn from, or are the image set's own."""


def write_splits(splits: Mapping[str, tuple[FeatureTable, Sequence[Split]]], path: Path) -> None:
    """Write the splits of each target, with its table, into a CSV file: equal splits give equal bytes.

    Each line is one image of one split of one target. Raises TableError if the file cannot be written.
    """
    with written(path, begins=",".join(COLUMNS)) as new, new.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file)
        writer.write(COLUMNS)
        for target, (table, drawn) in splits.items():
            for split in drawn:
                for line in _lines(target, table, split):
                    writer.write(line)


def _lines(target: str, table: FeatureTable, split: Split) -> Iterator[tuple[object, ...]]:
    shots = "" if split.shots is None else str(split.shots)
    found = _Published(shots, split.rule, drawn=split.validation_drawn)
    parts = np.full(len(table), UNUSED, object)
    for part in PARTS:
        parts[getattr(split, part)] = part
    if split.adaptation is not None:
        parts[split.adaptation] = ADAPTATION
    for row in np.argsort(table.positions, kind="stable").tolist():
        found.parts[table.name(row)] = parts[row]
        if split.blocks is not None and split.blocks[row] >= 0:
            found.blocks[table.name(row)] = int(split.blocks[row])
    about = (target, split.key, shots, split.rule, DRAWN if found.drawn else GIVEN, found.digest(split.key))
    for name, part in found.parts.items():
        yield (*about, name, part, found.blocks.get(name, ""))


@dataclass
class _Published:
    """One split of one target, as it stands in the file."""

    shots: str
    rule: str
    drawn: bool
    written: str = ""
    """The digest in the file."""
    line: int = 0
    """Where it begins in the file."""
    parts: dict[str, str] = field(default_factory=dict)
    """Name of each image -> its part."""
    blocks: dict[str, int] = field(default_factory=dict)
    """Name of each image in a block -> the block."""

    def digest(self, key: str) -> str:
        """Twelve digits that are equal for equal splits of equal keys."""
        images = [(name, self.parts[name], self.blocks.get(name)) for name in sorted(self.parts)]
        about = {"key": key, "shots": self.shots, "rule": self.rule, "drawn": self.drawn}
        return hash_settings(about | {"images": images})[:12]

    def key(self, key: str) -> str:
        """The key of the split. If it was changed since its digest was written, the new digest is added to the key."""
        digest = self.digest(key)
        return key if digest == self.written else f"{key}/{digest}"


@dataclass(frozen=True)
class PublishedSplits:
    """The splits in a file, by target and key."""

    where: str
    """Path of the file, for messages."""
    targets: Mapping[str, Mapping[str, _Published]]

    def splits_of(self, target: str, table: FeatureTable) -> list[Split]:
        """The splits of this target, as rows of its table: equal to those that were written.

        Raises TableError if the file has none of the target, or lacks an image of the table, or names another one.
        """
        if target not in self.targets:
            raise TableError(
                f"{self.where}: has no splits of target {target!r}, only of {', '.join(self.targets)}; "
                "name a split rule for it, or the file that has its splits"
            )
        rows = {table.name(row): row for row in range(len(table))}
        return [
            self._locate(found, table, target=target, key=key, rows=rows) for key, found in self.targets[target].items()
        ]

    def _locate(
        self, found: _Published, table: FeatureTable, *, target: str, key: str, rows: Mapping[str, int]
    ) -> Split:
        self._check_images(target, key, found.parts, rows)
        train, validation, test = (_rows_of(found.parts, part, rows) for part in PARTS)
        self._check_labels(target, key, table, np.concatenate([train, validation, test]))
        shots = int(found.shots) if found.shots else None
        blocks = None
        if found.blocks:
            blocks = np.full(len(table), -1)
            blocks[[rows[name] for name in found.blocks]] = list(found.blocks.values())
        return Split(
            train,
            validation,
            test,
            found.rule,
            found.key(key),
            refit=shots is None,
            shots=shots,
            blocks=blocks,
            validation_drawn=found.drawn,
            adaptation=_rows_of(found.parts, ADAPTATION, rows) if key.startswith(f"{SOURCE_TARGET}/") else None,
        )

    def _check_images(self, target: str, key: str, parts: Mapping[str, str], rows: Mapping[str, int]) -> None:
        """Raise TableError unless the file and the table have the same images."""
        gone = [name for name in parts if name not in rows]
        new = [name for name in rows if name not in parts]
        if gone or new:
            differences = [
                f"{len(names)} images {what}, such as {names[0]}"
                for names, what in ((gone, "of the file are missing or have no feature"), (new, "are not in the file"))
                if names
            ]
            raise TableError(
                f"{self.where}: split {key} of {target} is of {len(parts)} images, but the target has {len(rows)}: "
                f"{', and '.join(differences)}; use the images that were split, or split anew by a rule"
            )

    def _check_labels(self, target: str, key: str, table: FeatureTable, rows: RowIndices) -> None:
        """Raise TableError if the split uses an image without a label."""
        unlabelled = rows[~table.labelled[rows]]
        if len(unlabelled):
            raise TableError(
                f"{self.where}: split {key} of {target} uses {table.name(int(unlabelled[0]))}, which has no label "
                f"(one of {len(unlabelled)}); use the labels that were split, or split anew by a rule"
            )


def _rows_of(parts: Mapping[str, str], part: str, rows: Mapping[str, int]) -> RowIndices:
    return np.array(sorted(rows[name] for name, found in parts.items() if found == part), np.int64)


def read_splits(path: Path | str) -> PublishedSplits:
    """The splits in a CSV file as `write_splits` writes it. Raises TableError naming the line and the next step."""
    where = str(path)
    targets: dict[str, dict[str, _Published]] = {}
    with open_csv(where, lambda: Path(path).open("rb"), error_type=TableError) as table:
        check_header(where, table.header, known=COLUMNS, used=COLUMNS, error_type=TableError)
        if missing := [column for column in COLUMNS if column not in table.header]:
            raise TableError(f"{where}: column {missing[0]!r} is missing; name the columns {', '.join(COLUMNS)}")
        order = [table.header.index(column) for column in COLUMNS]
        for line, values in table.rows:
            _add(where, line, [values[place] for place in order], targets)
    for target, splits in targets.items():
        for key, found in splits.items():
            _check_parts(where, target, key, found)
    return PublishedSplits(where, targets)


def _add(where: str, line: int, values: Sequence[str], targets: dict[str, dict[str, _Published]]) -> None:
    """Add one line to the splits."""
    target, key, shots, rule, validation, digest, name, part, block = values
    _check_values(f"{where}: line {line}", shots=shots, validation=validation, part=part, block=block)
    splits = targets.setdefault(target, {})
    found = splits.setdefault(key, _Published(shots, rule, validation == DRAWN, digest, line))
    if (shots, rule, validation == DRAWN) != (found.shots, found.rule, found.drawn):
        raise TableError(
            f"{where}: line {line}: shots, rule or validation of split {key} of {target} differ from line "
            f"{found.line}; correct one of them"
        )
    if name in found.parts:
        raise TableError(f"{where}: line {line}: {name!r} is in split {key} of {target} already; remove one line")
    found.parts[name] = part
    if block:
        found.blocks[name] = int(block)


def _check_values(where: str, *, shots: str, validation: str, part: str, block: str) -> None:
    """Raise TableError for a value that its column cannot have."""
    wanted = (
        ("part", part, (*PARTS, ADAPTATION, UNUSED)),
        ("validation", validation, (DRAWN, GIVEN)),
    )
    for column, value, known in wanted:
        if value not in known:
            raise TableError(f"{where}: {column} is {value!r}; write {', '.join(known[:-1])} or {known[-1]}")
    for column, value in (("shots", shots), ("block", block)):
        if value and not (value.isascii() and value.isdigit() and len(value) < 10):
            raise TableError(f"{where}: {column} is {value!r}; write a whole number, or nothing")


def _check_parts(where: str, target: str, key: str, found: _Published) -> None:
    used = set(found.parts.values())
    for part in PARTS:
        if part not in used:
            raise TableError(f"{where}: split {key} of {target} has no {part} images; use splits.csv as a run wrote it")
