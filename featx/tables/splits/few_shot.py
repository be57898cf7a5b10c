"""Few-shot assignment: k rows of each class train, k others validate, and the remaining rows are tested."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from featx.errors import TableError
from featx.tables.given import GivenTables
from featx.tables.joining import as_table
from featx.tables.splits.assignment import (
    TEST,
    TRAIN,
    UNUSED,
    VALIDATION,
    build_split,
    official_assignment,
)
from featx.tables.splits.eligible import EligibleRows, eligible_rows
from featx.tables.splits.sampling import (
    Integers,
    Keys,
    rank_within,
    shuffle_keys,
)
from featx.tables.splits.split import Split

SHOTS = (1, 2, 4, 8, 16, 32, 64)
FEW_SHOT_REPEATS = 5
GROUP_SHARES = (1 / 2, 1 / 4, 1 / 4)
"""Shares of the groups from which test, validation and training rows are drawn."""


def possible_shots(
    table: GivenTables, shots: Sequence[int] = SHOTS, *, repeats: int = FEW_SHOT_REPEATS, seed: int = 0
) -> tuple[int, ...]:
    """Those of the given numbers of shots that `make_splits(table, "few-shot")` can draw, with these repeats and seed.

    The others would make it raise TableError, because a class has too few images or too few groups. Raises TableError
    if no number of shots is the reason: if no image has a label, for example, or if a group is in two parts of the
    image set's own split.

    >>> import featx
    >>> from featx.tables import possible_shots
    >>> possible_shots(featx.read_features("photos.h5"))
    (1, 2, 4)
    """
    eligible = eligible_rows(as_table(table))
    _assign_sources(eligible, seed)
    seeds = range(seed, seed + repeats)
    return tuple(number for number in shots if all(_is_possible(eligible, number, seed=one) for one in seeds))


def _is_possible(eligible: EligibleRows, shots: int, *, seed: int) -> bool:
    try:
        few_shot_split(eligible, shots, seed=seed, warn=False)
    except TableError:
        return False
    return True


def few_shot_split(eligible: EligibleRows, shots: int, *, seed: int, warn: bool = True) -> Split:
    """One draw of `shots` training rows of each class; logs a warning for test classes without images if `warn` is set.

    Raises TableError if a class has too few images.
    """
    parts = few_shot_assignment(eligible, shots, seed=seed)
    return build_split(
        eligible,
        parts,
        f"{shots} {'image' if shots == 1 else 'images'} of each class drawn, seed {seed}",
        everywhere=eligible.table.splits is None,
        warn=warn,
        key=f"few-shot-{shots}/{seed}",
        refit=False,
        shots=shots,
    )


def few_shot_assignment(eligible: EligibleRows, shots: int, *, seed: int) -> Integers:
    """(m,): the part of each row, with `shots` training and `shots` validation rows of each class.

    With one label per image, draws with the same seed are nested: more shots train on the same rows and on others. With
    several labels, a class may have more rows than shots. The image set's own test rows are tested if it has a split,
    half of the groups if there are groups, else all rows that were not drawn. Raises TableError if a class has too few
    images.
    """
    sources = _assign_sources(eligible, seed)
    keys = shuffle_keys(eligible.keys, seed)
    train = _draw(eligible, keys, among=sources == TRAIN, shots=shots, purpose="train")
    validation = sources == VALIDATION
    if not validation.any():
        validation = (sources == TRAIN) & ~train
    validation = _draw(eligible, keys, among=validation, shots=shots, purpose="validate")
    not_drawn = UNUSED if np.any(sources == TEST) else TEST
    rest = np.where(sources == TEST, TEST, not_drawn)
    return np.select([train, validation], [TRAIN, VALIDATION], rest)


def _assign_sources(eligible: EligibleRows, seed: int) -> Integers:
    """(m,): the part that each row may be drawn for; if none is VALIDATION, TRAIN rows may be drawn for both."""
    if eligible.table.splits is None:
        return np.full(len(eligible), TRAIN) if eligible.units is None else eligible.assign(GROUP_SHARES, seed=seed)
    parts = official_assignment(eligible)
    if eligible.units is not None and not np.any(parts == VALIDATION):
        training = parts == TRAIN
        parts[training] = VALIDATION + eligible.take(training).assign((1 / 2, 1 / 2), seed=seed)
    return parts


def _draw(
    eligible: EligibleRows, keys: Keys, *, among: NDArray[np.bool_], shots: int, purpose: str
) -> NDArray[np.bool_]:
    """(m,): whether each row is drawn, which are the `shots` rows of each class with the lowest keys."""
    source = eligible.take(among)
    _check_shots(eligible, source, shots, purpose)
    drawn = np.zeros(len(eligible), bool)
    if eligible.table.multilabel:
        drawn[among] = _draw_multilabel(source, keys[among], shots)
    else:
        drawn[among] = rank_within(source.strata, keys[among])[0] < shots
    return drawn


def _draw_multilabel(source: EligibleRows, keys: Keys, shots: int) -> NDArray[np.bool_]:
    """(rows,): whether each row is drawn; rare classes draw first, and each class only what it still lacks."""
    rows, classes = source.members
    drawn = np.zeros(len(source), bool)
    for label in np.argsort(np.bincount(classes), kind="stable"):
        of_class = rows[classes == label]
        lacks = max(0, shots - int(drawn[of_class].sum()))
        left = of_class[~drawn[of_class]]
        drawn[left[np.argsort(keys[left], kind="stable")[:lacks]]] = True
    return drawn


def _check_shots(eligible: EligibleRows, source: EligibleRows, shots: int, purpose: str) -> None:
    counts = np.bincount(source.members[1], minlength=len(eligible.table.classes))
    classes, all_counts = np.unique(eligible.members[1], return_counts=True)
    short = classes[counts[classes] < shots]
    if len(short):
        worst = short[counts[short].argmin()]
        name = eligible.table.classes[worst]
        count = all_counts[classes == worst][0]
        raise TableError(
            f"class {name!r} has {count} images, of which {counts[worst]} are left to {purpose}, fewer than {shots} "
            "shots; ask for fewer with --shots, add images of it or leave the class out"
        )
