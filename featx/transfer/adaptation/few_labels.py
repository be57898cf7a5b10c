"""Methods that learn from a few labelled images of the target beside the source."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.estimators import TrAdaBoost, balancing_factors, class_scores
from featx.heads import Head, evaluate_head, order_classes
from featx.measures import HeadMetrics, fit_temperature
from featx.tables import RowIndices, Split
from featx.transfer.adaptation.joined import append_rows
from featx.transfer.adaptation.setting import Setting
from featx.transfer.adaptation.target_rows import FewLabels
from featx.transfer.scores.rows import Floats


def pool_rows(setting: Setting) -> tuple[FeatureTable, Split]:
    """The source and the few labelled images of the target in one table, and its split.

    The labelled images of the target are trained on; parameters are chosen, and the head is measured, on images of the
    source as without them. Classes that only the target has are added.
    """
    few = needed_labels(setting)
    source, new = setting.source, few.trained
    classes = [*source.classes, *(name for name in new.classes if name not in source.classes)]
    joined = append_rows(source, new, classes=classes, shares=_shares(new, classes), how="pooled")
    added = np.arange(len(source), len(joined))
    return joined, replace(setting.split, train=np.concatenate([setting.split.train, added]))


def boost(setting: Setting, pooled: Head) -> tuple[Head, HeadMetrics]:
    """TrAdaBoost with the parameters of a head that was trained on pooled rows; its measures on the source's test rows.

    The temperature is that of a fit without the validation rows of the source.
    """
    table, split = pool_rows(setting)
    rows = BoostedRows(table, len(setting.source), balanced=setting.choice.balanced)
    tried = rows.fit(pooled, split.train)
    scores = class_scores(tried, table.take(split.validation))
    labels = order_classes(table.labels_of(split.validation), pooled.classes)
    head = replace(
        pooled,
        params={**pooled.params, "rounds": tried["classifier"].rounds},
        pipeline=rows.fit(pooled, split.fitted),
        temperature=fit_temperature(scores, labels),
    )
    return head, evaluate_head(head, table, rows=split.test, seed=setting.choice.seed)


@dataclass(frozen=True)
class BoostedRows:
    """Pooled rows to boost on."""

    table: FeatureTable
    """First the rows of the source, then those of the target."""
    of_source: int
    """Number of rows of the source."""
    balanced: bool

    def fit(self, pooled: Head, rows: RowIndices) -> Pipeline:
        """The pipeline of the head with TrAdaBoost around its classifier, fitted to these rows."""
        steps, classifier = pooled.pipeline.steps[:-1], pooled.pipeline["classifier"]
        labels = order_classes(self.table.labels_of(rows), pooled.classes)
        weights = labels.weights
        if self.balanced:
            weights = weights * (labels.shares @ balancing_factors(labels.class_totals))
        features = self.table.take(rows)
        for _, step in steps:
            features = step.transform(features)
        boosted = TrAdaBoost(clone(classifier))
        domain = np.where(rows < self.of_source, 1, -1)
        boosted.fit_soft(features, labels.shares, sample_weight=weights, sample_domain=domain)
        return Pipeline([*steps, ("classifier", boosted)])


def needed_labels(setting: Setting) -> FewLabels:
    """The few labels of the target. Raises TableError if there are none."""
    if setting.few is None:
        raise TableError("no labels of the target were drawn; say with shots how many a class")
    return setting.few


def _shares(table: FeatureTable, classes: list[str]) -> Floats:
    """(n, classes): the labels of the table as shares of these classes."""
    spread = np.zeros((len(table), len(classes)))
    spread[:, [classes.index(name) for name in table.classes]] = table.labels_of(np.arange(len(table))).shares
    return spread
