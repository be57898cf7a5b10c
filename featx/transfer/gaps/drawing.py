"""Draws the rows of two domains that a gap is measured on, and finds what belongs together in both."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.labels import Labels
from featx.tables import check_not_empty, check_range
from featx.transfer.domains import Domains
from featx.transfer.gaps.rows import GapRows, Indices, standardise

MOST_ROWS = 2_000
"""Rows of a domain that are looked at."""


@dataclass(frozen=True)
class Drawn:
    """The rows that were drawn, and what was noticed about them."""

    rows: GapRows
    same_names: int
    """Images whose names are in both domains."""
    same_features: int
    """Drawn images of the target whose features equal those of one of the source."""
    of_source: int
    """Images of the source that could be drawn."""
    of_target: int


def draw_rows(domains: Domains, *, seed: int) -> Drawn:
    """At most MOST_ROWS rows of each domain, with weights above 0, by the names of their groups or images.

    The same groups, or images, are drawn in both. Raises TableError if a domain has no row, or a feature that is not
    finite.
    """
    usable = [_usable(table) for table in (domains.source, domains.target)]
    names = _unit_names(domains, usable)
    _, numbers = np.unique(np.concatenate(names), return_inverse=True)
    rank = np.random.default_rng(seed).permutation(int(numbers.max()) + 1)
    units = np.split(numbers, [len(names[0])])
    chosen = [np.sort(np.argsort(rank[one], kind="stable")[:MOST_ROWS]) for one in units]
    source, target = (rows[some] for rows, some in zip(usable, chosen, strict=True))
    given = [_read(domains, source, in_source=True), _read(domains, target, in_source=False)]
    same = _equal_rows(*given)
    source_units, target_units = (one[some] for one, some in zip(units, chosen, strict=True))
    labelled, labels = _labels(domains.source, source)
    scaled_source, scaled_target, columns = standardise(*given)
    rows = GapRows(
        source=scaled_source,
        target=scaled_target,
        source_units=source_units,
        target_units=_tie(source_units, target_units, same),
        labelled=labelled,
        labels=labels,
        columns=columns,
    )
    same_names = int(np.isin(domains.target.names[usable[1]], domains.source.names[usable[0]]).sum())
    return Drawn(rows, same_names, len(same), len(usable[0]), len(usable[1]))


def _usable(table: FeatureTable) -> Indices:
    """The rows with a weight above 0. Raises TableError if there is none."""
    check_not_empty(table)
    rows = np.arange(len(table)) if table.weights is None else np.flatnonzero(table.weights > 0)
    if not len(rows):
        raise TableError(f"all {len(table)} images of a domain have weight 0; give some of them a weight above 0")
    return rows


def _unit_names(domains: Domains, usable: list[Indices]) -> list[NDArray[np.bytes_]]:
    """The name of the group of each usable row, in either domain; of its image if there are no groups."""
    tables = (domains.source, domains.target)
    grouped = all(table.groups is not None for table in tables)
    found = []
    for table, rows in zip(tables, usable, strict=True):
        names = table.names if table.groups is None else table.groups
        kind = b"" if grouped or all(one.groups is None for one in tables) else _kind(table)
        found.append(np.char.add(kind, names[rows]))
    return found


def _kind(table: FeatureTable) -> bytes:
    """What keeps the names of groups in one domain apart from those of images in the other."""
    return b"image " if table.groups is None else b"group "


def _read(domains: Domains, rows: Indices, *, in_source: bool) -> NDArray[np.float32]:
    """(n, D): the features of these rows, whose columns have the order of the source."""
    blocks = [pair.source if in_source else pair.target for pair in domains.pairs]
    features = np.concatenate([block.take(rows) for block in blocks], axis=1)
    check_range(features, lambda row: f"the features of {blocks[0].name(int(rows[row]))} are")
    return features


def _labels(table: FeatureTable, rows: Indices) -> tuple[Indices, Labels]:
    """Which of the drawn rows of the source have one label or soft labels, and these."""
    if table.multilabel or not table.classes:
        return np.zeros(0, np.int64), Labels((), np.zeros(0, np.int64))
    labelled = np.flatnonzero(table.labelled[rows])
    return labelled, table.labels_of(rows[labelled])


def _equal_rows(source: NDArray[np.float32], target: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Pairs of a row of the source and one of the target with equal features; one pair for each row of the target."""
    known = {row.tobytes(): place for place, row in enumerate(source)}
    found = [(known.get(row.tobytes()), place) for place, row in enumerate(target)]
    return [(own, place) for own, place in found if own is not None]


def _tie(source_units: Indices, target_units: Indices, same: list[tuple[int, int]]) -> Indices:
    """The units of the target, in which those of equal features have the number that they have in the source."""
    tied = target_units.copy()
    for own, place in same:
        if tied[place] != source_units[own]:
            tied[tied == tied[place]] = source_units[own]
    return tied
