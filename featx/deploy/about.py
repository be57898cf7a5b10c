"""What a deployed model says of itself, in the metadata of its file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from featx.deploy.graph.views import can_make
from featx.deploy.passes import BackbonePass
from featx.heads import Head
from featx.provenance import __version__


def describe(head: Head, passes: Sequence[BackbonePass], inputs: Sequence[str], *, as_pixels: bool) -> dict[str, str]:
    """The metadata of a deployed head: a text for each key, of which all but the version are JSON.

    `inputs` names the input of each pass.
    """
    values = {
        "featx.classes": list(head.classes),
        "featx.preprocessing": _preprocessing(passes, inputs, as_pixels=as_pixels),
        "featx.head": {
            "name": head.name,
            "params": dict(head.params),
            "fusion": head.training.get("fusion", ""),
            "temperature": head.temperature,
            "multilabel": head.multilabel,
        },
        "featx.backbones": [_backbone(one) for one in passes],
        "featx.result": describe_result(head),
    }
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    return texts | {"featx.version": __version__}


def describe_result(head: Head) -> dict[str, Any]:
    """What the head reached on its test images; empty if it was not measured."""
    metrics = head.training.get("metrics")
    if not metrics:
        return {}
    measure = "average_precision" if head.multilabel else "accuracy"
    return {
        measure: metrics[measure],
        "interval": metrics[f"{measure}_ci"],
        "n": metrics["n"],
        "split": head.training.get("split", ""),
    }


def _preprocessing(passes: Sequence[BackbonePass], inputs: Sequence[str], *, as_pixels: bool) -> Mapping[str, Any]:
    """How an image becomes the one input, or each of several inputs under its name."""
    found = {name: preparation(one, as_pixels=as_pixels) for one, name in zip(passes, inputs, strict=True)}
    return next(iter(found.values())) if len(found) == 1 else {"inputs": found}


def preparation(one: BackbonePass, *, as_pixels: bool) -> dict[str, Any]:
    """How an image becomes the input of this pass, as plain JSON values; with its views if the input holds them."""
    views = {} if can_make(one.views) else {"views": list(one.views)}
    return one.backbone.card.input.preparation(as_pixels=as_pixels) | {"decode": one.decode} | views


def _backbone(one: BackbonePass) -> dict[str, Any]:
    card = one.backbone.card
    return {
        "name": card.name,
        "sha256": card.sha256,
        "licence": card.licence,
        "source": card.source,
        "features": [output.name for output in card.all_outputs],
        **({} if one.view_rule == "first" else {"views": list(one.views), "view_rule": one.view_rule}),
        "precision": card.computes_in,
    }
