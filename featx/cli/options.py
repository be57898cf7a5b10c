"""What the commands have in common: options, and how they print."""

import functools
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from featx.devices import parse_device
from featx.errors import DeviceError
from featx.settings import (
    CHANNELS,
    CROP_MODES,
    DECODES,
    DEFAULTS,
    FILTERS,
    Device,
    Settings,
)

if TYPE_CHECKING:
    from featx.inputs import ImageSet

TOO_MANY_FAILED = 3
DEFAULT_MAX_FAILED = 0.01
MAX_BATCH = 4096
MAX_SEED = 2**32 - 1
HEAD_NAMES = "logreg, linear-svm, rbf-svm, ridge, knn, class-mean, mlp, pca-logreg, pca-svm"
FUSION_NAMES = "concat, standardised, weighted, pca, joint-pca, kernel, anova, mutual-info, l1, stacked"
"""As `featx.heads` has them, which takes long to import."""

logger = logging.getLogger("featx")

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Output:
    """How much to say."""

    quiet: bool


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """A click option that shows its default."""
    return click.option(*names, show_default=True, **settings)


def as_json(command: Command) -> Command:
    """The option `--json`."""
    return click.option("--json", "json_", is_flag=True, help="Print one JSON document on standard output.")(command)


def with_outputs(command: Command) -> Command:
    """The option `--output`, once for every output."""
    help_ = "A tensor to take, maybe with its pooling, as in layer4:gem; repeat it for several in one pass."
    return click.option("--output", "outputs", multiple=True, metavar="TENSOR", help=help_)(command)


def with_chosen_rows(command: Command) -> Command:
    """The options `--split` and `--label`: which images of a cache are meant."""
    split = click.option("--split", metavar="NAME", help="Only the images of this split of the image set.")
    label = click.option(
        "--label", "labels", multiple=True, metavar="NAME", help="Only this class; repeat for several."
    )
    return split(label(command))


def with_tuning_folds(command: Command) -> Command:
    """The option `--tuning-folds`."""
    help_ = "Choose parameters by so many folds of all but the test images.  [default: by validation images]"
    return click.option("--tuning-folds", type=click.IntRange(2), metavar="K", help=help_)(command)


def with_balanced(command: Command) -> Command:
    """The option `--balanced`."""
    return click.option("--balanced", is_flag=True, help="Classes count alike, however many images they have.")(command)


class Names(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Names between commas, each once."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names, in their order."""
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        if "" in names:
            self.fail(f"{value!r} should be names between commas.", param, ctx)
        return names


class Counts(Names):
    """Whole numbers above 0 between commas."""

    name = "N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """The numbers, in their order."""
        names = super().convert(value, param, ctx)
        if not all(name.isdecimal() and int(name) for name in names):
            self.fail(f"{value!r} should be whole numbers above 0 between commas.", param, ctx)
        return tuple(map(int, names))


class Auto(click.IntRange):
    """A number above 0; or `auto`, which becomes None."""

    name = "N|auto"

    def __init__(self, most: int | None = None) -> None:
        super().__init__(1, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or None."""
        return None if value == "auto" else super().convert(value, param, ctx)


class Devices(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A device, or several between commas."""

    name = "DEVICE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Device:
        """What was given, once it can be read."""
        try:
            parse_device(str(value))
        except DeviceError as error:
            self.fail(str(error), param, ctx)
        return str(value)


def with_device(command: Command) -> Command:
    """The option `--device`."""
    help_ = "auto: a GPU that works, else cpu; or cuda, cuda:1, cuda:0,cuda:1, tensorrt, openvino, coreml, directml ..."
    return option("--device", type=Devices(), default=DEFAULTS.device, help=help_)(command)


PIXELS = ("size", "resize", "crop_mode", "filter", "mean", "std", "channels")


class Numbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """One number for all channels, or three between commas, on the 0..255 scale."""

    name = "N,N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Three numbers."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} should be three numbers between commas.", param, ctx)
        if len(numbers) not in (1, 3):
            self.fail(f"{value!r} should be one number, or three between commas.", param, ctx)
        if param is not None and param.name == "std" and max(numbers) < 1:
            right = ",".join(f"{255 * number:g}" for number in numbers)
            self.fail(
                f"{value!r} is on the 0..1 scale, but 0..255 is meant: --std {right} (and --mean so).", param, ctx
            )
        return numbers * 3 if len(numbers) == 1 else numbers


def with_pixels(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how pixels are prepared; they reach the command as one Preprocessing."""

    @functools.wraps(command)
    def _gather(*args: Any, **given: Any) -> Any:
        from featx.convert import Preprocessing

        pixels = Preprocessing(**{key: given.pop(key) for key in PIXELS})
        return command(*args, pixels=pixels, **given)

    decorated: Callable[..., Any] = _gather
    for decorate in (
        click.option("--channels", type=click.Choice(CHANNELS), help="Their order, or L: grey.  [default: RGB]"),
        click.option("--std", type=Numbers(), help="Of each channel, on 0..255.  [default: ImageNet's]"),
        click.option("--mean", type=Numbers(), help="Of each channel, on 0..255.  [default: ImageNet's]"),
        click.option("--filter", type=click.Choice(FILTERS), help="How pixels are resampled.  [default: bicubic]"),
        click.option("--crop-mode", type=click.Choice(CROP_MODES), help="squash: both sides to --resize."),
        click.option(
            "--resize", type=click.IntRange(1), help="The shorter side before the crop.  [default: size / 0.875]"
        ),
        click.option("--size", type=click.IntRange(1), help="Height and width, where the model leaves them free."),
    ):
        decorated = decorate(decorated)
    return decorated


def with_models(command: Command) -> Command:
    """The option `--models`."""
    help_ = "Your folder of cards and models, beside the bundled ones.  [default: in the platform's place for data]"
    return click.option("--models", type=click.Path(path_type=Path), metavar="DIR", help=help_)(command)


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how images are read and run; they reach the command as one Settings."""

    @functools.wraps(command)
    def _gather(*args: Any, **given: Any) -> Any:
        chosen = [field.name for field in fields(Settings) if field.name in given]
        settings = Settings(**{key: given.pop(key) for key in chosen})
        return command(*args, settings=settings, **given)

    decorated: Callable[..., Any] = _gather
    for decorate in (
        option("--max-pixels", type=click.IntRange(1), default=DEFAULTS.max_pixels, help="A larger image fails."),
        option("--workers", type=Auto(), default="auto", help="Threads that read and decode; auto: one a core."),
        option("--threads", type=Auto(), default="auto", help="Threads of the CPU for each batch that is run."),
        option("--streams", type=Auto(), default="auto", help="Batches that are run at the same time."),
        option("--batch-size", type=Auto(MAX_BATCH), default="auto", help="Images run at once; auto: what is fastest."),
        with_device,
    ):
        decorated = decorate(decorated)
    return decorated


def with_decode(command: Command) -> Command:
    """The option `--decode`."""
    help_ = "`fast` reads a JPEG at a half, a quarter or an eighth of its size where that covers the card's."
    return option("--decode", type=click.Choice(DECODES), default=DEFAULTS.decode, help=help_)(command)


def with_root(command: Command) -> Command:
    """The option `--root`."""
    help_ = "What a manifest's paths are relative to: a folder or an address.  [default: its folder]"
    return click.option("--root", metavar="DIR", help=help_)(command)


@dataclass(frozen=True)
class Spread:
    """How an extraction is spread over processes."""

    shards: int | None
    jobs: int
    scheduler: str | None


class ShardOf(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """One shard of several: INDEX/COUNT, the first being 0."""

    name = "INDEX/COUNT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Index and count."""
        index, _, count = str(value).partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            self.fail(f"{value!r} should be INDEX/COUNT, as in 0/64 for the first of 64.", param, ctx)
        return int(index), int(count)


def with_shards(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that spread an extraction over processes; they reach the command as one Spread."""

    @functools.wraps(command)
    def _gather(*args: Any, shards: int | None, jobs: int | None, scheduler: str | None, **rest: Any) -> Any:
        if (jobs or scheduler) and not shards:
            raise click.UsageError("--jobs and --scheduler need --shards: a shard is what one process does at a time.")
        if shards and rest["shard"]:
            raise click.UsageError("--shard makes one shard, --shards makes them all; give one of the two.")
        if jobs and scheduler:
            raise click.UsageError("--jobs is for this machine, --scheduler for a cluster; give one of the two.")
        return command(*args, spread=Spread(shards, jobs or 1, scheduler), **rest)

    decorated: Callable[..., Any] = _gather
    count = click.IntRange(1)
    for decorate in (
        click.option("--shard", type=ShardOf(), help="Extract this part alone, as in 0/64; merge the caches later."),
        click.option("--scheduler", metavar="ADDRESS", help="With --shards: the Dask cluster whose workers extract."),
        click.option("--jobs", type=count, help="With --shards: processes of this machine at once.  [default: 1]"),
        click.option("--shards", type=count, metavar="N", help="Extract in so many parts, one file each, then merge."),
    ):
        decorated = decorate(decorated)
    return decorated


def with_max_failed(command: Command) -> Command:
    """The option `--max-failed`."""
    help_ = "Share of failed images above which the exit code is 3."
    share = click.FloatRange(0, 1)
    return option("--max-failed", type=share, default=DEFAULT_MAX_FAILED, callback=_check_share, help=help_)(command)


def _check_share(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("nan is not in the range 0<=x<=1.")
    return value


def judge_failures(failed: int, images: int, max_failed: float) -> int:
    """The exit code: 3, and a line that says so, where more images failed than are allowed."""
    if failed <= max_failed * images:
        return 0
    click.echo(f"featx: {failed} of {images} images failed, more than --max-failed {max_failed:g}", err=True)
    return TOO_MANY_FAILED


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def one_source(images: Sequence[str]) -> str:
    """The only one of these. Raises UsageError where there are several: a shell has filled in a pattern."""
    if len(images) > 1:
        first = f"{images[0]}, {images[1]}"
        raise click.UsageError(f"IMAGES is one source, but {len(images)} were given ({first}, ...); quote a pattern.")
    return images[0]


def list_given(images: str, root: str | None) -> "ImageSet":
    """The image set that the user named; files in it that are no images are told, not dropped unseen."""
    from featx.inputs import list_images

    found = list_images(images, root=root)
    if count := len(found.ignored):
        first = found.ignored[0].decode()
        logger.warning("%s: ignored %d files whose endings are not those of images, such as %s", images, count, first)
    return found
