"""The command `predict`."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.galleries import GalleryPlan, turns_upright, with_gallery_of_images
from featx.cli.options import (
    as_json,
    examples,
    together,
    with_max_failed,
    with_models,
    with_root,
    with_settings,
)
from featx.cli.output import JsonList, Verbosity, judge_failures, print_json, print_row, say
from featx.cli.sources import list_given
from featx.settings import Settings

if TYPE_CHECKING:
    from featx.deploy import Prediction
    from featx.heads import Head
    from featx.inputs import ImageSet
    from featx.report import LeastSure, PredictionColumns, WritePrediction


@dataclass(frozen=True)
class PredictionPlan:
    """What is said of each image, and in which files."""

    into: Path | None
    parquet: Path | None
    top_k: int | None
    all_probabilities: bool

    @property
    def files(self) -> dict[str, Path]:
        """Option -> the file that it names, of those that are written."""
        named = {"--into": self.into, "--parquet": self.parquet}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def every(self) -> bool:
        """Whether predictions need the probabilities of all classes."""
        return self.all_probabilities or self.top_k is not None

    def check(self) -> None:
        """Raise click's UsageError for files that are one, or of which one is not what its option says."""
        if self.parquet is not None and self.parquet.suffix.lower() != ".parquet":
            raise click.UsageError(f"--parquet {self.parquet} should end in .parquet; --into takes other endings.")
        if self.parquet is not None and self.parquet == self.into:
            raise click.UsageError("--into and --parquet name the same file; give one of the two.")

    def open_lists(self, head: "Head", opened: ExitStack, *, overwrite: bool, json_: bool) -> "list[WritePrediction]":
        """What writes predictions into each file until the stack is closed, or else prints them.

        Raises ReportError, and HeadError if the head has fewer classes than are to be listed.
        """
        from featx.report import PredictionColumns, open_predictions

        columns = PredictionColumns(head.classes, self.top_k or 0, self.all_probabilities)
        if not self.files:
            return [opened.enter_context(_print_list(columns, json_=json_))]
        return [
            opened.enter_context(open_predictions(path, columns, overwrite=overwrite, option=name))
            for name, path in self.files.items()
        ]


with_prediction_plan = together(
    PredictionPlan,
    "plan",
    click.option(
        "--into",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the predictions here, as the ending says: .csv, .jsonl, .json or .parquet.",
    ),
    click.option(
        "--parquet",
        type=click.Path(path_type=Path),
        metavar="FILE.parquet",
        help="Write them as Parquet, also beside another file.",
    ),
    click.option(
        "--top-k",
        type=click.IntRange(1),
        metavar="K",
        help="Add the K most probable classes: label_1, probability_1, label_2, ...",
    ),
    click.option(
        "--all-probabilities", is_flag=True, help="Add the probability of every class, in columns probability:CLASS."
    ),
)


@click.command(
    epilog=examples(
        "featx predict photos.featx new > predictions.csv",
        "featx predict photos.featx new --into predictions.parquet --top-k 3",
        "featx predict photos.featx new/star.png new/circle.png",
        "featx predict photos.featx photos.h5 --json",
        "featx predict photos.featx new --gallery new.html",
    )
)
@click.argument("head", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True)
@with_root
@with_prediction_plan
@with_gallery_of_images
@with_models
@with_settings
@with_max_failed
@as_json
@click.pass_obj
def predict(
    output: Verbosity,
    *,
    head: Path,
    images: tuple[str, ...],
    root: str | None,
    plan: PredictionPlan,
    gallery: GalleryPlan,
    models: Path | None,
    settings: Settings,
    max_failed: float,
    json_: bool,
) -> int:
    """Classify IMAGES with the saved HEAD.

    IMAGES is anything that `featx extract` takes, such as folders and image files, or caches of the head's own
    backbones. Prints CSV with the columns name, label, probability and failed, and those of --top-k and
    --all-probabilities, unless --into or --parquet names a file. A failed image keeps its row, with the reason in
    failed. --gallery shows the images by class, those first of which the head is least sure. With --json, a list is
    printed, or what was written if a file is named.
    """
    from featx.heads import load_head

    plan.check()
    given = _Given(images, root, models, pictured=bool(gallery.roots))
    gallery.check(has_images=not given.are_caches)
    fitted = load_head(head)
    counted = _Counted()
    with ExitStack() as opened:
        page = opened.enter_context(gallery.reserve())
        takers = [counted.add, *plan.open_lists(fitted, opened, overwrite=gallery.overwrite, json_=json_)]
        pictured = replace(gallery, root=root).list_images() if given.are_caches else list_given(images, root)
        if page is not None:
            least_sure = _collect(fitted, gallery)
            takers.append(least_sure.add)
        for prediction in given.predict(fitted, pictured, settings=settings, every=plan.every):
            for take in takers:
                take(prediction)
        if page is not None and pictured is not None:
            gallery.write(least_sure.page, pictured, page, exif=turns_upright(fitted.sources))
    _conclude(counted, plan, gallery, json_=json_, quiet=output.quiet)
    return judge_failures(counted.failed, counted.images, max_failed)


@dataclass(frozen=True)
class _Given:
    """The images or caches that the user named."""

    images: tuple[str, ...]
    root: str | None
    models: Path | None
    pictured: bool
    """Whether --images names the images of caches; then --root is for these."""

    def __post_init__(self) -> None:
        """Raise click's UsageError for options of images that are given with caches."""
        if self.are_caches and ((self.root and not self.pictured) or self.models):
            raise click.UsageError(f"--root and --models are options for images, but {self.images[0]} is a cache.")

    @cached_property
    def are_caches(self) -> bool:
        """Whether all arguments name caches."""
        return all(map(_names_cache, self.images))

    def predict(
        self, head: "Head", listed: "ImageSet | None", *, settings: Settings, every: bool
    ) -> "Iterator[Prediction]":
        """The prediction of every image of `listed`, or of the caches."""
        from featx.deploy import predict_images, predict_tables
        from featx.tables import read_tables

        if self.are_caches or listed is None:
            tables = read_tables(list(map(Path, self.images)), sources=head.sources)
            return predict_tables(head, tables, all_probabilities=every)
        return predict_images(head, listed, models=self.models, settings=settings, all_probabilities=every)


def _names_cache(image: str) -> bool:
    """Whether an argument names a cache: a file .h5 that is one or does not exist, neither an array nor an address."""
    from featx.cache import is_cache

    path = Path(image)
    return path.suffix == ".h5" and "://" not in image and (not path.is_file() or is_cache(path))


@dataclass
class _Counted:
    """Counts predictions."""

    images: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, prediction: "Prediction") -> None:
        """Count one more prediction."""
        self.images += 1
        if prediction.label is not None:
            self.labels[prediction.label] += 1

    @property
    def failed(self) -> int:
        """Number of images without a prediction."""
        return self.images - self.labels.total()


def _collect(head: "Head", gallery: GalleryPlan) -> "LeastSure":
    """What collects the images of the page."""
    from featx.report import LeastSure
    from featx.tables import SEPARATOR

    return LeastSure(head.classes, most=gallery.pictures, separator=SEPARATOR if head.multilabel else None)


@contextmanager
def _print_list(columns: "PredictionColumns", *, json_: bool) -> "Iterator[WritePrediction]":
    """A function that prints a prediction as one line of CSV, or as part of one JSON document."""
    if json_:
        listed = JsonList()
        yield lambda prediction: listed.add(columns.record(prediction))
        listed.end()
        return
    header = iter([columns.names])

    def _print(prediction: "Prediction") -> None:
        for names in header:  # once, above the first prediction: an error before that prints nothing
            print_row(names)
        print_row(columns.row(prediction))

    yield _print


def _conclude(counted: _Counted, plan: PredictionPlan, gallery: GalleryPlan, *, json_: bool, quiet: bool) -> None:
    """Say what was written, if anything was."""
    if json_ and plan.files:
        files = {name.removeprefix("--"): str(path) for name, path in plan.files.items()}
        named = {"into": None, "parquet": None, **files, "gallery": gallery.path}
        print_json({"images": counted.images, "failed": counted.failed, "labels": dict(counted.labels), **named})
    written = [*map(str, plan.files.values()), *([gallery.path] if gallery.path else [])]
    if written and not json_ and not quiet:
        failed = f", {counted.failed} failed" if counted.failed else ""
        say(f"{' and '.join(written)}: {counted.images} images{failed}", err=not plan.files)
