"""The sections of every kind of result: their answers in a sentence, and figures that show what their tables say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from featx.choosing import SourceTrials, TriedSource
from featx.compare import RankedCandidate
from featx.labels import Labels
from featx.measures import Comparison, measure
from featx.report import (
    Section,
    adaptation_sections,
    curve_sections,
    gain_sections,
    gap_sections,
    metrics_sections,
    ranking_sections,
    render_csv,
    render_latex,
    render_markdown,
    results_sections,
    scores_sections,
    trials_sections,
)
from featx.report.drawings import Bars, Forest, Lines, Matrix
from featx.transfer import (
    Adaptation,
    AdaptationRow,
    ClassShare,
    Gain,
    Gap,
    PartGain,
    RankedSource,
    SourceGain,
    SourceScore,
    TransferScores,
)
from tests.measures.test_measures import make_case
from tests.report.test_figures import make_curve
from tests.report.test_report import make_result

NAME = "<b>&$\\input{x}"
"""A name that acts in no form."""
COMPARISON = Comparison("a", "b", -0.1, (-0.2, -0.01), 0.01, 0.02, "a test", 120)
HARMED = PartGain(NAME, 10, -0.5, (-0.8, -0.2), 0.001, 0.002, "harms")


def make_gain() -> Gain:
    """A source that helps with four labels a class and harms one class, and one that says nothing."""
    row = SourceGain(
        backbone=NAME,
        output="out",
        head="logreg",
        baseline="majority",
        baseline_head="",
        shots=4,
        n=100,
        accuracy=0.8,
        accuracy_ci=(0.7, 0.9),
        baseline_accuracy=0.5,
        difference=0.3,
        ci=(0.2, 0.4),
        p=0.001,
        p_holm=0.002,
        verdict="helps",
        why="",
        test="t",
        per_class=(HARMED,),
    )
    unsure = replace(row, shots=None, difference=0.0, ci=None, p=None, p_holm=None, verdict="undecided", why="few")
    return Gain((row, unsure), (), "accuracy", ())


def make_gap() -> Gap:
    """A shift of labels."""
    shares = (ClassShare(NAME, 0.5, 0.2, (0.1, 0.3), 0.25, (0.1, 0.4)),)
    seen: dict[str, Any] = {"columns": (), "blocks": (), "source_rows": 100, "target_rows": 90, "notes": ("a note",)}
    tests: dict[str, Any] = {"auroc": 0.5, "ci": (0.4, 0.6), "weighted_auroc": None, "weighted_ci": None}
    return Gap(verdict="label shift", adapts=False, **tests, mmd=0.1, p=0.2, class_p=0.01, shares=shares, **seen)


def make_adaptation() -> Adaptation:
    """A method beside doing nothing, whose head is kept."""
    none = AdaptationRow(
        method="none",
        stands_for="none",
        n=50,
        accuracy=0.6,
        accuracy_ci=(0.5, 0.7),
        balanced_accuracy=0.6,
        source_accuracy=0.9,
        difference=None,
        ci=None,
        p=None,
        p_holm=None,
        verdict=None,
        why="",
        test="",
        unsupervised=True,
        target_labels=0,
        transductive=False,
        chosen=False,
    )
    better = replace(none, method="coral", stands_for="coral", difference=0.1, ci=(0.05, 0.15), verdict="helps")
    return Adaptation((none, replace(better, chosen=True)), make_gap(), None, "accuracy", ())


def make_ranking() -> list[RankedCandidate]:
    """The reference, and a candidate that is surely worse."""
    results = (make_result(measure(*make_case())),)
    best = RankedCandidate("logreg on lite0", "logreg", "", ("lite0",), "stratified", results, reference=True)
    return [best, replace(best, name=NAME, rank=2, reference=False, comparison=COMPARISON)]


def make_scores() -> TransferScores:
    """Two sources that are tied, of which one has no value."""
    rows = (SourceScore(NAME, "out", "ridge", 0.9, (0.8, 0.95), 1.0), SourceScore("b", "out", "ridge", None, None, 1.0))
    ranking = (RankedSource(NAME, "out", 1, True, 0.9, 0.0, None), RankedSource("b", "out", 2, True, 0.1, -0.1, None))
    return TransferScores(rows, ranking, ())


def make_trials() -> SourceTrials:
    """A backbone that was tried on a sample."""
    tried = TriedSource(
        backbone=NAME,
        output="out",
        rank=1,
        tied=True,
        first_in=1.0,
        difference=0.0,
        ci=None,
        accuracy=0.8,
        accuracy_ci=(0.7, 0.9),
        images=40,
        seconds_for_all=3.0,
    )
    return SourceTrials((SourceScore(NAME, "out", "ridge", 0.8, None, 1.0),), (tried,), (), (), {}, ())


def only(sections: list[Section], name: str) -> Section:
    """The section of this name."""
    (found,) = (section for section in sections if section.name == name)
    return found


def test_a_gain_is_a_forest_around_zero_and_counts_its_verdicts() -> None:
    section = only(gain_sections(make_gain()), "gain")
    assert section.sentence == "Of 2 rows: helps 1, harms 0, undecided 1."
    assert isinstance(section.figure, Forest)
    assert section.figure.reference == 0
    assert [(span.name, span.value, span.low, span.note) for span in section.figure.spans] == [
        (f"{NAME}:out, shots 4", 0.3, 0.2, "helps"),
        (f"{NAME}:out, shots all", 0.0, None, "undecided"),
    ]


def test_an_adaptation_is_a_forest_of_what_was_compared_and_says_what_is_kept() -> None:
    (section,) = adaptation_sections(make_adaptation())
    assert section.sentence == "The gap is label shift; coral helps: +0.100 (0.050 – 0.150)."
    assert isinstance(section.figure, Forest)
    assert [(span.name, span.value) for span in section.figure.spans] == [("coral, kept", 0.1)]
    assert len(set(section.columns)) == len(section.columns)


def test_shares_of_a_gap_are_bars_of_the_source_and_the_target() -> None:
    sections = gap_sections(make_gap())
    assert only(sections, "gap").sentence == "The gap is label shift; adapting is not advised."
    figure = only(sections, "shares").figure
    assert isinstance(figure, Bars)
    assert [(span.value, span.high) for span in figure.spans] == [(0.5, None), (0.2, 0.3)]


def test_a_ranking_is_two_forests_one_of_values_and_one_of_differences() -> None:
    ranking = make_ranking()
    values, differences = ranking_sections(ranking)
    assert isinstance(values.figure, Forest)
    value = ranking[0].results[0].metrics
    assert [(span.value, span.low) for span in values.figure.spans] == [(value.accuracy, value.accuracy_ci[0])] * 2
    assert values.sentence.startswith("logreg on lite0 is the best candidate by validation images: accuracy")
    assert values.sentence.endswith(f"from {NAME}, +0.100, is beyond chance (p 0.020 after Holm's correction).")
    assert differences.sentence.endswith("of 1 other, 0 are better and 1 worse, beyond chance (p < 0.05).")
    assert isinstance(differences.figure, Forest)
    assert differences.figure.reference == 0
    assert [(span.value, span.low, span.high) for span in differences.figure.spans] == [(-0.1, -0.2, -0.01)]
    assert differences.rows == ((NAME, "-0.100", "-0.200 – -0.010", "0.010", "0.020", "worse"),)


def test_several_splits_have_no_interval_that_is_of_one_of_them() -> None:
    ranking = [replace(one, results=one.results * 2) for one in make_ranking()]
    figure = ranking_sections(ranking)[0].figure
    assert isinstance(figure, Forest)
    assert {span.low for span in figure.spans} == {None}
    assert "mean of 2 splits" in figure.x_title


def test_scores_and_trials_are_bars_of_what_has_a_value() -> None:
    (scores,), (trials,) = scores_sections(make_scores()), trials_sections(make_trials())
    assert isinstance(scores.figure, Bars)
    assert isinstance(trials.figure, Bars)
    assert [(span.value, span.note) for span in scores.figure.spans] == [(0.9, "tied")]
    assert [(span.name, span.high) for span in trials.figure.spans] == [(NAME, 0.9)]
    assert scores.sentence == f"To train: {NAME}:out, b:out, of 2."


def test_curves_are_lines_and_the_sentence_names_the_fewest_labels() -> None:
    curve = make_curve("lite0", "pixels")
    section = only(curve_sections(curve), "curves")
    assert isinstance(section.figure, Lines)
    assert section.figure.references == (0.65,)
    assert [(line.name, len(line.points)) for line in section.figure.lines] == [("lite0", 3), ("pixels", 3)]
    assert section.sentence == "lite0 with logreg needs the fewest labels to reach accuracy 0.65: 16."
    free = only(curve_sections(replace(curve, labels_needed=())), "curves")
    assert free.sentence.startswith("With 16 images of each class, accuracy is: lite0 0.700 (0.650 – 0.750); pixels")


def test_the_matrix_of_an_evaluation_has_all_images_and_its_table_the_most_frequent_confusions() -> None:
    metrics = measure(*make_case())
    sections = metrics_sections(metrics)
    confusion = only(sections, "confusion")
    assert isinstance(confusion.figure, Matrix)
    assert sum(map(sum, confusion.figure.counts)) == metrics.n
    wrong = sum(int(images) for _, _, images in confusion.rows)
    right = sum(row[place] for place, row in enumerate(confusion.figure.counts))
    assert wrong + right == metrics.n
    assert [int(images) for _, _, images in confusion.rows] == sorted(int(row[2]) for row in confusion.rows)[::-1]
    bars = only(sections, "classes").figure
    assert isinstance(bars, Bars)
    assert [span.value for span in bars.spans] == [row.recall for row in metrics.per_class]


def test_a_single_test_image_and_no_mistake_are_sections_too() -> None:
    metrics = measure(np.array([[0.9, 0.1]]), Labels((NAME, "b"), np.zeros(1, np.int64)))
    sections = metrics_sections(metrics)
    assert only(sections, "confusion").sentence == "No image is predicted wrongly."
    assert all(render_markdown(section) and render_latex(section) for section in sections)


@pytest.mark.parametrize("kind", ["several", "several weighted"])
def test_images_with_several_labels_have_no_confusion(kind: str) -> None:
    assert "confusion" not in [section.name for section in metrics_sections(measure(*make_case(kind)))]


def test_a_result_alone_says_what_it_reaches_and_several_choose_none_by_test_images() -> None:
    result = make_result(measure(*make_case()))
    (alone,) = results_sections([result])
    assert alone.sentence.startswith("logreg reaches accuracy ")
    (several,) = results_sections([result, replace(result, head="ridge")])
    assert several.sentence == ""
    assert isinstance(several.figure, Forest)
    assert [span.name for span in several.figure.spans] == ["logreg", "ridge"]


def test_every_kind_of_section_is_written_in_every_form() -> None:
    sections = [
        *(*gain_sections(make_gain()), *adaptation_sections(make_adaptation()), *gap_sections(make_gap())),
        *ranking_sections(make_ranking()),
        *(*scores_sections(make_scores()), *trials_sections(make_trials()), *curve_sections(make_curve(NAME))),
        *metrics_sections(measure(*make_case())),
    ]
    for section in sections:
        assert NAME not in render_markdown(section)
        assert NAME not in render_latex(section)
    assert render_csv(sections).count("\r\n") == 1 + sum(len(section.rows) for section in sections)
