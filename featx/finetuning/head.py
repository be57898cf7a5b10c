"""The linear layer that was trained with a network, as a head on the new backbone."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.cache import Source, label_sources
from featx.estimators import FeatureScaler, LinearScores, SoftmaxRegression
from featx.finetuning.frozen import HEAD, FrozenHeads
from featx.finetuning.preparing import Prepared
from featx.heads import Head, Result, build_head
from featx.measures import HeadMetrics

TUNED = "trained together with the last layers of its backbone, from where the tuning began to its last epoch"


def head_of(
    linear: Any,
    backbone: Backbone,
    *,
    prepared: Prepared,
    heads: FrozenHeads,
    metrics: HeadMetrics,
    accuracy: float,
    temperature: float,
) -> Head:
    """The linear layer of torch as a head that reads each view of an image, as the tuning did.

    `metrics` are of test images; `accuracy` and `temperature` are those of the trial on validation images.
    """
    weights: NDArray[np.float64] = linear.weight.detach().cpu().numpy().astype(np.float64)
    scores = LinearScores(weights, linear.bias.detach().cpu().numpy().astype(np.float64))
    pipeline = build_head(HEAD)
    features = prepared.table.take(prepared.split.fitted)
    pipeline.steps = [
        ("scaler", FeatureScaler("none").fit(features)),
        ("classifier", SoftmaxRegression().hold(scores, dtype=np.float32)),
    ]
    source = _source(prepared.of_views.sources[0], backbone)
    return Head(
        name=HEAD,
        classes=heads.classes,
        params={},
        sources=(source,),
        training=replace(_result(heads.result, source, metrics, accuracy), temperature=temperature).to_dict(),
        pipeline=pipeline,
        temperature=temperature,
    )


def _source(frozen: Source, backbone: Backbone) -> Source:
    """The feature of the new backbone, with the views of the frozen one."""
    alone = backbone.with_outputs(backbone.card.all_outputs[:1])
    card: Mapping[str, Any] = alone.card.to_dict()
    return replace(frozen, backbone=alone.hash, card=card, cost=None)


def _result(frozen: Result, source: Source, metrics: HeadMetrics, accuracy: float) -> Result:
    """The result of the head on frozen features, as one of the tuned network on the same images."""
    return replace(
        frozen,
        table="",
        backbones=label_sources([source]),
        identities=(source.backbone,),
        params={},
        penalty=None,
        edge=False,
        folds=None,
        tuned=TUNED,
        validated=accuracy,
        validated_loss=None,
        metrics=metrics,
        guesses=None,
        tuning="validation",
        tuning_reason="fine-tuning",
    )
