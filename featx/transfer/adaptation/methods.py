"""The methods of adaptation by name: what each does, and whether it needs labels of the target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featx.errors import ChoiceError, did_you_mean
from featx.estimators import CoralAdapter, DomainStandardiser, TransportAdapter

NONE = "none"
"""The head of the source as it is, against which every method is judged."""
AUTO = "auto"
"""The gate, which decides without labels whether anything is done, then STANDARD."""
STANDARD = "standardise"
WEIGHTS = "weights"
POOLED = "pooled"
BOOSTED = "tradaboost"
TARGET = "target"
"""No adaptation: a head that is trained on the few labels of the target alone, for comparison."""
SELF_TRAINING = "self-training"
PRIOR = "prior"
SUFFIXES = (SELF_TRAINING, PRIOR)
"""What can be added to a method, each after a plus sign."""


@dataclass(frozen=True)
class Recipe:
    """One way to adapt, without suffixes."""

    does: str
    """In a few words, for tables and documentation."""
    adapter: Callable[[Mapping[str, float] | None], Any] | None = None
    """Shares of the target's classes, or None -> unfitted adapter of features; None if features stay as they are."""
    few_labels: bool = False
    """Whether it learns from a few labelled images of the target."""
    suffixes: Sequence[str] = SUFFIXES
    """What can be added to it."""


RECIPES: Mapping[str, Recipe] = {
    NONE: Recipe("the head of the source as it is"),
    STANDARD: Recipe(
        "every column standardised by the statistics of its own domain",
        lambda shares: DomainStandardiser(target_shares=shares),
    ),
    "coral": Recipe("covariance of the source made that of the target", lambda shares: CoralAdapter()),
    "transport": Recipe("source moved onto the target by linear optimal transport", lambda shares: TransportAdapter()),
    WEIGHTS: Recipe("source images weighted by how like the target they are"),
    BOOSTED: Recipe("source images that contradict the few labels lose weight", few_labels=True, suffixes=()),
    POOLED: Recipe("trained on the source and the few labels together", few_labels=True, suffixes=()),
    TARGET: Recipe("trained on the few labels alone", few_labels=True, suffixes=()),
}
"""Every method by its name."""


@dataclass(frozen=True)
class Method:
    """A method with its suffixes, as a user names it."""

    base: str
    self_training: bool = False
    prior: bool = False

    @property
    def name(self) -> str:
        """The name that asks for it, such as `standardise+self-training`."""
        added = [SELF_TRAINING] * self.self_training + [PRIOR] * self.prior
        return "+".join((self.base, *added))

    @property
    def recipe(self) -> Recipe:
        """What it does."""
        return RECIPES[self.base]


def parse_method(name: str) -> Method:
    """The method of this name, which is not `auto`. Raises ChoiceError for an unknown one."""
    base, *added = name.split("+")
    if base == AUTO:
        raise ChoiceError(f"nothing can be added to {AUTO}; name the method that it stands for, {STANDARD}")
    if base not in RECIPES:
        known = (AUTO, "all", *RECIPES)
        raise ChoiceError(
            f"no method of adaptation is called {base!r}{did_you_mean(base, known)}; choose from {', '.join(known)}"
        )
    allowed = RECIPES[base].suffixes
    for suffix in added:
        if suffix not in SUFFIXES:
            raise ChoiceError(
                f"nothing that is called {suffix!r} can be added to a method{did_you_mean(suffix, SUFFIXES)}; add "
                f"+{' or +'.join(SUFFIXES)}, or nothing"
            )
        if suffix not in allowed:
            raise ChoiceError(f"+{suffix} cannot be added to {base}; leave it out")
    return Method(base, SELF_TRAINING in added, PRIOR in added)


def expand_methods(names: Sequence[str], *, shots: int | None) -> tuple[str, ...]:
    """Names of methods in the order in which they are tried, each once, `none` first.

    `all` stands for `auto` and every method without a suffix, and for standardising with self-training; those that
    need labels of the target are among them if there are `shots`, and then `target` always is. Raises ChoiceError for
    an unknown name, and for a method that needs shots if there are none.
    """
    found = [NONE]
    for name in names:
        found += _all_methods(shots) if name == "all" else [AUTO if name == AUTO else parse_method(name).name]
    needing = [name for name in found if name != AUTO and parse_method(name).recipe.few_labels]
    if needing and shots is None:
        raise ChoiceError(f"{needing[0]} learns from labelled images of the target; say with shots how many a class")
    if shots is not None:
        found.append(TARGET)
    return tuple(dict.fromkeys(found))


def _all_methods(shots: int | None) -> list[str]:
    every = [name for name, recipe in RECIPES.items() if shots is not None or not recipe.few_labels]
    place = every.index(STANDARD) + 1
    return [AUTO, *every[:place], f"{STANDARD}+{SELF_TRAINING}", *every[place:]]
