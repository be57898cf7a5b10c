"""So many images a class in; the side of each row out: these train, as many others validate, the rest is tested."""

import numpy as np
from numpy.typing import NDArray

from featx.errors import TableError
from featx.tables.splits.assignment import (
    TEST,
    TRAIN,
    UNUSED,
    VALIDATION,
    official_sides,
)
from featx.tables.splits.eligible import Pool
from featx.tables.splits.sampling import (
    Keys,
    rank_within,
    shuffle_keys,
)

SHOTS = (1, 2, 4, 8, 16, 32, 64)
DRAWS = 5
GROUPS_FOR = (1 / 2, 1 / 4, 1 / 4)
"""Of the groups, how many are for test, validation and training rows to be drawn from."""


def few_shot_sides(pool: Pool, shots: int, *, seed: int) -> NDArray[np.int64]:
    """The side of each row.

    Of one label an image, a draw of more shots trains on the rows of the same seed's draw of fewer, and on others; of
    several, a class may have more rows than shots. Test rows are the image set's own where it has a split, those of
    half the groups where it has groups, else all that were not drawn. Raises TableError where a class has too few
    images.
    """
    sources = _sources(pool, seed)
    keys = shuffle_keys(pool.keys, seed)
    train = _draw(pool, keys, among=sources == TRAIN, shots=shots, purpose="train")
    validation = sources == VALIDATION
    if not validation.any():
        validation = (sources == TRAIN) & ~train
    validation = _draw(pool, keys, among=validation, shots=shots, purpose="validate")
    rest = np.where(sources == TEST, TEST, UNUSED) if np.any(sources == TEST) else np.full(len(pool), TEST)
    return np.select([train, validation], [TRAIN, VALIDATION], rest)


def _sources(pool: Pool, seed: int) -> NDArray[np.int64]:
    """(m,): what each row may serve as. Without validation rows among them, training rows may validate too."""
    if pool.table.splits is None:
        return np.full(len(pool), TRAIN) if pool.units is None else pool.deal(GROUPS_FOR, seed=seed)
    sides = official_sides(pool)
    if pool.units is not None and not np.any(sides == VALIDATION):
        training = sides == TRAIN
        sides[training] = VALIDATION + pool.take(training).deal((1 / 2, 1 / 2), seed=seed)
    return sides


def _draw(pool: Pool, keys: Keys, *, among: NDArray[np.bool_], shots: int, purpose: str) -> NDArray[np.bool_]:
    """(m,): which rows are drawn, the first by their keys, so that there are so many of every class of the pool."""
    source = pool.take(among)
    _check_shots(pool, source, shots, purpose)
    drawn = np.zeros(len(pool), bool)
    drawn[among] = (_draw_several if pool.table.multilabel else _draw_single)(source, keys[among], shots)
    return drawn


def _draw_single(source: Pool, keys: Keys, shots: int) -> NDArray[np.bool_]:
    return rank_within(source.strata, keys)[0] < shots


def _draw_several(source: Pool, keys: Keys, shots: int) -> NDArray[np.bool_]:
    """Rare classes first, and no more of a class than it lacks once these are drawn."""
    rows, classes = source.members
    drawn = np.zeros(len(source), bool)
    for label in np.argsort(np.bincount(classes), kind="stable"):
        of_class = rows[classes == label]
        lacks = max(0, shots - int(drawn[of_class].sum()))
        left = of_class[~drawn[of_class]]
        drawn[left[np.argsort(keys[left], kind="stable")[:lacks]]] = True
    return drawn


def _check_shots(pool: Pool, source: Pool, shots: int, purpose: str) -> None:
    counts = np.bincount(source.members[1], minlength=len(pool.table.classes))
    classes, all_counts = np.unique(pool.members[1], return_counts=True)
    short = classes[counts[classes] < shots]
    if len(short):
        worst = short[counts[short].argmin()]
        name, count = pool.table.classes[worst], all_counts[classes == worst][0]
        raise TableError(
            f"class {name!r} has {count} images, of which {counts[worst]} are left to {purpose}, fewer than {shots} "
            "shots; ask for fewer with --shots, add images of it or leave the class out"
        )
