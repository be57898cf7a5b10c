"""The command `adapt`: a head of one domain made to fit another, and what each way to do so is worth."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.options import as_json, examples, option, together, with_balanced, with_seed, with_tuning
from featx.cli.output import Verbosity, print_json, say
from featx.cli.tables import TableChoice, read_chosen, with_choice
from featx.cli.types import ClassShares, Jobs, Name, Names
from featx.settings import FUSION_NAMES, HEAD_NAMES

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.compare import ComparisonProgress
    from featx.transfer import Adaptation


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
    sources = []
    for table in tables:
        others = of or [name for name in list_domains(table) if name not in to]
        if not others:
            raise TableError(f"all images are of the target, {', '.join(to)}; a source needs another domain")
        sources.append(select_domains(table, others))
    return sources, [select_domains(table, to) for table in tables]


@dataclass(frozen=True)
class AdaptationPlan:
    """What is tried."""

    methods: tuple[str, ...]
    head: str
    fusion: str
    target_shares: dict[str, float] | None
    shots: int | None
    transductive: bool
    save: str | None
    tuning: str
    balanced: bool
    seed: int

    def check_saved(self) -> None:
        """Raise click's UsageError unless it is clear which method's head is written."""
        if self.save is None and "auto" not in self.methods and len(self.methods) > 1 and "all" not in self.methods:
            raise click.UsageError("Of several methods one head is written; say with --save which: --save METHOD.")

    def adapt(
        self,
        source: "Sequence[FeatureTable]",
        target: "Sequence[FeatureTable]",
        *,
        jobs: int | None,
        report: "Callable[[ComparisonProgress], None]",
    ) -> "Adaptation":
        """What each method makes of source and target. Raises what featx.adapt_head raises."""
        from featx.transfer import adapt_head

        how: dict[str, Any] = dict(vars(self))
        return adapt_head(source, target, jobs=jobs, report=report, **how)


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

with_adaptation_plan = together(
    AdaptationPlan,
    "plan",
    option(
        "--methods",
        type=Names(),
        default="auto",
        help="auto (nothing, unless the gap is a domain shift; then standardise), all, or any of none, standardise, "
        "coral, transport, weights, and with --shots tradaboost and pooled; most also with +self-training or +prior.",
    ),
    option("--head", default="logreg", type=Name(HEAD_NAMES), help=f"The head: {', '.join(HEAD_NAMES)}."),
    click.option(
        "--fusion",
        default="",
        type=Name(FUSION_NAMES),
        help=f"How caches and outputs are joined: {', '.join(FUSION_NAMES)}.",
    ),
    click.option(
        "--target-shares",
        type=ClassShares(),
        help="The share of each class in the target, if you know it, as in cat=.3,dog=.7.",
    ),
    click.option(
        "--shots",
        type=click.IntRange(1),
        metavar="N",
        help="Let methods that need labels of the target use N images of each class, and compare with these alone.",
    ),
    click.option("--transductive", is_flag=True, help="Adapt to the test images themselves, without their labels."),
    click.option(
        "--save", metavar="METHOD", help="The method whose head is written.  [default: auto, or the only one]"
    ),
    with_tuning,
    with_balanced,
    with_seed,
)


@click.command(
    epilog=examples(
        "featx adapt mono.h5 --to poly.h5 --into poly.featx",
        "featx adapt mono.h5 --to poly.h5 --methods all --save coral --into to.featx",
        "featx adapt cells.h5 --to-domain poly --target-shares intact=.7,broken=.3",
    )
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_domains
@with_adaptation_plan
@click.option("--into", type=click.Path(path_type=Path), metavar="H.featx", help="The head to write.")
@click.option("--overwrite", is_flag=True, help="Replace the head if it exists.")
@with_choice
@click.option("--jobs", type=Jobs(), metavar="N", help="Processes that tune at the same time.  [default: one per core]")
@as_json
@click.pass_obj
def adapt(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    domains: DomainPlan,
    plan: AdaptationPlan,
    into: Path | None,
    overwrite: bool,
    choice: TableChoice,
    jobs: int | None,
    json_: bool,
) -> None:
    """Make a head of one domain fit another, of which no labels are needed, and say whether that helps.

    The head learns from the labels of CACHES, the source. Methods see images of the target without their labels, and
    are measured on its other images, if it has labels. auto adapts only where the gap between the domains is a domain
    shift. Each other method is judged against none, the head as it is: helps, harms or undecided. The written head
    predicts images of the target.
    """
    from featx.heads import reserve_head, save_head
    from featx.report import comparison_progress, out, print_adaptation

    if into is not None:
        plan.check_saved()
    held = nullcontext() if into is None else reserve_head(into, overwrite=overwrite)
    with held as target, comparison_progress(quiet=output.quiet) as report:
        source, wanted = domains.read(caches, choice)
        found = plan.adapt(source, wanted, jobs=jobs, report=report)
        if target is not None and found.head is not None:
            save_head(found.head, target)
    if json_:
        return print_json(found.to_dict() | {"into": into and str(into)})
    if not output.quiet:
        print_adaptation(found, to=out())
        say(f"{into}: saved" if into else "no head is written; --into H.featx writes one")
    return None
