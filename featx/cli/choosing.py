"""Choosing a source before anything is extracted: what `score` does if it gets images and backbones."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from featx.cli.options import option, together, with_label_column, with_models, with_root
from featx.cli.output import Verbosity
from featx.cli.sources import list_given
from featx.cli.types import Duration, Names
from featx.settings import DEFAULT_STORAGE, SAMPLE, STORAGES, TRIALS, Settings, Storage

if TYPE_CHECKING:
    from featx.choosing import SourceTrials


@dataclass(frozen=True)
class TrialOptions:
    """How backbones are tried on images."""

    backbones: tuple[str, ...]
    sample: int
    budget: float | None
    into: Path
    root: str | None
    label_column: str | None
    models: Path | None
    storage: Storage


with_trial = together(
    TrialOptions,
    "trial",
    click.option(
        "--backbones",
        type=Names(),
        default=None,
        help="Try these on IMAGES, from which nothing is extracted yet, and rank them.",
        callback=lambda context, parameter, value: value or (),
    ),
    option(
        "--sample",
        type=click.IntRange(1),
        metavar="N",
        default=SAMPLE,
        help="With --backbones: most images that each is tried on.",
    ),
    click.option(
        "--budget",
        type=Duration(),
        metavar="TIME",
        help="With --backbones: no further round that would take longer, as in 30s, 10m or 2h; the first one ends.",
    ),
    option(
        "--into",
        type=click.Path(path_type=Path),
        metavar="DIR",
        default=TRIALS,
        help="With --backbones: the folder of their caches, which `featx extract` completes.",
    ),
    with_root,
    with_label_column,
    with_models,
    option("--storage", type=click.Choice(STORAGES), default=DEFAULT_STORAGE, help="The type of the stored features."),
)

OF_IMAGES = {one.name for one in (*fields(TrialOptions), *fields(Settings))} - {"backbones", "views"}
OF_CACHES = {"check", "jobs", "outputs", "split", "labels", "annotations", "views"}
"""Parameters of `score` that only images with --backbones have, or only caches."""


def check_usage(context: click.Context, *, images: bool) -> None:
    """Raise click's UsageError for an option of caches if images are given, and the other way round."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and images and parameter.name in OF_CACHES:
            raise click.UsageError(f"{parameter.opts[0]} is for caches, and --backbones for images; leave one out.")
        if given and not images and parameter.name in OF_IMAGES:
            raise click.UsageError(f"{parameter.opts[0]} is for images and needs --backbones; caches have none of it.")


def check_caches(sources: Sequence[str]) -> None:
    """Raise click's UsageError for a folder, which is of images and no cache."""
    for one in sources:
        if Path(one).is_dir():
            raise click.UsageError(f"{one} is a folder and no cache; name the --backbones to try on its images.")


def try_backbones(
    output: Verbosity,
    sources: Sequence[str],
    *,
    trial: TrialOptions,
    settings: Settings,
    scores: Sequence[str],
    seed: int,
) -> "SourceTrials":
    """What the backbones are worth on these images."""
    from featx.choosing import choose_source
    from featx.report import extraction_progress

    images = list_given(sources, trial.root, label_column=trial.label_column)
    with extraction_progress(quiet=output.quiet) as report:
        return choose_source(
            images,
            trial.backbones,
            sample=trial.sample,
            budget=trial.budget,
            into=trial.into,
            scores=scores,
            models=trial.models,
            settings=settings,
            storage=trial.storage,
            seed=seed,
            report=report,
        )
