"""Tables of some rows of a table: given by position, or chosen by split, class or domain."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, choose_images, compact_rows, unknown_name
from featx.columns import ImageColumns, take
from featx.errors import ChoiceError, TableError
from featx.hashing import hash_settings


def select_rows(table: FeatureTable, rows: NDArray[np.int64]) -> FeatureTable:
    """The table with only these rows, in this order; its digest stays that of the whole table."""
    index = compact_rows(rows)
    return replace(
        table,
        parts=tuple(part.take(rows) for part in table.parts),
        names=table.names[index],
        labels=table.labels[index],
        positions=table.positions[index],
        splits=take(table.splits, index),
        groups=take(table.groups, index),
        domains=take(table.domains, index),
        weights=take(table.weights, index),
        shares=take(table.shares, index),
        learned=take(table.learned, index),
    )


def choose_rows(table: FeatureTable, *, split: str | None = None, labels: Sequence[str] = ()) -> FeatureTable:
    """The table with only the rows of this split and these classes; the table as it is if neither is given.

    The chosen classes become its only classes. Raises ChoiceError if the table lacks the split or class, TableError if
    classes are chosen but images have soft labels or several labels.
    """
    if split is None and not labels:
        return table
    if labels and table.shares is not None:
        raise TableError("images with soft labels or several labels cannot be chosen by class; leave --label out")
    images = ImageColumns(names=table.names, classes=table.classes, labels=table.labels, splits=table.splits)
    choice = choose_images(images, describe_table(table), split=split, labels=labels)
    chosen = select_rows(replace(table, classes=choice.classes, labels=choice.labels), np.flatnonzero(choice.rows))
    digest = hash_settings({"of": table.digest, "split": split, "labels": sorted(set(labels))})
    return replace(chosen, digest=digest)


def select_domains(table: FeatureTable, names: Sequence[str]) -> FeatureTable:
    """The table with only the rows of these domains; its classes stay, also those that no row of these domains has.

    Raises ChoiceError if no domain is named, if the table lacks one of them, or if it has no domains.

    >>> from dataclasses import replace
    >>> import featx, numpy as np
    >>> from featx.tables import select_domains
    >>> table = replace(featx.read_features("photos.h5"), domains=np.array([b"lab", b"lab", b"field"] * 20))
    >>> len(select_domains(table, ["field"]))
    20
    """
    if isinstance(names, str):
        raise ChoiceError(f"names={names!r} is one text, not a list of domains; give [{names!r}]")
    if not names:
        raise ChoiceError(f"{describe_table(table)}: no domain was named; name at least one")
    known = list_domains(table)
    for name in names:
        if name not in known:
            raise unknown_name(describe_table(table), "domain", name, known)
    assert table.domains is not None
    rows = np.flatnonzero(np.isin(table.domains, [name.encode() for name in names]))
    digest = hash_settings({"of": table.digest, "domains": sorted(set(names))})
    return replace(select_rows(table, rows), digest=digest)


def list_domains(table: FeatureTable) -> list[str]:
    """The names of the domains in a table, in alphabetical order; none if it has no domains."""
    return [] if table.domains is None else [name.decode() for name in np.unique(table.domains).tolist() if name]


def describe_table(table: FeatureTable) -> str:
    """The name of this table in messages: the cache of its backbones."""
    return "the cache of " + " + ".join(source.name for source in table.sources)
