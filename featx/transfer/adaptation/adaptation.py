"""What adapting to a target is worth: each method against the head of the source as it is, with a verdict."""

from dataclasses import asdict, dataclass
from typing import Any

from featx.heads import Head
from featx.measures import Interval
from featx.showing import Overview, Shown, shorten
from featx.transfer.gains.gain import Verdict
from featx.transfer.gaps.gap import Gap


@dataclass(frozen=True)
class Versus:
    """A method against another head, on the same test images of the target.

    >>> import featx
    >>> adaptation = featx.adapt_head("photos.h5", "photos.h5", head="ridge", shots=2, jobs=1)
    >>> [(row.method, row.versus_target is not None) for row in adaptation.rows]
    [('none', True), ('auto', True), ('target', False)]
    """

    difference: float
    """The measure of the method minus that of the other head."""
    ci: Interval | None
    """95 % interval of the difference; None if the images say nothing about it."""
    p: float | None
    p_holm: float | None
    """p corrected for all rows that are compared with this head (Holm 1979)."""
    verdict: Verdict
    why: str
    """Why there is no p-value; empty if there is one."""
    test: str
    """The name of the test, with what it counts."""


@dataclass(frozen=True)
class AdaptationRow:
    """What one method reached on the test images of the target. All measures are None if the target has no labels.

    >>> import featx
    >>> row = featx.adapt_head("photos.h5", "photos.h5", head="ridge", jobs=1).rows[-1]
    >>> row.method, row.stands_for, row.chosen, row.difference
    ('auto', 'none', True, 0.0)
    """

    method: str
    """As it was asked for, such as `standardise+self-training`."""
    stands_for: str
    """What was done: of `auto` the method that the gate chose."""
    n: int
    """Number of test images."""
    accuracy: float | None
    """On these images; `Adaptation.measure` says which measure it is."""
    accuracy_ci: Interval | None
    """Its 95 % interval."""
    balanced_accuracy: float | None
    """The mean share of right images over the classes; None too if images have several labels."""
    source_accuracy: float
    """The measure of `accuracy` on test images of the source; for `target`, which has no source, on labelled images."""
    difference: float | None
    """`accuracy` minus that of `none`: below 0 adapting harms."""
    ci: Interval | None
    """95 % interval of the difference; None if the images say nothing about it."""
    p: float | None
    p_holm: float | None
    """p corrected for all methods but `none` (Holm 1979)."""
    verdict: Verdict | None
    """None of `none`, and if nothing is measured."""
    why: str
    """Why there is no p-value; empty if there is one."""
    test: str
    """The name of the test, with what it counts."""
    unsupervised: bool
    """Whether the method used no label of the target."""
    target_labels: int
    """Labelled images of the target that it used."""
    transductive: bool
    """Whether the method saw the test images, without their labels."""
    chosen: bool
    """Whether `Adaptation.head` is of this method."""
    versus_target: Versus | None = None
    """Against the head that is trained on the few labels of the target alone; None without shots, and of it."""


@dataclass(frozen=True, repr=False)
class Adaptation(Shown):
    """What each method of adaptation reached on the target, with the gap between the domains and the adapted head.

    >>> import featx
    >>> adaptation = featx.adapt_head("photos.h5", "photos.h5", head="ridge", jobs=1)
    >>> adaptation
    Adaptation: 2 methods, accuracy on 15 test images of the target
      gap: same
      chosen: auto, which is none
      undecided: auto
    >>> adaptation.head.predict("photos.h5")[:2].tolist()
    ['circle', 'circle']
    """

    rows: tuple[AdaptationRow, ...]
    gap: Gap
    """How far the domains are from each other, and whether `auto` adapts."""
    head: Head | None
    """Reads features of the target; None if no method is chosen: several were tried, and none of them is `auto`."""
    measure: str
    """`accuracy`, `balanced_accuracy` or, of images with several labels, `average_precision`."""
    notes: tuple[str, ...]

    @property
    def chosen(self) -> AdaptationRow | None:
        """The row of the method that `head` is of."""
        return next((row for row in self.rows if row.chosen), None)

    def overview(self) -> Overview:
        """The gap, the chosen method, and which methods help and harm."""
        measured = f"{self.measure.replace('_', ' ')} on {self.rows[0].n} test images of the target"
        what = measured if self.rows[0].accuracy is not None else "not measured, for the target has no labels for it"
        facts = [("gap", self.gap.verdict), ("chosen", _describe_chosen(self.chosen))]
        facts += [(verdict, shorten(self._judged(verdict))) for verdict in ("helps", "harms", "undecided")]
        return Overview(f"Adaptation: {len(self.rows)} methods, {what}", tuple(facts))

    def _judged(self, verdict: str) -> list[str]:
        return [row.method for row in self.rows if row.verdict == verdict]

    def to_records(self) -> list[dict[str, Any]]:
        """One flat row for each method, as `pandas.DataFrame` and `polars.DataFrame` take them."""
        return [_flat(row) for row in self.rows]

    def to_dict(self) -> dict[str, Any]:
        """The adaptation as plain JSON values, without the head."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "gap": self.gap.to_dict(),
            "measure": self.measure,
            "notes": list(self.notes),
        }


def _describe_chosen(row: AdaptationRow | None) -> str:
    if row is None:
        return ""
    return row.method if row.method == row.stands_for else f"{row.method}, which is {row.stands_for}"


def _flat(row: AdaptationRow) -> dict[str, Any]:
    values = asdict(row)
    versus = values.pop("versus_target") or dict.fromkeys(("difference", "ci", "p", "p_holm", "verdict", "why", "test"))
    values |= {f"versus_target_{name}": value for name, value in versus.items()}
    for name in ("accuracy_ci", "ci", "versus_target_ci"):
        low, high = values.pop(name) or (None, None)
        values |= {f"{name}_low": low, f"{name}_high": high}
    return values
