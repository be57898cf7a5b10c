"""The commands of a saved head: info."""

from dataclasses import asdict
from pathlib import Path

import click

from featx.cli.options import as_json, examples
from featx.cli.output import print_json


@click.group(epilog=examples("featx head info photos.featx", "featx head info photos.featx --json"))
def head() -> None:
    """Show what a saved head consists of."""


@head.command(epilog=examples("featx head info photos.featx", "featx head info photos.featx --json"))
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def info(*, path: Path, json_: bool) -> None:
    """Show the steps, backbones, classes, training images and measures of the saved head PATH."""
    from featx.heads import describe_head
    from featx.report import head_sections, out, print_sections

    about = describe_head(path)
    return print_json(asdict(about)) if json_ else print_sections(head_sections(about), to=out())
