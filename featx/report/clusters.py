"""Clusters of images as a table, and their agreement with labels as another."""

from typing import TYPE_CHECKING

from featx.report.drawings import Bars, Span
from featx.report.measures import show_interval
from featx.report.section import Section
from featx.showing import shorten, show_counts

if TYPE_CHECKING:
    from featx.transfer import Clustering

_TITLES = {
    "adjusted_rand": "adjusted Rand index",
    "adjusted_mutual_information": "adjusted mutual information",
    "normalised_mutual_information": "normalised mutual information",
    "homogeneity": "homogeneity",
    "completeness": "completeness",
    "v_measure": "V-measure",
    "purity": "purity",
    "matched_accuracy": "accuracy after matching",
}
_SHOWN_LABELS = 3
_AGREEMENT = ("measure", "value", "95 % interval")


def cluster_sections(found: "Clustering") -> list[Section]:
    """One row for each cluster; then one for each measure of the agreement, if there are labels."""
    rows = tuple(
        (
            str(one.number),
            f"{one.images:,}",
            one.representative,
            "" if one.silhouette is None else f"{one.silhouette:.2f}",
            shorten(show_counts(one.labels.items()), most=_SHOWN_LABELS),
        )
        for one in found.clusters
    )
    columns = ("cluster", "images", "typical image", "silhouette", "labels")
    return [
        Section(title=f"clusters by {found.method}", columns=columns, rows=rows, notes=tuple(_notes(found))),
        *_agreement(found),
    ]


def _notes(found: "Clustering") -> list[str]:
    notes = list(found.notes)
    if found.silhouette is not None:
        notes.insert(0, f"mean silhouette of a sample of images: {found.silhouette:.3f}")
    if found.tried:
        scores = ", ".join(f"{number} ({score:.3f})" for number, score in found.tried.items())
        notes.append(f"numbers of clusters that were tried, with the mean silhouette: {scores}")
    return notes


def _agreement(found: "Clustering") -> list[Section]:
    agreement = found.agreement
    if agreement is None:
        return []
    rows = []
    spans = []
    for name, title in _TITLES.items():
        ends = getattr(agreement, f"{name}_ci")
        rows.append((title, f"{getattr(agreement, name):.3f}", show_interval(ends) if ends else "unknown"))
        spans.append(Span.within(title, getattr(agreement, name), ends))
    note = f"labels of {agreement.n:,} images; they had no part in the clusters, which the intervals hold fixed"
    return [
        Section(
            title="agreement with the labels",
            columns=_AGREEMENT,
            rows=tuple(rows),
            figure=Bars(
                "agreement of the clusters with the labels", "0: as by chance or worse, 1: perfect", tuple(spans)
            ),
            notes=(note,),
            name="agreement",
        )
    ]
