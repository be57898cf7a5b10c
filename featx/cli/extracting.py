"""The commands up to the cache: doctor, extract."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from featx.cli.options import (
    Output,
    Spread,
    as_json,
    judge_failures,
    list_given,
    one_source,
    option,
    print_json,
    with_decode,
    with_max_failed,
    with_models,
    with_outputs,
    with_root,
    with_settings,
    with_shards,
)
from featx.provenance import versions
from featx.settings import (
    DEFAULT_STORAGE,
    STORAGES,
    Settings,
    Storage,
)

FAILURES_SHOWN = 20


@click.command()
@as_json
def doctor(*, json_: bool) -> None:
    """Say what featx can run on here, and what is missing."""
    from featx.backbones import diagnose

    found = diagnose()
    if json_:
        return print_json({"versions": versions()} | asdict(found))
    for package, number in versions().items():
        click.echo(f"{package:20} {number}")
    click.echo(f"{'devices':20} {'; '.join(found.devices) or 'none'}")
    click.echo(f"{'providers':20} {', '.join(found.providers) or 'none'} (each opened a session)")
    for problem in found.problems:
        click.echo(f"problem: {problem}")
    return None


@click.command()
@click.argument("images", nargs=-1, required=True)
@click.option("--backbone", required=True, metavar="NAME", help="`featx backbones` lists them.")
@with_outputs
@click.option(
    "--into", required=True, type=click.Path(path_type=Path), metavar="C.h5", help="The cache to make or complete."
)
@with_root
@with_models
@with_settings
@with_decode
@option("--storage", type=click.Choice(STORAGES), default=DEFAULT_STORAGE, help="The type in which features are kept.")
@with_shards
@with_max_failed
@click.option("--retry-failed", is_flag=True, help="Try images again that failed before.")
@click.option("--overwrite", is_flag=True, help="Give up what the cache holds.")
@as_json
@click.pass_obj
def extract(
    output: Output,
    /,
    *,
    images: tuple[str, ...],
    backbone: str,
    outputs: tuple[str, ...],
    into: Path,
    root: str | None,
    models: Path | None,
    settings: Settings,
    storage: Storage,
    spread: Spread,
    shard: tuple[int, int] | None,
    max_failed: float,
    json_: bool,
    overwrite: bool,
    retry_failed: bool,
) -> int:
    """Extract features of IMAGES into a cache.

    IMAGES is a folder with one sub-folder a class, a flat folder, a CSV or Parquet manifest with a column `path` and,
    where you have them, `label`, `split`, `group`, `weight`; tars ("shards-{000..127}.tar"), an .npy or HDF5 array, or
    Parquet with the images in it; here or at an address (s3://...). The same command goes on where it was interrupted,
    and computes only what is new or changed.
    """
    from featx.backbones import load_backbone
    from featx.convert import select_outputs
    from featx.extract import extract_features, extract_shards
    from featx.report import (
        out,
        print_extraction,
        print_failures,
        progress_bar,
    )

    source = one_source(images)
    chosen = select_outputs(load_backbone(backbone, folder=models), outputs)
    found = list_given(source, root)
    found = found.shard(*shard) if shard else found
    how: dict[str, Any] = {"into": into, "settings": settings, "storage": storage}
    how |= {"overwrite": overwrite, "retry_failed": retry_failed}
    with progress_bar(quiet=output.quiet) as report:
        if spread.shards is None:
            summary = extract_features(found, chosen, report=report, **how)
        else:
            how |= {"count": spread.shards, "jobs": spread.jobs, "scheduler": spread.scheduler}
            summary = extract_shards(found, chosen, report=report, **how)
    if json_:
        print_json(summary.to_dict())
    elif not output.quiet:
        print_extraction(summary, to=out())
    code = judge_failures(summary.failed, summary.images, max_failed)
    print_failures(summary, most=None if code else FAILURES_SHOWN)
    return code
