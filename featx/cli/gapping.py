"""The command `gap`: what lies between two domains, without any label of the target."""

from pathlib import Path

import click

from featx.cli.documents import DocumentPlan, with_documents, with_overwrite
from featx.cli.domains import DomainPlan, with_domains
from featx.cli.options import as_json, examples, with_seed
from featx.cli.output import Verbosity, print_json
from featx.cli.tables import TableChoice, with_choice_and_views


@click.command(epilog=examples("featx gap mono.h5 --to poly.h5", "featx gap cells.h5 --to-domain poly --json"))
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_domains
@with_choice_and_views
@with_seed
@with_documents
@with_overwrite
@as_json
@click.pass_obj
def gap(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    domains: DomainPlan,
    choice: TableChoice,
    seed: int,
    documents: DocumentPlan,
    overwrite: bool,
    json_: bool,
) -> None:
    """Say what lies between two domains: nothing, label shift or domain shift.

    A classifier tries to tell the images of the source, in CACHES, from those of the target, plainly and with classes
    weighted to the shares that they seem to have in the target. The verdict is domain shift, where adapting is advised;
    label shift, where classes only have other shares, and adapting features would harm; same; or undecided, with too
    few images. Labels of the target are never read.
    """
    from featx.report import gap_sections, out, print_sections
    from featx.transfer import measure_gap

    write = documents.reserve(overwrite=overwrite)
    source, target = domains.read(caches, choice)
    found = measure_gap(source, target, seed=seed)
    sections = gap_sections(found)
    write(sections)
    if json_:
        print_json({"gap": found.to_dict()} | documents.to_dict())
    elif not output.quiet:
        print_sections(sections, to=out())
    documents.announce(silent=json_ or output.quiet)
