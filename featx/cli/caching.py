"""The commands of a cache file: info, failures, verify, merge and export."""

from dataclasses import asdict
from pathlib import Path

import click

from featx.cli.options import as_json, examples, with_chosen_rows
from featx.cli.output import Verbosity, print_json, print_row, say
from featx.settings import EXPORTED_VIEWS, ExportedViews


@click.group(epilog=examples("featx cache info photos.h5", "featx cache export photos.h5 --into features.npy"))
def cache() -> None:
    """Show, check, merge or export caches, or list the images that failed."""


@cache.command(epilog=examples("featx cache info photos.h5", "featx cache info photos.h5 --json"))
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def info(*, path: Path, json_: bool) -> None:
    """Show what the cache PATH contains and how it was extracted."""
    from featx.cache import describe_cache
    from featx.report import info_sections, out, print_sections

    about = describe_cache(path)
    return print_json(asdict(about)) if json_ else print_sections(info_sections(about), to=out())


@cache.command(epilog=examples("featx cache failures photos.h5 > failed.csv", "featx cache failures photos.h5 --json"))
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def failures(*, path: Path, json_: bool) -> None:
    """List the images of the cache PATH that failed, and why, as CSV: name, reason.

    `featx extract --retry-failed` tries them again.
    """
    from featx.cache import describe_cache

    failed = describe_cache(path).failed_images
    if json_:
        return print_json([asdict(image) for image in failed])
    print_row(("name", "reason"))
    for image in failed:
        print_row((image.name, image.reason))
    return None


@cache.command("verify", epilog=examples("featx cache verify photos.h5", "featx cache verify photos.h5 --json"))
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def verify_rows(*, path: Path, json_: bool) -> int:
    """Check every row of the cache PATH against its checksum.

    The exit code is 1 if a row is damaged; the same `featx extract` then repairs the cache.
    """
    from featx.cache import verify_cache

    problems = verify_cache(path)
    if json_:
        print_json({"cache": str(path), "ok": not problems, "problems": problems})
    else:
        for problem in problems:
            say(f"{path}: {problem}")
        say(f"{path}: {'damaged; the same `featx extract` repairs it' if problems else 'whole'}")
    return 1 if problems else 0


@cache.command(
    epilog=examples(
        "featx cache merge shard-0.h5 shard-1.h5 --into whole.h5",
        "featx cache merge day1.h5 day2.h5 --into days.h5 --overwrite",
    )
)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="C.h5", help="The cache to write.")
@click.option("--overwrite", is_flag=True, help="Replace the cache if it exists.")
@as_json
@click.pass_obj
def merge(output: Verbosity, *, sources: tuple[Path, ...], into: Path, overwrite: bool, json_: bool) -> None:
    """Join the caches SOURCES into one, in this order.

    They are the shards of one image set, or caches of image sets that have no image in common.
    """
    from featx.cache import DONE, merge_caches

    status = merge_caches(sources, into=into, overwrite=overwrite).status
    done = int((status == DONE).sum())
    if json_:
        found = {"rows": len(status), "done": done, "failed": len(status) - done}
        print_json({"cache": str(into), "sources": [str(path) for path in sources]} | found)
    elif not output.quiet:
        say(f"{into}: {len(status)} images of {len(sources)} caches, {len(status) - done} of them failed")


@cache.command(
    "export",
    epilog=examples(
        "featx cache export photos.h5 --into features.npy",
        "featx cache export photos.h5 --into stars.parquet --label star",
        "featx cache export views.h5 --into means.npy --views mean",
    ),
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="FILE", help="X.npy or X.parquet.")
@click.option("--output", "outputs", multiple=True, metavar="TENSOR", help="Only this output. Repeat it for several.")
@with_chosen_rows
@click.option(
    "--views",
    type=click.Choice(EXPORTED_VIEWS),
    default="first",
    show_default=True,
    help="Of a cache with several views: view 0 alone, their mean feature, or the features of each.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
@as_json
@click.pass_obj
def export_features(
    output: Verbosity,
    *,
    path: Path,
    into: Path,
    outputs: tuple[str, ...],
    split: str | None,
    labels: tuple[str, ...],
    views: ExportedViews,
    overwrite: bool,
    json_: bool,
) -> None:
    """Write the features of the cache PATH for other programs: NumPy, DuckDB, Polars, FAISS."""
    from featx.cache import export_cache

    written = export_cache(
        path, into=into, outputs=outputs, split=split, labels=labels, views=views, overwrite=overwrite
    )
    if written.left_out:
        whole = written.rows + written.left_out
        say(f"featx: {written.left_out} of {whole} images have no feature and are left out", err=True)
    if written.left_out_views:
        whole = written.left_out_views + len(written.views)
        say(f"featx: only view 0 of {whole} views is written; --views mean or --views all uses all of them", err=True)
    if json_:
        print_json(asdict(written))
    elif not output.quiet:
        dims = ", ".join(f"{name} {dim}" for name, dim in written.outputs.items())
        size = f"{written.bytes / 1e6:.1f} MB"
        how = {"first": "", "mean": ", means over {} views", "all": " for each of {} views"}[written.view_rule]
        dims += how.format(len(written.views))
        say(f"{' and '.join(written.files)}: {written.rows} rows of {dims} as {written.dtype}, {size}")
