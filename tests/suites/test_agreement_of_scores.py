"""Agreement over a suite: against code that counts by hand, and from what a run hands over."""

import numpy as np
import pytest
from scipy import stats

from featx.measures import regret_of_first, weighted_tau
from featx.suites import Agreement, Prediction, SuiteOutcome, measure_agreement


def made_up(*, targets: int = 4, sources: int = 6, splits: int = 2, seed: int = 0) -> list[Prediction]:
    """Random truths and scores of several sources, of which the last is a baseline."""
    rng = np.random.default_rng(seed)
    return [
        Prediction(
            target=f"t{target}",
            split=f"s/{split}",
            source=f"b{source}",
            columns=10 * 2**source,
            baseline=source == sources - 1,
            truth=float(rng.uniform(0.4, 0.9)),
            scores={"ridge": float(rng.normal()), "default ranking": float(-source), "columns": 10.0 * 2**source},
            tied=source < 2,
        )
        for target in range(targets)
        for split in range(splits)
        for source in range(sources)
    ]


def found_of(rows: tuple[Agreement, ...], score: str, among: str = "all") -> Agreement:
    """The row of this score."""
    return next(row for row in rows if (row.score, row.among) == (score, among))


def test_each_number_is_averaged_over_splits_and_then_over_targets() -> None:
    known = made_up()
    row = found_of(measure_agreement(known), "ridge")
    taus: list[float] = []
    regrets: list[float] = []
    for target in range(4):
        of_splits = []
        for split in range(2):
            chosen = [one for one in known if (one.target, one.split) == (f"t{target}", f"s/{split}")]
            scores = np.array([one.scores["ridge"] for one in chosen], float)
            truths = np.array([one.truth for one in chosen])
            of_splits.append((weighted_tau(scores, truths), 100 * regret_of_first(scores, truths)))
        taus.append(float(np.mean([tau for tau, _ in of_splits if tau is not None])))
        regrets.append(float(np.mean([regret for _, regret in of_splits])))
    assert row.tau is not None
    assert row.tau.mean == pytest.approx(np.mean(taus))
    half = stats.t.ppf(0.975, 3) * np.std(taus, ddof=1) / 2
    assert row.tau.ci == pytest.approx((max(-1, np.mean(taus) - half), min(1, np.mean(taus) + half)))
    assert row.regret is not None
    assert row.regret.mean == pytest.approx(np.mean(regrets))
    assert row.regret.targets == 4
    assert row.regret.highest >= max(regrets)


def test_the_tied_set_is_judged_by_its_best_source() -> None:
    truths = {"a": 0.9, "b": 0.895, "c": 0.7}
    for tied, expected in (({"b"}, 1.0), ({"c"}, 0.0), ({"b", "c"}, 1.0)):
        known = [
            Prediction("t", "s", name, 4, baseline=False, truth=truth, scores={"default ranking": 1}, tied=name in tied)
            for name, truth in truths.items()
        ]
        row = found_of(measure_agreement(known), "default ranking")
        assert row.tied is not None
        assert (row.tied.mean, row.tied.ci) == (expected, None)


def test_pretrained_sources_are_measured_alone_too() -> None:
    known = made_up(sources=5)
    rows = measure_agreement(known)
    alone = measure_agreement([one for one in known if not one.baseline])
    assert {row.among for row in alone} == {"all"}
    both = found_of(rows, "ridge", "pretrained"), found_of(alone, "ridge")
    assert both[0].tau == both[1].tau
    assert (both[0].sources, found_of(rows, "ridge").sources) == (4, 5)


def test_sources_without_a_score_are_left_out_of_it_and_few_sources_say_nothing() -> None:
    known = [
        Prediction("t", "s", f"b{place}", 4, False, place / 10, {"leep": None if place < 2 else place, "ridge": place})
        for place in range(4)
    ]
    rows = measure_agreement(known)
    assert [row.score for row in rows] == ["ridge"]
    assert measure_agreement([]) == ()
    assert rows[0].tau is not None
    assert rows[0].tau.mean == pytest.approx(1)
    assert rows[0].bias is None


@pytest.mark.exhaustive
def test_a_run_hands_over_scores_and_simple_rivals(three_targets: SuiteOutcome) -> None:
    rows = [one for one in three_targets.agreement if one.group.endswith("/all")]
    scores = {(one.agreement.score, one.agreement.among) for one in rows}
    for score in ("default ranking", "ridge", "press", "logme", "validation accuracy", "columns", "bytes of the model"):
        assert {(score, "all"), (score, "pretrained")} <= scores
    assert ("always the last feature", "all") in scores
    # one card alone has a published accuracy, and that of a baseline does not count
    assert not [one for one in rows if one.agreement.score == "published accuracy"]
    found = next(one.agreement for one in rows if (one.agreement.score, one.agreement.among) == ("ridge", "all"))
    assert found.sources == 5
    assert found.regret is not None
    assert found.regret.targets == 3
