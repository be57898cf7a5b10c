"""Decides whether the parameters of a head are chosen on validation rows or in folds, and says why."""

from contextlib import suppress
from dataclasses import dataclass

from featx.cache import FeatureTable
from featx.errors import HeadError, TableError
from featx.heads.fusions import FUSIONS
from featx.heads.recipes import find_recipe
from featx.tables import Split, tuning_folds

AUTO = "auto"
VALIDATION = "validation"
IN_FOLDS = "folds:"
MOST_FOLDS = 5
FEWEST_FOLDS = 3
"""With fewer, every fit of tuning would have much fewer images than the final one."""
FEW_IMAGES = 2000
"""Number of images to learn from up to which folds choose better parameters than a single fifth does."""


@dataclass(frozen=True)
class Tuning:
    """How parameters are chosen, and why so."""

    folds: int | None
    """Number of folds of cross-validation; None to choose on the validation rows of the split."""
    reason: str

    @property
    def name(self) -> str:
        """The value of `--tuning` that asks for it."""
        return f"{IN_FOLDS}{self.folds}" if self.folds else VALIDATION


def parse_tuning(tuning: str) -> str:
    """The tuning, unchanged. Raises HeadError unless it is `auto`, `validation`, or `folds:K` with K of 2 or more."""
    folds = tuning.removeprefix(IN_FOLDS)
    in_folds = tuning.startswith(IN_FOLDS) and folds.isdecimal() and folds.isascii() and int(folds) >= 2
    if in_folds or tuning in (AUTO, VALIDATION):
        return tuning
    raise HeadError(f"tuning {tuning!r} is unknown; choose auto, validation, or folds:K with 2 folds or more")


def join_tuning(tuning: str, folds: int | None) -> str:
    """The one tuning that both parameters ask for. Raises HeadError if they ask for different ones."""
    if folds is None:
        return tuning
    if tuning not in (AUTO, f"{IN_FOLDS}{folds}"):
        raise HeadError(f"tuning {tuning!r} and {folds} folds were both asked for; leave one of them out")
    return f"{IN_FOLDS}{folds}"


def choose_tuning(
    table: FeatureTable, split: Split, *, head: str, fusion: str = "", tuning: str = AUTO, seed: int = 0
) -> Tuning:
    """How this head is tuned on this split: as asked for; for `auto` by the kind of split and its number of images.

    Raises HeadError for an unknown head or tuning.
    """
    recipe = find_recipe(head)
    if parse_tuning(tuning) != AUTO:
        asked = tuning.removeprefix(IN_FOLDS)
        return Tuning(None if tuning == VALIDATION else int(asked), "as asked for")
    if not split.refit:
        return Tuning(None, "as in all few-shot splits")
    if not split.validation_drawn:
        return Tuning(None, "which were given")
    joining = FUSIONS.get(fusion or recipe.fusion)
    needs_folds = joining is not None and joining.needs_folds
    if len(split.development) > FEW_IMAGES and not needs_folds:
        return Tuning(None, f"because there are more than {FEW_IMAGES:,} images to learn from")
    folds = _most_folds(table, split, seed=seed)
    if folds is None:
        return Tuning(None, f"because a class has too few images, or groups, for {FEWEST_FOLDS} folds")
    few = f"because there are at most {FEW_IMAGES:,} and no validation images were given"
    return Tuning(folds, "as for all heads with PCA" if needs_folds else few)


def _most_folds(table: FeatureTable, split: Split, *, seed: int) -> int | None:
    """The largest usual number of folds of which each has every class; None if there is none."""
    for folds in range(MOST_FOLDS, FEWEST_FOLDS - 1, -1):
        with suppress(TableError):
            tuning_folds(table, split, folds=folds, seed=seed)
            return folds
    return None
