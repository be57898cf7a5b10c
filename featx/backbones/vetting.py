"""Tries a backbone of unknown origin once on this machine, apart, before its model runs in the process of a command."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from featx.apart import Allow
from featx.backbones.foreign import ran_out, run_foreign
from featx.backbones.session.whole import run_features
from featx.backbones.store import Backbone, bundled_folder, cache_folder
from featx.backbones.tryout import limits_of_run
from featx.errors import FeatxError

_IMAGES = 2


def vet(backbone: Backbone) -> None:
    """Run the model on black images, apart, unless it was added, vetted or bundled here before.

    A folder of cards may come from a stranger, and its model may never end or ask for any amount of memory. Raises
    BackboneError if it does. Other faults of the model are reported by its next run.
    """
    record = _record(backbone)
    if record.exists() or backbone.path.parent == bundled_folder():
        return
    run_foreign(partial(_run, backbone), model=backbone.path)
    remember(backbone)


def remember(backbone: Backbone) -> None:
    """Remember on this machine that the backbone was tried; if that cannot be stored, it is tried again."""
    record = _record(backbone)
    with suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        record.touch()


def _record(backbone: Backbone) -> Path:
    """The empty file that stands for a backbone that was tried; its name depends on the bytes of model and weights."""
    return cache_folder() / "tried" / backbone.hash


def _run(backbone: Backbone, allow: Allow) -> None:
    size = backbone.card.input.pixels.size
    try:
        allow(limits_of_run(backbone, images=_IMAGES))
        run_features(backbone, np.zeros((_IMAGES, size, size, 3), np.uint8))
    except FeatxError as error:
        if ran_out(error):
            raise
