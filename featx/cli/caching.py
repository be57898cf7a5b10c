"""The commands around a cache file: info, verify, merge, export."""

from dataclasses import asdict
from pathlib import Path

import click

from featx.cli.options import (
    Output,
    as_json,
    print_json,
    with_chosen_rows,
)


@click.group()
def cache() -> None:
    """Look at a cache, check it, join several, write it out."""


@cache.command()
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def info(*, path: Path, json_: bool) -> None:
    """Say what is in the cache PATH and how it was made."""
    from featx.cache import describe_cache
    from featx.report import out, print_info

    about = describe_cache(path)
    return print_json(asdict(about)) if json_ else print_info(about, to=out())


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


@cache.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="C.h5", help="The cache to make.")
@click.option("--overwrite", is_flag=True, help="Give up the cache that is there.")
@as_json
@click.pass_obj
def merge(output: Output, *, sources: tuple[Path, ...], into: Path, overwrite: bool, json_: bool) -> None:
    """Join the caches SOURCES, shards of an image set or sets apart, into one, in this order."""
    from featx.cache import DONE, merge_caches

    status = merge_caches(sources, into=into, overwrite=overwrite).status
    done = int((status == DONE).sum())
    if json_:
        found = {"rows": len(status), "done": done, "failed": len(status) - done}
        print_json({"cache": str(into), "sources": [str(path) for path in sources]} | found)
    elif not output.quiet:
        click.echo(f"{into}: {len(status)} images of {len(sources)} caches, {len(status) - done} of them failed")


@cache.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="FILE", help="X.npy or X.parquet.")
@click.option("--output", "outputs", multiple=True, metavar="TENSOR", help="Of several outputs; repeat for more.")
@with_chosen_rows
@click.option("--overwrite", is_flag=True, help="Give up the earlier export that is there.")
@as_json
@click.pass_obj
def export(
    output: Output,
    *,
    path: Path,
    into: Path,
    outputs: tuple[str, ...],
    split: str | None,
    labels: tuple[str, ...],
    overwrite: bool,
    json_: bool,
) -> None:
    """Write the features of the cache PATH for other programs: NumPy, DuckDB, Polars, FAISS."""
    from featx.cache import export_cache

    made = export_cache(path, into=into, outputs=outputs, split=split, labels=labels, overwrite=overwrite)
    if made.left_out:
        whole = made.rows + made.left_out
        click.echo(f"featx: {made.left_out} of {whole} images have no feature and are left out", err=True)
    if json_:
        print_json(asdict(made))
    elif not output.quiet:
        dims = ", ".join(f"{name} {dim}" for name, dim in made.outputs.items())
        click.echo(f"{' and '.join(made.files)}: {made.rows} rows of {dims} as {made.dtype}, {made.bytes / 1e6:.1f} MB")
