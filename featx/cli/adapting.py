"""The command `adapt`: a head of one domain made to fit another, and what each way to do so is worth."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.documents import DocumentPlan, with_documents, with_overwrite
from featx.cli.domains import DomainPlan, with_domains
from featx.cli.options import as_json, examples, option, together, with_balanced, with_seed, with_tuning
from featx.cli.output import Verbosity, print_json, say
from featx.cli.tables import TableChoice, with_choice_and_views
from featx.cli.types import ClassShares, Jobs, Name, Names
from featx.settings import FUSION_NAMES, HEAD_NAMES

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.compare import ComparisonProgress
    from featx.transfer import Adaptation


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
        help="The share of each class in the target, if you know it, as in cat=.3,dog=.7, or a CSV file with the "
        "columns class and share, for names with commas.",
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
@with_documents
@with_overwrite
@with_choice_and_views
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
    documents: DocumentPlan,
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
    from featx.report import adaptation_sections, comparison_progress, out, print_sections

    if into is not None:
        plan.check_saved()
    write = documents.reserve(overwrite=overwrite)
    held = nullcontext() if into is None else reserve_head(into, overwrite=overwrite)
    with held as target, comparison_progress(quiet=output.quiet) as report:
        source, wanted = domains.read(caches, choice)
        found = plan.adapt(source, wanted, jobs=jobs, report=report)
        if target is not None and found.head is not None:
            save_head(found.head, target)
    sections = adaptation_sections(found)
    write(sections)
    if json_:
        return print_json(found.to_dict() | {"into": into and str(into)} | documents.to_dict())
    if not output.quiet:
        print_sections(sections, to=out())
        documents.announce(silent=False)
        say(f"{into}: saved" if into else "no head is written; --into H.featx writes one")
    return None
