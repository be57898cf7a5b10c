"""Learning curves as tables: what people read where a number is not known."""

from featx.report.curves import curve_sections
from featx.transfer import CurvePoint, LabelsNeeded, LabelsSaved, LearningCurve


def make_curve(needed: LabelsNeeded, *saved: LabelsSaved) -> LearningCurve:
    """Two points of a source."""
    points = [
        CurvePoint("lite0", "pooled", "logreg", shots, "balanced_accuracy", value, (value - 0.1, value + 0.1), 50, 5)
        for shots, value in ((2, 0.6), (8, 0.7))
    ]
    return LearningCurve(tuple(points), (needed,), saved, (), ("a note",))


def save(shots: int, found: int | None, ratio: float | None, ratio_ci: tuple[float, float | None]) -> LabelsSaved:
    """What the baseline needs to reach a point."""
    needed = ("raw-pixels", "pixels", "logreg", found, (1, None))
    return LabelsSaved("lite0", "pooled", "logreg", shots, 0.7, *needed, ratio, ratio_ci)


def test_open_ends_are_said_in_words() -> None:
    needed = LabelsNeeded("lite0", "pooled", "logreg", 0.7, 8, (3, None), 16)
    points, labels = curve_sections(make_curve(needed, save(2, 6, 2.83, (1.25, 4.0)), save(8, None, None, (0.5, None))))
    assert points.columns[4:] == ("balanced accuracy", "95 % interval", "the baseline needs", "times as many")
    assert points.rows[0][3:] == ("2", "0.600", "0.500 – 0.700", "6", "2.8 (1.2 – 4.0)")
    assert points.rows[1][6:] == ("more than 8", "0.5 or more")
    assert points.notes == ("a note",)
    assert labels.title == "labels needed for balanced accuracy 0.7"
    assert labels.rows == (("lite0", "pooled", "logreg", "8", "3 – more than 8", "16"),)


def test_a_target_that_is_surely_out_of_reach_has_one_text() -> None:
    needed = LabelsNeeded("lite0", "pooled", "logreg", 0.9, None, (8, None), None)
    points, labels = curve_sections(make_curve(needed))
    assert points.columns[-1] == "95 % interval"
    assert labels.rows == (("lite0", "pooled", "logreg", "more than 8", "more than 8", "–"),)
