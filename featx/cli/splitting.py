"""Options that say which images are held out, for one head or by which domains."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from featx.cli.options import chain, option, together
from featx.cli.types import Names

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.tables import Split

SOURCE_TARGET = "source-target"
HELD_OUT = ("auto", "official", "stratified", "grouped", "blocks", SOURCE_TARGET)
"""The split rules that give a single split."""


def check_domains(
    sources: Collection[str] | None, target: str | None, *, rules: Collection[str], given_by: str
) -> None:
    """Raise click's UsageError for domains that none of the split rules has a use for."""
    option = "--from-domain" if sources else "--to-domain" if target else ""
    if option and SOURCE_TARGET not in rules:
        raise click.UsageError(
            f"{option} is for {SOURCE_TARGET} splits, but {given_by} is {','.join(rules)}; ask for {SOURCE_TARGET}."
        )


with_domains = chain(
    click.option(
        "--from-domain",
        "source_domains",
        type=Names(),
        help="Domains that train in source-target splits.  [default: all others]",
    ),
    click.option("--to-domain", "target_domain", metavar="NAME", help="Domain that source-target splits test."),
)


@dataclass(frozen=True)
class HeldOut:
    """Which images one head is tested on."""

    hold_out: str
    source_domains: tuple[str, ...] | None
    target_domain: str | None

    def __post_init__(self) -> None:
        """Raise click's UsageError for domains without a use, and for a split by domains without a target."""
        check_domains(self.source_domains, self.target_domain, rules=(self.hold_out,), given_by="--hold-out")
        if self.hold_out == SOURCE_TARGET and not self.target_domain:
            raise click.UsageError(f"--hold-out {SOURCE_TARGET} tests one domain; name it with --to-domain.")

    def split(self, table: "FeatureTable", *, seed: int) -> "Split":
        """The split of this table. Raises TableError if it is impossible."""
        from featx.tables import make_splits

        domains = self.source_domains or ()
        return make_splits(table, self.hold_out, seed=seed, source_domains=domains, target_domain=self.target_domain)[0]


with_held_out = together(
    HeldOut,
    "held_out",
    option("--hold-out", type=click.Choice(HELD_OUT), default="auto", help="How the test images are chosen."),
    with_domains,
)
