"""The options that several commands share, and the wrapper of a command that shows examples in its help."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from featx.cli.types import (
    BackboneName,
    ChannelNumbers,
    Devices,
    Jobs,
    NumberOrAuto,
    ShardOf,
    Tuning,
    Views,
)
from featx.settings import CENTER, CHANNELS, CROP_MODES, DECODES, DEFAULTS, FILTERS, Settings

DEFAULT_MAX_FAILED = 0.01
MAX_BATCH = 4096
MAX_THREADS = 1024
"""Most threads of each kind that can be asked for."""
MAX_SEED = 2**32 - 1

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def examples(*lines: str) -> str:
    """The end of the help of a command: these examples, which click does not wrap."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """A click option whose help shows its default."""
    return click.option(*names, show_default=True, **settings)


def chain(*options: Decorator) -> Decorator:
    """A decorator that adds options to a command, whose help lists them in this order."""

    def _decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for add in reversed(options):
            command = add(command)
        return command

    return _decorate


def together(collect: Callable[..., Any], parameter: str, *options: Decorator) -> Decorator:
    """A decorator that adds options to a command, which gets them in one parameter, as `collect(**options)`."""

    def _decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def _call(*args: Any, **given: Any) -> Any:
            own = {name: given.pop(name) for name in names}
            return command(*args, **{parameter: collect(**own)}, **given)

        others = len(getattr(command, "__click_params__", ()))
        decorated: Any = chain(*options)(_call)
        names = [one.name for one in decorated.__click_params__[others:]]
        return _call

    return _decorate


as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON document on standard output.")

with_outputs = click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="TENSOR",
    help="A tensor to use as feature, with a pooling if it is a map, as in layer4:gem; or layers, for the pooled "
    "ends of all blocks. Repeat it for several.",
)

with_tuning = option(
    "--tuning",
    "--tuning-folds",
    "tuning",
    type=Tuning(),
    default="auto",
    help="Where parameters are chosen, always without the test images: validation, folds:K (or just K), or auto: 5 "
    "folds for PCA, and for up to 2,000 images if none of them are given for validation; else validation.",
)

with_balanced = click.option(
    "--balanced", is_flag=True, help="Give every class the same weight, however many images it has."
)

with_device = option(
    "--device",
    type=Devices(),
    default=DEFAULTS.device,
    help="auto (a GPU that works, else cpu), cpu, cuda, cuda:1, cuda:0,cuda:1, tensorrt, openvino, coreml, ...",
)

with_models = click.option(
    "--models",
    type=click.Path(path_type=Path),
    metavar="DIR",
    is_eager=True,  # completion of a backbone's name needs it
    help="The folder of your own backbones.  [default: a folder in your user data]",
)

with_backbone = click.option(
    "--backbone", required=True, type=BackboneName(), metavar="NAME", help="`featx backbones` lists them."
)

with_decode = option(
    "--decode",
    type=click.Choice(DECODES),
    default=DEFAULTS.decode,
    help="fast: decode JPEGs at 1/2, 1/4 or 1/8 scale if that still covers the resize size of the card.",
)

with_root = click.option(
    "--root",
    metavar="DIR",
    help="A folder or an address that the paths of a manifest are relative to.  [default: the manifest's folder]",
)

with_label_column = click.option(
    "--label-column",
    metavar="NAME",
    help="The column of labels of a manifest or table, or their key in the .json of tars.  [default: label]",
)

with_seed = option(
    "--seed", type=click.IntRange(0, MAX_SEED), metavar="N", default=0, help="Seed of everything drawn at random."
)

HOW_TO_RUN = (
    with_device,
    option(
        "--batch-size",
        type=NumberOrAuto(MAX_BATCH),
        metavar="N",
        default="auto",
        help="Images in a batch; auto finds the fastest.",
    ),
    option(
        "--streams",
        type=NumberOrAuto(MAX_THREADS),
        metavar="N",
        default="auto",
        help="Batches that run at the same time.",
    ),
    option(
        "--threads",
        type=NumberOrAuto(MAX_THREADS),
        metavar="N",
        default="auto",
        help="CPU threads of each of these batches.",
    ),
    option(
        "--workers",
        type=NumberOrAuto(MAX_THREADS),
        metavar="N",
        default="auto",
        help="Threads that read and decode; auto: one per core.",
    ),
    option(
        "--max-pixels",
        type=click.IntRange(1),
        metavar="N",
        default=DEFAULTS.max_pixels,
        help="Images with more pixels than this fail.",
    ),
)
with_views = option(
    "--views",
    type=Views(),
    default=CENTER,
    help="More views of each image, each with a feature: hflip, vflip, rot90, rot180, rot270, transpose, transverse; "
    "symmetries for all of these; five-crop; scale=1.15; random-crop:4.",
)
with_settings = together(Settings, "settings", *HOW_TO_RUN)
with_settings_and_decode = together(Settings, "settings", *HOW_TO_RUN, with_decode)
with_settings_and_views = together(Settings, "settings", *HOW_TO_RUN, with_decode, with_views)


def _preprocessing(**pixels: Any) -> Any:
    from featx.convert import Preprocessing

    return Preprocessing(**pixels)


with_pixels = together(
    _preprocessing,
    "pixels",
    click.option(
        "--size", type=click.IntRange(1), metavar="N", help="Height and width, if the model leaves them free."
    ),
    click.option(
        "--resize",
        type=click.IntRange(1),
        metavar="N",
        help="Pixels of the shorter side before the crop.  [default: size / 0.875]",
    ),
    click.option("--crop-mode", type=click.Choice(CROP_MODES), help="squash: resize both sides, crop nothing."),
    click.option("--filter", type=click.Choice(FILTERS), help="The resampling filter.  [default: bicubic]"),
    click.option("--mean", type=ChannelNumbers(), help="Mean of each channel, on 0..255.  [default: ImageNet's]"),
    click.option("--std", type=ChannelNumbers(), help="Deviation of each channel, on 0..255.  [default: ImageNet's]"),
    click.option("--channels", type=click.Choice(CHANNELS), help="Their order; L is grey.  [default: RGB]"),
)


with_chosen_rows = chain(
    click.option("--split", metavar="NAME", help="Only the images of this split of the image set."),
    click.option("--label", "labels", multiple=True, metavar="NAME", help="Only this class. Repeat it for several."),
)


@dataclass(frozen=True)
class ShardOptions:
    """How an extraction is divided among processes."""

    shard: tuple[int, int] | None
    shards: int | None
    jobs: int | None
    scheduler: str | None

    def __post_init__(self) -> None:
        """Raise click's UsageError for options that exclude each other."""
        if (self.jobs or self.scheduler) and not self.shards:
            raise click.UsageError("--jobs and --scheduler need --shards: one process extracts one shard at a time.")
        if self.shards and self.shard:
            raise click.UsageError("--shard extracts one shard and --shards all of them; give one of the two.")
        if self.jobs and self.scheduler:
            raise click.UsageError("--jobs is for this machine and --scheduler for a cluster; give one of the two.")


with_shards = together(
    ShardOptions,
    "spread",
    click.option(
        "--shards",
        type=click.IntRange(1),
        metavar="N",
        help="Extract N parts, each into a file, then merge them.",
    ),
    click.option("--jobs", type=Jobs(), metavar="N", help="With --shards: processes at once.  [default: 1]"),
    click.option("--scheduler", metavar="ADDRESS", help="With --shards: the Dask cluster whose workers extract."),
    click.option("--shard", type=ShardOf(), help="Extract only this part, as in 0/64; merge the caches later."),
)


def _check_share(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("nan is not in the range 0<=x<=1.")
    return value


with_max_failed = option(
    "--max-failed",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    default=DEFAULT_MAX_FAILED,
    callback=_check_share,
    help="Share of failed images above which the exit code is 3.",
)
