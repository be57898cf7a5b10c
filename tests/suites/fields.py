"""The fields of a suite that has run."""

from featx.suites import SuiteOutcome
from featx.suites.preparing import PreparedTarget
from featx.suites.standing import Field, list_fields
from featx.suites.suite import Protocol, Target
from featx.suites.tabling import read_target


def fields_of(outcome: SuiteOutcome) -> list[Field]:
    """What every source of the suite of `three_targets` reached on every target."""
    protocol = Protocol(
        heads=("class-mean",), shots=(2,), repeats=2, splits="stratified", tuning="validation", device="cpu"
    )
    outputs = {"tiny": ("features", "logits"), "other": (), "known": (), "pixels": ()}
    targets = [
        read_target(
            PreparedTarget(Target(name=name, images=(name,), weight=weight), None, {}, None, None),
            {outcome.folder / "caches" / name / f"{backbone}.h5": chosen for backbone, chosen in outputs.items()},
            protocol,
        )
        for name, weight in (("first", 1.0), ("second", 2.0), ("third", 1.0))
    ]
    candidates = [one for target in targets for one in target.candidates(protocol)]
    return list_fields(targets, candidates, outcome.results)
