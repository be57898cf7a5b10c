"""What was known of sources before training and what they reached, as a run hands it on."""

from featx.suites import SuiteOutcome, measure_agreement


def test_agreement_follows_from_the_predictions_and_can_be_measured_on_some_targets(
    three_targets: SuiteOutcome,
) -> None:
    for group, known in three_targets.predictions.items():
        own = tuple(one.agreement for one in three_targets.agreement if one.group == group)
        assert measure_agreement(known) == own
        assert len({one.target for one in known}) == 3
        first = known[0].target
        alone = measure_agreement([one for one in known if one.target == first])
        assert all(row.regret is None or row.regret.targets == 1 for row in alone)
