"""Makes the head of each method from the source, and from what methods may see of the target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from featx.cache import FeatureTable
from featx.estimators import DomainPair, importance_weights, note_on_weights
from featx.heads import Head, Result
from featx.transfer.adaptation.few_labels import boost, needed_labels, pool_rows
from featx.transfer.adaptation.joined import Features, map_rows, with_features
from featx.transfer.adaptation.methods import BOOSTED, POOLED, RECIPES, TARGET, WEIGHTS, Method
from featx.transfer.adaptation.priors import correct_prior, describe_shares, estimate_shares, learnt_shares
from featx.transfer.adaptation.self_training import train_on_own_predictions
from featx.transfer.adaptation.setting import Setting

ADAPTER = "adapter"
"""The step of the pipeline that maps features of the target."""


@dataclass(frozen=True)
class Made:
    """A head that one method made."""

    method: Method
    head: Head
    """Reads features of the target."""
    result: Result
    """On test images of the source; of the head of few labels alone, of its own."""
    target_labels: int = 0
    """Labelled images of the target that were used."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Base:
    """A method without suffixes: a head that was trained on the source, and what precedes it for the target."""

    head: Head
    """Reads features of the source as they were adapted."""
    result: Result
    learnt: FeatureTable
    """The source as the head was trained on it."""
    adapter: Any = None
    """A fitted adapter of the target; None if its features stay as they are."""
    target_labels: int = 0
    notes: tuple[str, ...] = ()

    @property
    def composed(self) -> Head:
        """The head that reads features of the target."""
        if self.adapter is None:
            return self.head
        return replace(self.head, pipeline=Pipeline([(ADAPTER, self.adapter), *self.head.pipeline.steps]))

    def map_target(self, seen: FeatureTable) -> FeatureTable:
        """Rows of the target with the features that the head reads."""
        if self.adapter is None:
            return seen
        return with_features(seen, map_rows(seen, self.adapter.transform), how=ADAPTER)


@dataclass
class Maker:
    """Makes heads; work that several methods share is done once."""

    setting: Setting
    _bases: dict[str, Base] = field(default_factory=dict)
    _pair: DomainPair | None = None

    def make(self, method: Method) -> Made:
        """The head of this method. Raises what `train_head` raises."""
        base = self._base(method.base)
        notes = list(base.notes)
        if method.self_training:
            base = self._train_itself(base)
        head = base.composed
        if method.prior:
            head, note = self._correct_prior(head, base)
            notes.append(f"{method.name}: {note}")
        return Made(method, head, base.result, base.target_labels, tuple(notes))

    def _base(self, name: str) -> Base:
        if name not in self._bases:
            self._bases[name] = self._make_base(name)
        return self._bases[name]

    def _make_base(self, name: str) -> Base:
        if name == BOOSTED:
            return self._boosted()
        if name in SPECIAL:
            return SPECIAL[name](self.setting)
        adapt = RECIPES[name].adapter
        return self._plain() if adapt is None else self._adapted(adapt(self.setting.target_shares))

    def _plain(self) -> Base:
        head, result = self.setting.choice.train(self.setting.source, self.setting.split)
        return Base(head, result, self.setting.source)

    def _adapted(self, adapter: Any) -> Base:
        """A head that is trained on the source, adapted by this adapter unless that maps the target instead.

        It is trained cautiously, which made heads better in the target on the sets on which that was tried.
        """
        setting = self.setting
        if self._pair is None:
            learnt = setting.learnt_table.features
            self._pair = DomainPair(learnt, setting.seen.features, np.array(setting.learnt_names))
        adapter.fit_pair(self._pair)
        table = setting.source
        if not adapter.maps_target:
            table = with_features(table, map_rows(table, partial(_of_source, adapter)), how=repr(adapter))
        head, result = setting.choice.train(table, setting.split, cautious=True)
        return Base(head, result, table, adapter if adapter.maps_target else None)

    def _boosted(self) -> Base:
        pooled = self._base(POOLED)
        head, metrics = boost(self.setting, pooled.head)
        return replace(pooled, head=head, result=replace(pooled.result, metrics=metrics))

    def _train_itself(self, base: Base) -> Base:
        """The base after self-training."""
        setting = self.setting
        seen = base.map_target(setting.seen)
        learnt = replace(setting, source=base.learnt).learnt_table
        head = train_on_own_predictions(base.head, learnt, seen, balanced=setting.choice.balanced)
        return replace(base, head=head)

    def _correct_prior(self, head: Head, base: Base) -> tuple[Head, str]:
        setting = self.setting
        learnt = learnt_shares(head, base.learnt, setting.split.fitted, balanced=setting.choice.balanced)
        if setting.target_shares is None:
            shares = estimate_shares(head, learnt, setting.seen)
            how = "by EM from its predictions, which is wrong if more than shares differ"
        else:
            shares = np.array([setting.target_shares[name] for name in head.classes])
            how = "as given"
        note = f"shares of the target's classes, {how}: {describe_shares(head, shares)}"
        return correct_prior(head, learnt, shares), note


def _of_source(adapter: Any, rows: Features) -> Features:
    """Rows (b, d) of the source after a fitted adapter."""
    return np.asarray(adapter.transform(rows, sample_domain=np.ones(len(rows), np.int64)))


def _weighted(setting: Setting) -> Base:
    """A head whose source images are weighted by how like the target they are."""
    found = importance_weights(setting.learnt_table.features, setting.seen.features, seed=setting.choice.seed)
    own = np.ones(len(setting.source)) if setting.source.weights is None else setting.source.weights.astype(np.float64)
    weights = own.copy()
    weights[setting.learnt] *= found
    table = replace(setting.source, weights=weights.astype(np.float32))
    head, result = setting.choice.train(table, setting.split)
    note = note_on_weights(found)
    return Base(head, result, table, notes=(f"{WEIGHTS}: {note}",) if note else ())


def _pooled(setting: Setting) -> Base:
    """A head that is trained on the source and the few labels together."""
    table, split = pool_rows(setting)
    head, result = setting.choice.train(table, split)
    return Base(head, result, table, target_labels=len(needed_labels(setting).split.train))


def _of_few_labels(setting: Setting) -> Base:
    """A head that is trained on the few labels of the target alone."""
    few = needed_labels(setting)
    head, result = setting.choice.train(few.table, few.split)
    return Base(head, result, few.table, target_labels=len(few.split.development))


SPECIAL: Mapping[str, Callable[[Setting], Base]] = {
    WEIGHTS: _weighted,
    POOLED: _pooled,
    TARGET: _of_few_labels,
}
