"""The command `evaluate`."""

from dataclasses import asdict, astuple, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from featx.cli.documents import DocumentPlan, with_documents
from featx.cli.galleries import GalleryPlan, turns_upright, with_gallery
from featx.cli.options import as_json, examples, with_chosen_rows, with_seed
from featx.cli.output import Verbosity, logger, print_json, say
from featx.cli.tables import TableChoice, with_annotations

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.heads import Head, Mistake
    from featx.inputs import ImageSet
    from featx.measures import HeadMetrics
    from featx.tables import RowIndices
    from featx.targets import Target

Rows = Literal["unseen", "all"]
CACHE_ENDINGS = (".h5", ".hdf5")


@click.command(
    epilog=examples(
        "featx evaluate photos.featx other-photos.h5",
        "featx evaluate photos.featx photos.h5 --split test --json",
        "featx evaluate photos.featx photos.h5 --gallery wrong.html --images photos",
    )
)
@click.argument("head", type=click.Path(path_type=Path))
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--rows",
    type=click.Choice(["unseen", "all"]),
    help="unseen measures only on images with the names of the head's test images, all on all images.  "
    "[default: unseen if the head was trained with these images and neither --split nor --label chooses]",
)
@with_chosen_rows
@with_annotations
@click.option(
    "--wrong", type=click.Path(path_type=Path), metavar="FILE.csv", help="List the wrongly predicted images here."
)
@with_gallery
@with_documents
@with_seed
@as_json
@click.pass_obj
def evaluate(
    output: Verbosity,
    *,
    head: Path,
    caches: tuple[Path, ...],
    rows: Rows | None,
    split: str | None,
    labels: tuple[str, ...],
    annotations: Path | None,
    wrong: Path | None,
    gallery: GalleryPlan,
    documents: DocumentPlan,
    seed: int,
    json_: bool,
) -> None:
    """Measure the saved HEAD on the labelled images of CACHES.

    If these are the images that the head was trained with, only its test images are measured, which it has not seen.
    Images that it has seen make it look better than it is. Another set of images may have the same names: if the head
    predicts its images otherwise, all of them are measured, with a warning.

    --wrong lists the images that are predicted wrongly, the most confident mistake first: name, true, predicted,
    probability, true_probability. --gallery shows them; a click on a cell of the confusion matrix chooses its images.
    """
    from featx.report import metrics_sections, out, print_sections, reserve_list

    _check_order(head, caches)
    gallery.check()
    write = documents.reserve(overwrite=gallery.overwrite)
    with reserve_list(wrong, overwrite=gallery.overwrite, option="--wrong") as listed, gallery.reserve() as page:
        images = gallery.list_images()
        choice = TableChoice((), split, labels, annotations)
        found = _evaluate(head, caches, choice, rows=rows, seed=seed)
        if listed or page:
            found.write(listed, page, gallery, images)
    sections = metrics_sections(found.metrics)
    write(sections)
    if json_:
        written = {"wrong": wrong and str(wrong), "gallery": gallery.path} | documents.to_dict()
        return print_json(asdict(found.metrics) | written)
    print_sections(sections, to=out())
    documents.announce(silent=output.quiet)
    if (listed or page) and not output.quiet:
        say(f"{' and '.join(str(path) for path in (wrong, gallery.gallery) if path)}: {len(found.mistakes)} images")
    return None


def _evaluate(
    path: Path, caches: tuple[Path, ...], choice: TableChoice, *, rows: Rows | None, seed: int
) -> "_Evaluated":
    """Measure the head on the chosen images of the caches, or unless these are chosen on those that it has not seen."""
    from featx.heads import evaluate_head, load_head
    from featx.tables import as_table, read_annotations, read_tables

    head = load_head(path)
    joined = None if choice.annotations is None else read_annotations(choice.annotations)
    read = partial(read_tables, caches, sources=head.sources, annotations=joined)
    join = partial(as_table, sources=head.sources)
    table = join(read(split=choice.split, labels=choice.labels))
    chosen = bool(choice.split or choice.labels)
    unseen = None if rows == "all" or chosen else _find_unseen(head, table, by_name=rows == "unseen")
    _warn(path, head, table, whole=join(read()) if chosen else table, unseen=unseen)
    unseen = _leave_learned_out(table, unseen, rows=rows)
    return _Evaluated(head, table, unseen, evaluate_head(head, table, rows=unseen, seed=seed))


def _warn(
    path: Path, head: "Head", table: "FeatureTable", *, whole: "FeatureTable", unseen: "RowIndices | None"
) -> None:
    """Warn if the head has seen the images that are measured, or was adapted to others."""
    from featx.heads import is_of_source, tell_apart

    if is_of_source(head, whole):
        logger.warning(
            "%s was adapted to another domain than that of these images, its source, and may be wrong here", path
        )
    elif unseen is None and _was_trained_on(head, table, whole):
        if others := tell_apart(head, whole):
            logger.warning(
                "these images have the names of those that %s was trained with, but are others (%s), so they "
                "are measured as new ones; if they are the same, --rows unseen measures its test images only",
                path,
                others,
            )
        else:
            logger.warning(
                "%s was trained on most of these images (or on images of the same names), so these measures are too "
                "high; `featx train` printed its accuracy on test images",
                path,
            )


@dataclass(frozen=True)
class _Evaluated:
    """A head, and how it does on these rows of a table."""

    head: "Head"
    table: "FeatureTable"
    rows: "RowIndices | None"
    metrics: "HeadMetrics"

    @cached_property
    def mistakes(self) -> "tuple[Mistake, ...]":
        """The wrongly predicted images, the most confident mistake first."""
        from featx.heads import find_mistakes

        return find_mistakes(self.head, self.table, rows=self.rows)

    def write(
        self, listed: "Target | None", page: "Target | None", gallery: GalleryPlan, images: "ImageSet | None"
    ) -> None:
        """Write the list and the page, each if it is wanted. Raises ReportError."""
        from featx.report import MISTAKE_COLUMNS, mistakes_page, write_list

        write_list(listed, MISTAKE_COLUMNS, map(astuple, self.mistakes))
        if page is not None and images is not None:
            make_page = partial(mistakes_page, self.mistakes, self.metrics, self.head.classes)
            gallery.write(make_page, images, page, exif=turns_upright(self.head.sources))


def _check_order(head: Path, caches: tuple[Path, ...]) -> None:
    """Raise click's UsageError if a cache stands where the head should, and a head where a cache should."""
    if head.suffix in CACHE_ENDINGS and head.is_file():
        heads = [path for path in caches if path.suffix not in CACHE_ENDINGS]
        after = f"featx evaluate {heads[0]} {head}" if heads else f"featx evaluate HEAD {head}"
        raise click.UsageError(f"{head} is a cache, but the head comes first: {after}")


def _find_unseen(head: "Head", table: "FeatureTable", *, by_name: bool) -> "RowIndices | None":
    """The test rows of the head, which a line on standard error counts; None if they are not known."""
    from featx.heads import find_named, find_unseen

    rows = find_named(head, table) if by_name else find_unseen(head, table)
    if rows is not None:
        logger.warning(
            "measured on the %d test images that the head did not see, of %d; --rows all measures all",
            len(rows),
            len(table),
        )
    return rows


_TOO_HIGH = "%s learned from %d of the %d images that are measured, so these measures are too high"
_LEFT_OUT = (
    "%s learned from %d of %d images, or from others of their groups, which are not measured; --rows all measures "
    "them too"
)


def _leave_learned_out(
    table: "FeatureTable", measured: "RowIndices | None", *, rows: Rows | None
) -> "RowIndices | None":
    """These rows, or all, without the images that a fine-tuned backbone learned from, unless all rows are asked for."""
    from featx.tables import tuned_names, unlearned_of

    every = table.labelled.nonzero()[0] if measured is None else measured
    left = unlearned_of(table, every)
    if len(left) == len(every):
        return measured
    kept = rows == "all" or not len(left)
    logger.warning(_TOO_HIGH if kept else _LEFT_OUT, tuned_names(table), len(every) - len(left), len(every))
    return measured if kept else left


def _was_trained_on(head: "Head", table: "FeatureTable", whole: "FeatureTable") -> bool:
    """Whether the head was trained on these images, or on some of them, and they are not its test images."""
    from featx.hashing import hash_columns

    tested = hash_columns([table.names[table.labelled]]) == head.training.get("test")
    if head.training.get("split_key") == "official" and table.splits is not None:
        tested = tested or bool((table.splits == b"test").all())
    return not tested and head.training.get("images") in [hash_columns([one.names]) for one in (table, whole)]
