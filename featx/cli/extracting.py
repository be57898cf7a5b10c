"""The commands `doctor` and `extract`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.options import (
    ShardOptions,
    as_json,
    examples,
    option,
    with_backbone,
    with_label_column,
    with_max_failed,
    with_models,
    with_outputs,
    with_root,
    with_settings_and_views,
    with_shards,
)
from featx.cli.output import Verbosity, judge_failures, print_json, say
from featx.cli.sources import list_given
from featx.provenance import missing_extras, versions
from featx.settings import DEFAULT_STORAGE, STORAGES

if TYPE_CHECKING:
    from featx.backbones import Backbone
    from featx.extract import ExtractionSummary
    from featx.inputs import ImageSet

FAILURES_SHOWN = 20


@click.command(epilog=examples("featx doctor", "featx doctor --json"))
@as_json
def doctor(*, json_: bool) -> None:
    """Show versions, devices and providers, and what is missing.

    Extras that are not installed are listed with what they are for, and the command that installs them.
    """
    from featx.backbones import diagnose

    found = diagnose()
    if json_:
        return print_json({"versions": versions()} | asdict(found) | {"missing_extras": missing_extras()})
    for package, number in versions().items():
        say(f"{package:20} {number}")
    say(f"{'devices':20} {'; '.join(found.devices) or 'none'}")
    say(f"{'providers':20} {', '.join(found.providers) or 'none'} (each opened a session)")
    for extra, how in missing_extras().items():
        say(f"{'extra not installed':20} {extra}, for {how}")
    for problem in found.problems:
        say(f"problem: {problem}")
    return None


@click.command(
    epilog=examples(
        "featx extract photos --backbone efficientnet-lite0 --into photos.h5",
        "featx extract 'shards-*.tar' --backbone efficientnet-lite0 --into big.h5",
        "featx extract photos new/star.png --backbone efficientnet-lite0 --into c.h5",
        "featx extract photos --backbone efficientnet-lite0 --views hflip --into v.h5",
    )
)
@click.argument("images", nargs=-1, required=True)
@with_backbone
@with_outputs
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="C.h5", help="The cache to write.")
@with_root
@with_label_column
@with_models
@with_settings_and_views
@option("--storage", type=click.Choice(STORAGES), default=DEFAULT_STORAGE, help="The type of the stored features.")
@with_shards
@with_max_failed
@click.option("--retry-failed", is_flag=True, help="Try again the images that failed before.")
@click.option("--overwrite", is_flag=True, help="Discard what the cache contains.")
@as_json
@click.pass_obj
def extract(
    output: Verbosity,
    /,
    *,
    images: tuple[str, ...],
    backbone: str,
    outputs: tuple[str, ...],
    root: str | None,
    label_column: str | None,
    models: Path | None,
    spread: ShardOptions,
    max_failed: float,
    json_: bool,
    **how: Any,
) -> int:
    """Extract the features of IMAGES into a cache.

    IMAGES is a folder with one sub-folder per class; a flat folder; a CSV or Parquet manifest with a column `path`, and
    `label`, `split`, `group`, `domain` and `weight` if you have them; tars ('shards-{000..127}.tar'); an .npy or HDF5
    array; Parquet that contains the images; an image file; or several of these. All may be at an address (s3://...).
    Run the same command again to continue after an interruption, or to add what is new or changed.
    """
    from featx.backbones import select_outputs
    from featx.convert import load_backbone
    from featx.report import extraction_progress, extraction_sections, out, print_failures, print_sections

    chosen = select_outputs(load_backbone(backbone, folder=models), outputs)
    found = list_given(images, root, label_column=label_column)
    with extraction_progress(quiet=output.quiet) as report:
        summary = _extract(found, chosen, spread, how | {"report": report, "all_may_fail": max_failed == 1})
    if json_:
        print_json(summary.to_dict())
    elif not output.quiet:
        print_sections(extraction_sections(summary), to=out())
    code = judge_failures(summary.failed, summary.images, max_failed)
    print_failures(summary, most=None if code else FAILURES_SHOWN)
    return code


def _extract(
    images: "ImageSet", backbone: "Backbone", spread: ShardOptions, how: dict[str, Any]
) -> "ExtractionSummary":
    from featx.extract import extract_features, extract_shards

    if spread.shards is None:
        part = images.shard(*spread.shard) if spread.shard else images
        return extract_features(part, backbone, **how)
    jobs = spread.jobs or 1
    return extract_shards(images, backbone, count=spread.shards, jobs=jobs, scheduler=spread.scheduler, **how)
