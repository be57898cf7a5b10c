"""Split rules that test heads on a domain that they were not trained on, with whole groups across domains."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.columns import take
from featx.errors import TableError, did_you_mean
from featx.tables.rows import list_domains
from featx.tables.splits.assignment import (
    TEST,
    TEST_SHARE,
    TRAIN,
    UNUSED,
    build_split,
    hold_out_validation,
)
from featx.tables.splits.eligible import EligibleRows
from featx.tables.splits.sampling import Integers
from featx.tables.splits.split import LEAVE_ONE_DOMAIN_OUT, SOURCE_TARGET, RowIndices, Split

TARGET_SHARE = 1 / 2
"""Share of a target domain that is tested; adaptation may see the rest."""

Flags = NDArray[np.bool_]
Domains = NDArray[np.bytes_]


def leave_domains_out(eligible: EligibleRows, *, seed: int) -> Iterator[Split]:
    """Yields one split for each domain, which is tested by heads that other domains train.

    Raises TableError if there are not two domains, or if a class cannot be trained, or validated, without a domain.
    """
    domains = _domains_of(eligible)
    for name in _names(domains):
        yield _leave_out(eligible, domains == name.encode(), name, seed)


def _leave_out(eligible: EligibleRows, inside: Flags, name: str, seed: int) -> Split:
    shared = _share_units(eligible, inside)
    divided = np.zeros(len(eligible), bool)
    if shared.any():
        divided[shared] = eligible.take(shared).assign((TEST_SHARE, 1 - TEST_SHARE), seed=seed) == 0
    test = inside & (divided | ~shared)
    parts = np.select([test, ~inside & ~divided], [TEST, TRAIN], UNUSED)
    rule = f"domain {name!r} held out, seed {seed}"
    if shared.any():
        assert eligible.units is not None
        count = len(np.unique(eligible.units[shared]))
        rule += f" (of the {count} groups that other domains have too, a quarter is tested and never trained on)"
    return _build(eligible, parts, rule, key=f"{LEAVE_ONE_DOMAIN_OUT}/{seed}.{name}", seed=seed, without=name)


def split_source_and_target(
    eligible: EligibleRows, *, sources: Sequence[str], target: str | None, seed: int
) -> Iterator[Split]:
    """Yields splits that train on source domains and test half of a target domain.

    If neither is named, each of two domains is the target once. Raises TableError if a name is unknown, or needed.
    """
    domains = _domains_of(eligible)
    for trained, tested in _list_pairs(_names(domains), sources, target):
        yield _split_pair(eligible, domains, sources=trained, target=tested, seed=seed)


def _list_pairs(names: Sequence[str], sources: Sequence[str], target: str | None) -> list[tuple[tuple[str, ...], str]]:
    """The source domains and the target domain of each split."""
    for name in (*sources, *([] if target is None else [target])):
        if name not in names:
            hint = did_you_mean(name, names)
            raise TableError(f"no domain {name!r} has labels{hint}; choose from {', '.join(names)}")
    if target is not None and target in sources:
        raise TableError(f"domain {target!r} is both source and target; name different domains")
    targets = [name for name in names if name not in sources] if target is None else [target]
    if target is None and not targets:
        raise TableError("all domains are named as sources; leave one of them out, which is the target then")
    if target is None and len(targets) > 1 and len(names) > 2:
        raise TableError(
            f"the target may be any of the domains {', '.join(targets)}; name it as target domain (--to-domain), or "
            f"choose {LEAVE_ONE_DOMAIN_OUT}, which tests each domain"
        )
    return [(tuple(sources) or tuple(name for name in names if name != one), one) for one in targets]


def _split_pair(eligible: EligibleRows, domains: Domains, *, sources: Sequence[str], target: str, seed: int) -> Split:
    inside = domains == target.encode()
    test = np.zeros(len(eligible), bool)
    test[inside] = eligible.take(inside).assign((TARGET_SHARE, 1 - TARGET_SHARE), seed=seed) == 0
    source = np.isin(domains, [name.encode() for name in sources]) & ~_have_units_of(eligible, test)
    parts = np.select([test, source], [TEST, TRAIN], UNUSED)
    adaptation = _find_unseen(eligible, target, eligible.rows[test])
    rule = (
        f"{' + '.join(sources)} to {target}: half of {target} tested, seed {seed}; adaptation may see its "
        f"{len(adaptation)} other images without labels (inductive)"
    )
    key = f"{SOURCE_TARGET}/{seed}.{'+'.join(sources)}>{target}"
    return _build(eligible, parts, rule, key=key, seed=seed, without=target, adaptation=adaptation)


def _build(
    eligible: EligibleRows,
    parts: Integers,
    rule: str,
    *,
    key: str,
    seed: int,
    without: str,
    adaptation: RowIndices | None = None,
) -> Split:
    training = eligible.take(parts == TRAIN)
    training.check_enough(2, "to train and validate", where=f" outside of domain {without!r}")
    parts = hold_out_validation(eligible, parts, seed=seed)
    about: dict[str, Any] = {"key": key, "validation_drawn": True, "adaptation": adaptation}
    return build_split(eligible, parts, rule, everywhere=False, **about)


def _find_unseen(eligible: EligibleRows, target: str, test: RowIndices) -> RowIndices:
    """The rows of the target, labelled or not, that are not tested and whose group is not tested."""
    table = eligible.table
    assert table.domains is not None
    free = table.domains == target.encode()
    if table.weights is not None:
        free &= table.weights > 0
    free[test] = False
    groups = take(table.groups, test)
    if groups is not None and table.groups is not None:
        free &= ~np.isin(table.groups, groups)
    return np.flatnonzero(free)


def _domains_of(eligible: EligibleRows) -> Domains:
    """(m,): the domain of each row. Raises TableError if there are none, or only one, or if a row has none."""
    table = eligible.table
    if table.domains is None:
        raise TableError("the images have no domains; give a manifest or --annotations a column 'domain'")
    domains: Domains = table.domains[eligible.rows]
    if len(blank := np.flatnonzero(domains == b"")):
        name = table.name(int(eligible.rows[blank[0]]))
        raise TableError(f"image {name} has no domain (one of {len(blank)}); name a domain for every image")
    if len(names := _names(domains)) < 2:
        others = sorted(set(list_domains(table)) - set(names))
        unlabelled = f" (no image of {', '.join(others)} has a label)" if others else ""
        raise TableError(
            f"all labelled images are of the domain {names[0]!r}{unlabelled}; a split by domains needs two or more, so "
            "choose another rule"
        )
    return domains


def _names(domains: Domains) -> list[str]:
    return [name.decode() for name in np.unique(domains).tolist()]


def _share_units(eligible: EligibleRows, inside: Flags) -> Flags:
    """(m,): whether the group of each row has images inside and outside of a domain."""
    return _have_units_of(eligible, inside) & _have_units_of(eligible, ~inside)


def _have_units_of(eligible: EligibleRows, rows: Flags) -> Flags:
    """(m,): whether the group of each row is one of those of these rows; none if there are no groups."""
    if eligible.units is None:
        return np.zeros(len(eligible), bool)
    return np.isin(eligible.units, eligible.units[rows])
