"""The command `gain`: what transfer is worth against baselines, and where it harms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.documents import DocumentPlan, with_documents, with_overwrite
from featx.cli.options import as_json, examples, option, together, with_balanced, with_seed, with_tuning
from featx.cli.output import Verbosity, print_json
from featx.cli.tables import TableChoice, read_chosen, with_choice_and_views
from featx.cli.types import Jobs, Names, Shots
from featx.settings import HEAD_NAMES

if TYPE_CHECKING:
    from featx.compare import ComparisonProgress
    from featx.transfer import Gain


@dataclass(frozen=True)
class GainPlan:
    """What is trained, and what it is compared with."""

    to: tuple[Path, ...]
    against: tuple[str, ...] | None
    heads: tuple[str, ...]
    shots: tuple[int, ...]
    repeats: int
    tuning: str
    balanced: bool
    seed: int

    def measure(
        self,
        caches: Sequence[Path],
        choice: TableChoice,
        *,
        into: Path | None,
        jobs: int | None,
        report: "Callable[[ComparisonProgress], None]",
    ) -> "Gain":
        """The gain of the sources in these caches. Raises what featx.measure_gain raises."""
        from featx.heads import HEADS
        from featx.transfer import measure_gain

        return measure_gain(
            read_chosen(caches, choice),
            to=read_chosen(self.to, choice) if self.to else None,
            against=self.against or (),
            heads=tuple(HEADS) if self.heads == ("all",) else self.heads,
            shots=self.shots,
            repeats=self.repeats,
            balanced=self.balanced,
            tuning=self.tuning,
            seed=self.seed,
            jobs=jobs,
            into=into,
            report=report,
        )


with_gain_plan = together(
    GainPlan,
    "plan",
    click.option(
        "--to",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="TARGET.h5",
        help="Test on this other domain, and train on CACHES. Repeat it for several backbones.",
    ),
    click.option(
        "--against",
        type=Names(),
        help="Baselines beside the majority class: backbones, or backbone:output; majority for none; with --to, target "
        "for heads on all its labels.  [default: caches of backbones that are baselines, such as raw-pixels]",
    ),
    option("--heads", type=Names(), default="logreg", help=f"Heads: {', '.join(HEAD_NAMES)}; or all."),
    option(
        "--shots",
        type=Shots(),
        default="1,2,4,8,16,32,64",
        help="Training images of each class, besides all; all for nothing else.",
    ),
    option("--repeats", type=click.IntRange(1), metavar="N", default=5, help="Draws of training images for each."),
    with_tuning,
    with_balanced,
    with_seed,
)


@click.command(
    epilog=examples(
        "featx gain photos.h5 pixels.h5",
        "featx gain lite0.h5 lite1.h5 pixels.h5 --shots 1,4,16 --into gain.jsonl",
        "featx gain mono.h5 --to poly.h5",
    )
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_gain_plan
@with_choice_and_views
@click.option(
    "--into", type=click.Path(path_type=Path), metavar="R.jsonl", help="Write results here, and continue from them."
)
@click.option("--jobs", type=Jobs(), metavar="N", help="Processes that share the work.  [default: one per core]")
@with_documents
@with_overwrite
@as_json
@click.pass_obj
def gain(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    plan: GainPlan,
    choice: TableChoice,
    into: Path | None,
    jobs: int | None,
    documents: DocumentPlan,
    overwrite: bool,
    json_: bool,
) -> int:
    """Measure what transfer is worth, and name where it harms.

    Heads are trained on each output in CACHES alone, with few labels and with all, and compared with the best baseline
    on the same test images. Each row ends in a verdict: helps, harms or undecided. Classes and groups that are harmed
    are listed one by one. With --to, heads of one domain are tested on another, against what its own labels give. Each
    result becomes a line of --into; run the same command again to continue. If candidates fail, the exit code is 1.
    """
    from featx.report import comparison_progress, err, gain_sections, out, print_sections

    write = documents.reserve(overwrite=overwrite)
    with comparison_progress(quiet=output.quiet) as report:
        found = plan.measure(caches, choice, into=into, jobs=jobs, report=report)
    sections = gain_sections(found)
    if json_:
        print_json(found.to_dict() | {"into": into and str(into)} | documents.to_dict())
    elif not output.quiet:
        print_sections(sections, to=out())
    for failure in found.failures:
        err().print(f"featx: no result of {failure.candidate}: {failure.reason}", markup=False)
    write(sections)
    documents.announce(silent=json_ or output.quiet)
    return 1 if found.failures else 0
