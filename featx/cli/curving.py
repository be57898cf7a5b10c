"""The command `curve`: accuracy against the number of training images, and what labels are worth."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.documents import DocumentPlan, with_documents, with_overwrite
from featx.cli.options import as_json, examples, option, together, with_balanced, with_seed, with_tuning
from featx.cli.output import Verbosity, print_json
from featx.cli.tables import TableChoice, read_chosen, with_choice_and_views
from featx.cli.types import Jobs, Names, WholeNumbers
from featx.settings import HEAD_NAMES

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.compare import ComparisonProgress
    from featx.transfer import LearningCurve


@dataclass(frozen=True)
class CurvePlan:
    """Which curves are traced, and what is read off them."""

    heads: tuple[str, ...]
    target: float | None
    against: str | None
    shots: tuple[int, ...]
    repeats: int
    tuning: str
    balanced: bool
    seed: int
    into: Path | None
    jobs: int | None

    def trace(
        self, tables: "Sequence[FeatureTable]", *, report: "Callable[[ComparisonProgress], None]"
    ) -> "LearningCurve":
        """The curves of these tables. Raises what featx.trace_curve raises."""
        from featx.heads import HEADS
        from featx.transfer import trace_curve

        heads = tuple(HEADS) if self.heads == ("all",) else self.heads
        return trace_curve(tables, report=report, **asdict(self) | {"heads": heads})


with_plan = together(
    CurvePlan,
    "plan",
    option("--heads", type=Names(), default="logreg", help=f"Heads: {', '.join(HEAD_NAMES)}; or all."),
    click.option(
        "--target",
        type=click.FloatRange(0, 1, min_open=True),
        metavar="SHARE",
        help="Also say how many labels are needed to reach this, such as 0.9.",
    ),
    click.option(
        "--against",
        metavar="NAME",
        help="The backbone that labels are saved against.  [default: those that are baselines, such as raw-pixels]",
    ),
    option(
        "--shots",
        type=WholeNumbers(),
        default="1,2,4,8,16,32,64",
        help="Training images of each class, for each point.",
    ),
    option(
        "--repeats", type=click.IntRange(1), metavar="N", default=5, help="Draws of training images for each point."
    ),
    with_tuning,
    with_balanced,
    with_seed,
    click.option(
        "--into", type=click.Path(path_type=Path), metavar="R.jsonl", help="Write results here, and continue from them."
    ),
    click.option("--jobs", type=Jobs(), metavar="N", help="Processes that share the work.  [default: one per core]"),
)


@click.command(
    epilog=examples(
        "featx curve photos.h5 pixels.h5 --target 0.9 --into curve.jsonl",
        "featx curve lite0.h5 lite1.h5 --shots 1,4,16 --figure curve.svg",
    )
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_plan
@with_choice_and_views
@with_documents
@with_overwrite
@as_json
@click.pass_obj
def curve(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    plan: CurvePlan,
    choice: TableChoice,
    documents: DocumentPlan,
    overwrite: bool,
    json_: bool,
) -> int:
    """Trace how accuracy grows with the number of training images.

    Every head is trained on few images of each class, on each output in CACHES alone, always with the same draws.
    Intervals are over draws and over images like those tested. With --target, the command says how many labels are
    needed; next to a baseline, how many labels each source saves. Each result becomes a line of --into as soon as it is
    computed; run the same command again to continue. If candidates fail, the exit code is 1.
    """
    from featx.report import comparison_progress, curve_sections, err, out, print_sections

    write = documents.reserve(overwrite=overwrite)
    tables = read_chosen(caches, choice)
    with comparison_progress(quiet=output.quiet) as report:
        found = plan.trace(tables, report=report)
    sections = curve_sections(found)
    if json_:
        print_json(found.to_dict() | {"into": plan.into and str(plan.into)} | documents.to_dict())
    elif not output.quiet:
        print_sections(sections, to=out())
    for failure in found.failures:
        err().print(f"featx: no result of {failure.candidate}: {failure.reason}", markup=False)
    write(sections)
    documents.announce(silent=json_ or output.quiet)
    return 1 if found.failures else 0
