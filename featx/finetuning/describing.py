"""Says of a fine-tuning what its card and its reader must know."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from featx.backbones import Tuned
from featx.cache import open_cache
from featx.finetuning.outcome import FineTuning
from featx.finetuning.plan import Plan
from featx.finetuning.preparing import Prepared, Preparing
from featx.hashing import hash_columns
from featx.learned import remember_images
from featx.tables import Split

WORTH_TUNING = 200
"""Number of images to learn from below which layers and views do more than tuning does."""


def count_images(split: Split) -> dict[str, int]:
    """Number of images in each part of the split."""
    return {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)}


def notes_on(preparing: Preparing, split: Split, *, wins: bool, writes: bool, trains: bool) -> Iterator[str]:
    """Why a backbone was written or not, what a reader must know of the numbers, and what is kept on disk."""
    yield _reason(wins=wins, writes=writes, trains=trains)
    learned = len(split.development)
    if learned < WORTH_TUNING:
        yield (
            f"there are {learned} images to learn from; below about {WORTH_TUNING} a head on several layers and views "
            "does more: `featx extract --output layers --views symmetries`, then `featx train --views mean`"
        )
    if writes:
        yield (
            f"train heads on it with --seed {preparing.seed} and --hold-out {preparing.hold_out}, so that their test "
            "images are these; their validation figures are too good, since the backbone learned from those images; "
            "--into writes the head that was trained with it"
        )
    kept = "the frozen features" if preparing.trains_all else f"the maps ({preparing.bytes_of_maps / 1e6:,.1f} MB)"
    yield f"{preparing.folder} keeps {kept} and the trained weights for another run; delete it when you are done"


def _reason(*, wins: bool, writes: bool, trains: bool) -> str:
    """Why a backbone was written or not."""
    if not trains:
        return (
            "nothing was written, because no weight lies between this tensor and the feature: only a linear layer was "
            "trained; `featx train --head logreg` writes such a head"
        )
    if wins:
        return "written because it is better than frozen features on validation images, then trained on these too"
    if writes:
        return "written because of --force, although it is not better than frozen features on validation images"
    return (
        "nothing was written, because it is not better than frozen features on validation images; test images are "
        "still unseen: try another --from or --rate, or write it anyway with --force"
    )


def card_of(outcome: FineTuning, prepared: Prepared, *, plan: Plan) -> Tuned:
    """What the card says of the tuning: source, images that were learned from, and what it gained."""
    backbone = prepared.backbone
    positions = prepared.table.positions[prepared.split.fitted]
    fingerprints = np.asarray(open_cache(prepared.cache)["images/fingerprint"][positions])
    chosen = next(one for one in outcome.tried if one.chosen)
    return Tuned(
        source=backbone.name,
        source_hash=backbone.hash,
        tensor=outcome.tensor,
        recipe=describe_recipe(replace(plan, rate=chosen.rate), views=len(outcome.views)),
        images=len(positions),
        images_hash=hash_columns([np.unique(fingerprints, axis=0)]),
        memory=remember_images(fingerprints),
        split=outcome.split,
        split_key=prepared.split.key,
        validated=outcome.validation.n,
        validation_frozen=min(max(chosen.accuracy - outcome.validation.difference, 0.0), 1.0),  # it was rounded
        validation_tuned=chosen.accuracy,
        tested=outcome.tuned.n,
        test_frozen=outcome.frozen.accuracy,
        test_tuned=outcome.tuned.accuracy,
    )


def describe_recipe(plan: Plan, *, views: int) -> str:
    """How the weights were trained, in words."""
    return (
        f"AdamW, rate {plan.rate:g}, {plan.epochs} epochs in batches of {plan.batch}, one of {views} views of each "
        f"image in each epoch, seed {plan.seed}"
    )
