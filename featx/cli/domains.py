"""The options that say which images are the source, and which the target: two caches, or domains of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import together
from featx.cli.tables import TableChoice, read_chosen
from featx.cli.types import Names

if TYPE_CHECKING:
    from featx.cache import FeatureTable


@dataclass(frozen=True)
class DomainPlan:
    """Which images are the source, and which the target."""

    to: tuple[Path, ...]
    to_domain: tuple[str, ...] | None
    from_domain: tuple[str, ...] | None

    def __post_init__(self) -> None:
        """Raise click's UsageError unless the target is said in one way."""
        if bool(self.to) == bool(self.to_domain):
            raise click.UsageError(
                "Say what the target is: --to TARGET.h5, or --to-domain NAME if the caches have a column 'domain'."
            )
        if self.from_domain and not self.to_domain:
            raise click.UsageError("--from-domain chooses among the domains of one cache: give --to-domain too.")

    def read(self, caches: Sequence[Path], choice: TableChoice) -> "tuple[list[FeatureTable], list[FeatureTable]]":
        """The tables of the source and of the target. Raises CacheError, TableError."""
        given = read_chosen(caches, choice)
        if self.to_domain is None:
            return given, read_chosen(self.to, choice)
        return divide_by_domain(given, to=self.to_domain, of=self.from_domain)


def divide_by_domain(
    tables: "Sequence[FeatureTable]", *, to: Sequence[str], of: Sequence[str] | None
) -> "tuple[list[FeatureTable], list[FeatureTable]]":
    """Each table with the images of the source, and with those of the target; the source is all other domains.

    Raises TableError for a domain that a table lacks, for one that is both, and if no other domain is left.
    """
    from featx.errors import TableError
    from featx.tables import list_domains, select_domains

    if both := sorted(set(to) & set(of or ())):
        raise TableError(f"domain {both[0]!r} is both source and target; name different domains")
    targets = [select_domains(table, to) for table in tables]
    sources = []
    for table in tables:
        others = of or [name for name in list_domains(table) if name not in to]
        if not others:
            raise TableError(f"all images are of the target, {', '.join(to)}; a source needs another domain")
        sources.append(select_domains(table, others))
    return sources, targets


with_domains = together(
    DomainPlan,
    "domains",
    click.option(
        "--to",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="TARGET.h5",
        help="The target, of the same backbones. Repeat it for several caches.",
    ),
    click.option(
        "--to-domain", type=Names(), help="The target is these domains of CACHES, which have a column 'domain'."
    ),
    click.option(
        "--from-domain", type=Names(), help="With --to-domain: the source is these domains.  [default: all others]"
    ),
)
