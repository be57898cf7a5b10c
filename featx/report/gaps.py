"""What lies between two domains: the verdict with its numbers, the shares of classes, the columns that move."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featx.report.drawings import Bars, Span
from featx.report.measures import show_p, with_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.transfer import Gap

_SHARES = ("class", "share in the source", "in the target, by EM", "by black-box shift estimation")
_COLUMNS = ("source", "column", "mean difference", "scale ratio", "p")
_BLOCKS = ("source", "columns", "whose mean moves", "mean absolute difference")


def gap_sections(gap: "Gap") -> list[Section]:
    """The verdict; then shares of classes, if the source has labels; then what moves in each output, and most."""
    sentence = f"The gap is {gap.verdict}; adapting is {'advised' if gap.adapts else 'not advised'}."
    title = f"gap: {gap.verdict}"
    sections = [Section(title=title, sentence=sentence, rows=tuple(_facts(gap)), notes=gap.notes, name="gap")]
    if gap.shares:
        title = "shares of classes"
        rows = tuple(
            (
                one.name,
                f"{one.source:.3f}",
                with_interval(f"{one.em:.3f}", one.em_ci),
                with_interval(f"{one.bbse:.3f}", one.bbse_ci),
            )
            for one in gap.shares
        )
        sections.append(
            Section(
                title=title,
                columns=_SHARES,
                rows=rows,
                figure=Bars(title, "share of images", _bars(gap)),
                name="shares",
            )
        )
    blocks = tuple(
        (f"{one.backbone}:{one.output}", f"{one.columns:,}", f"{one.moved:,}", f"{one.mean_difference:.3f}")
        for one in gap.blocks
    )
    note = "in standard deviations of the source; p: Holm's correction over all columns of all outputs"
    sections.append(Section(title="features that move", columns=_BLOCKS, rows=blocks, notes=(note,)))
    if any(one.moved for one in gap.blocks):
        sections.append(Section(title="columns that move most", columns=_COLUMNS, rows=tuple(_columns(gap))))
    return sections


def _bars(gap: "Gap") -> tuple[Span, ...]:
    """For each class its share in the source, and below it that in the target."""
    return tuple(
        span
        for one in gap.shares
        for span in (
            Span(f"{one.name}, source", one.source),
            Span.within(f"{one.name}, target", one.em, one.em_ci, note="by EM"),
        )
    )


def _facts(gap: "Gap") -> Iterator[tuple[str, str]]:
    if gap.auroc is not None:
        yield "AUROC of domains", with_interval(f"{gap.auroc:.3f}", gap.ci)
    if gap.weighted_auroc is not None:
        yield "the same, classes weighted", with_interval(f"{gap.weighted_auroc:.3f}", gap.weighted_ci)
    yield "squared MMD", f"{gap.mmd:.4f} (p {show_p(gap.p)})"
    if gap.class_p is not None:
        yield "equal predicted classes", f"p {show_p(gap.class_p)}"
    yield "adapting is advised", "yes" if gap.adapts else "no"
    yield "images looked at", f"{gap.source_rows:,} of the source, {gap.target_rows:,} of the target"


def _columns(gap: "Gap") -> Iterator[tuple[str, ...]]:
    for one in gap.columns:
        ratio = "–" if one.scale_ratio is None else f"{one.scale_ratio:.3g}"
        yield f"{one.backbone}:{one.output}", str(one.column), f"{one.difference:+.3f}", ratio, show_p(one.p_holm)
