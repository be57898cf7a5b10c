"""The command `benchmark`: many targets, many sources, in one folder."""

from contextlib import ExitStack
from pathlib import Path

import click

from featx.cli.documents import DocumentPlan, with_documents, with_overwrite
from featx.cli.options import as_json, examples, with_models
from featx.cli.output import Verbosity, print_json
from featx.cli.types import Devices, Jobs


@click.command(
    epilog=examples(
        "featx benchmark suite.toml --into study",
        "featx benchmark suite.toml --into study --scheduler tcp://head:8786 --json",
    )
)
@click.argument("suite", type=click.Path(path_type=Path), metavar="SUITE.toml")
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder of the run.")
@with_models
@click.option("--device", type=Devices(), help="Where features are computed.  [default: that of the suite]")
@click.option("--jobs", type=Jobs(), metavar="N", help="Processes that train heads.  [default: one per core]")
@click.option("--scheduler", metavar="ADDRESS", help="The Dask cluster whose workers train heads.")
@with_documents
@with_overwrite
@as_json
@click.pass_obj
def benchmark(
    output: Verbosity,
    *,
    suite: Path,
    into: Path,
    models: Path | None,
    device: str | None,
    jobs: int | None,
    scheduler: str | None,
    documents: DocumentPlan,
    overwrite: bool,
    json_: bool,
) -> int:
    """Compare the sources of SUITE.toml on all of its targets.

    A suite names targets, sources and how they are compared. Features that are missing are extracted, every source is
    scored, and every head is trained and measured on every source, target and split. All of it is kept in --into; run
    the same command again to continue after an interruption, or after the suite has changed. What fails for one source
    or target is listed at the end, and the exit code is then 1; the rest goes on.
    """
    from featx.extract import on_cluster
    from featx.report import err, out, print_sections, suite_progress, suite_sections
    from featx.suites import read_suite, run_suite, with_device

    if jobs and scheduler:
        raise click.UsageError("--jobs is for this machine and --scheduler for a cluster; give one of the two.")
    read = with_device(read_suite(suite), device)
    write = documents.reserve(overwrite=overwrite)
    with ExitStack() as held:
        if scheduler:
            jobs = max(2, held.enter_context(on_cluster(scheduler)))  # a single one would run here
        report = held.enter_context(suite_progress(quiet=output.quiet))
        outcome = run_suite(read, into=into, jobs=jobs, models=models, report=report)
    sections = suite_sections(outcome)
    if json_:
        print_json(outcome.to_dict() | documents.to_dict())
    elif not output.quiet:
        print_sections(sections, to=out())
    for failure in outcome.failures:
        err().print(f"featx: {failure}", markup=False)
    write(sections)
    documents.announce(silent=json_ or output.quiet)
    return 1 if outcome.failures else 0
