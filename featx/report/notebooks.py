"""What notebooks show of an object of featx: the sections that a report has of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from featx.measures import HeadMetrics
from featx.report.adaptations import adaptation_sections
from featx.report.caches import info_sections
from featx.report.clusters import cluster_sections
from featx.report.curves import curve_sections
from featx.report.drawings import Bars, Span
from featx.report.gains import gain_sections
from featx.report.gaps import gap_sections
from featx.report.heads import head_sections
from featx.report.html import render_fragment
from featx.report.labelling import label_plan_sections
from featx.report.metrics import metrics_sections
from featx.report.ranking import ranking_sections
from featx.report.results import results_sections
from featx.report.scores import scores_sections
from featx.report.section import Section
from featx.report.suites import suite_sections
from featx.report.trials import trials_sections
from featx.report.tunings import tuning_sections
from featx.showing import Shown

_MOST_BARS = 40
"""Classes that have a bar in a figure: the most frequent ones."""


def render_shown(shown: Shown) -> str:
    """The sections of an object as HTML; empty if a report says no more of it than its overview.

    >>> import featx
    >>> from featx.report import render_shown
    >>> "<svg" in render_shown(featx.read_features("photos.h5"))
    True
    """
    sections = sections_of(shown)
    return render_fragment(sections) if sections else ""


def sections_of(shown: Shown) -> list[Section]:
    """What a report says of an object of featx; nothing if it says no more of it than its overview."""
    make = _SECTIONS.get(type(shown).__name__) if type(shown).__module__.startswith("featx.") else None
    return list(make(shown)) if make else []


def _images_sections(images: Any) -> list[Section]:
    """How many images of a table, or of an image set, have each class."""
    if images.labels is None or not len(images.classes):
        return []
    found = np.bincount(images.labels[images.labels >= 0], minlength=len(images.classes)).tolist()
    counts = Counter({name: count for name, count in zip(images.classes, found, strict=True) if count})
    if not counts:
        return []
    most = counts.most_common(_MOST_BARS)
    more = (f"{len(counts) - len(most)} classes with fewer images are left out",) if len(counts) > len(most) else ()
    bars = Bars("Images of each class", "images", tuple(Span(name, count) for name, count in most))
    rows = tuple((name, str(count)) for name, count in most)
    return [Section("Images", columns=("class", "images"), rows=rows, figure=bars, notes=more)]


def _head_sections(head: Any) -> list[Section]:
    """The measures of a head on its test images; nothing if its file does not have them in full."""
    try:
        return metrics_sections(HeadMetrics.from_dict(head.training.get("metrics")))
    except ValueError:  # what msgspec raises
        return []


def _result_sections(result: Any) -> list[Section]:
    """The measures of a result on its test images."""
    return metrics_sections(result.metrics)


def _compared_sections(compared: Any) -> list[Section]:
    """All results of a comparison."""
    return results_sections(compared.results) if compared.results else []


_SECTIONS: Mapping[str, Callable[[Any], Sequence[Section]]] = {
    "Adaptation": adaptation_sections,
    "CacheInfo": info_sections,
    "Clustering": cluster_sections,
    "ComparisonResults": _compared_sections,
    "FeatureTable": _images_sections,
    "FineTuning": tuning_sections,
    "Gain": gain_sections,
    "Gap": gap_sections,
    "Head": _head_sections,
    "HeadInfo": head_sections,
    "HeadMetrics": metrics_sections,
    "ImageSet": _images_sections,
    "LabelPlan": label_plan_sections,
    "LearningCurve": curve_sections,
    "Ranking": ranking_sections,
    "Result": _result_sections,
    "SourceTrials": trials_sections,
    "SuiteOutcome": suite_sections,
    "TransferScores": scores_sections,
}
"""Name of a class -> what a report says of its objects."""
