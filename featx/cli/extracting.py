"""The commands up to the cache: doctor, extract, cache."""

from dataclasses import asdict
from pathlib import Path

import click

from featx.cli.options import (
    Output,
    as_json,
    judge_failures,
    list_given,
    print_json,
    with_max_failed,
    with_models,
    with_outputs,
    with_root,
    with_settings,
)
from featx.provenance import versions
from featx.settings import Settings

FAILURES_SHOWN = 20


@click.command()
@as_json
def doctor(*, json_: bool) -> None:
    """Say what featx can run on here, and what is missing."""
    from featx.session import diagnose

    found = diagnose()
    if json_:
        return print_json({"versions": versions()} | asdict(found))
    for package, number in versions().items():
        click.echo(f"{package:16} {number}")
    click.echo(f"{'devices':16} {'; '.join(found.devices) or 'none'}")
    click.echo(f"{'providers':16} {', '.join(found.providers) or 'none'} (each opened a session)")
    for problem in found.problems:
        click.echo(f"problem: {problem}")
    return None


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("--backbone", required=True, metavar="NAME", help="`featx backbones` lists them.")
@with_outputs
@click.option(
    "--into", required=True, type=click.Path(path_type=Path), metavar="C.h5", help="The cache to make or complete."
)
@with_root
@with_models
@with_settings
@with_max_failed
@click.option("--retry-failed", is_flag=True, help="Try images again that failed before.")
@click.option("--overwrite", is_flag=True, help="Give up what the cache holds.")
@as_json
@click.pass_obj
def extract(
    output: Output,
    /,
    *,
    images: Path,
    backbone: str,
    outputs: tuple[str, ...],
    into: Path,
    root: Path | None,
    models: Path | None,
    settings: Settings,
    max_failed: float,
    json_: bool,
    **kept: bool,
) -> int:
    """Extract features of IMAGES into a cache.

    IMAGES is a folder with one sub-folder a class, a flat folder, or a CSV manifest with a column `path` and, where you
    have them, `label`, `split`, `group`, `weight`. The same command goes on where it was interrupted, and computes only
    what is new or changed.
    """
    from featx.backbones import load_backbone
    from featx.console import out, print_extraction, print_failures, progress_bar
    from featx.extract import extract_features
    from featx.register import select_outputs

    chosen = select_outputs(load_backbone(backbone, folder=models), outputs)
    found = list_given(images, root)
    with progress_bar(quiet=output.quiet) as report:
        summary = extract_features(found, chosen, into=into, settings=settings, report=report, **kept)
    if json_:
        print_json(summary.to_dict())
    elif not output.quiet:
        print_extraction(summary, to=out())
    code = judge_failures(summary.failed, summary.images, max_failed)
    print_failures(summary, most=None if code else FAILURES_SHOWN)
    return code


@click.group()
def cache() -> None:
    """Look at a cache, and check it."""


@cache.command()
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def info(*, path: Path, json_: bool) -> None:
    """Say what is in the cache PATH and how it was made."""
    from featx.cache import describe_cache

    about = asdict(describe_cache(path))
    if json_:
        return print_json(about)
    for key, value in about.items():
        lines = value.items() if isinstance(value, dict) else [("", value)]
        for inner, shown in lines:
            click.echo(f"{key + ('.' + inner if inner else ''):36} {shown}")
    return None


@cache.command()
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def verify(*, path: Path, json_: bool) -> int:
    """Check every row of the cache PATH against its checksum."""
    from featx.cache import verify_cache

    problems = verify_cache(path)
    if json_:
        print_json({"cache": str(path), "ok": not problems, "problems": problems})
    else:
        for problem in problems:
            click.echo(f"{path}: {problem}")
        click.echo(f"{path}: {'not whole; the same `featx extract` mends it' if problems else 'whole'}")
    return 1 if problems else 0
