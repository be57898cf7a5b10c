"""Tries several backbones on a sample of the images, before all images are extracted with any of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from featx.backbones import Backbone
from featx.choosing.candidates import Candidate, Extraction
from featx.choosing.rounds import Trial
from featx.choosing.sampling import Sample
from featx.choosing.trials import SourceTrials, TriedSource
from featx.errors import ChoiceError
from featx.extract import Progress
from featx.inputs import ImageSet
from featx.settings import DEFAULT_STORAGE, DEFAULTS, SAMPLE, TRIALS, Settings, Storage
from featx.transfer import DEFAULT_SCORES, check_scores


def choose_source(
    images: ImageSet,
    backbones: Sequence[str | Backbone],
    *,
    sample: int = SAMPLE,
    budget: float | None = None,
    into: Path | str = TRIALS,
    scores: Sequence[str] = DEFAULT_SCORES,
    models: Path | str | None = None,
    settings: Settings = DEFAULTS,
    storage: Storage = DEFAULT_STORAGE,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
) -> SourceTrials:
    """The backbones in the order of their promise for these images, by what a sample of the images shows.

    The sample is stratified, of whole groups if there are groups, and only of images that `train_head` would learn
    from with this seed. A quarter of it, half and all of it go through the candidates, round by round. After each
    round those are dropped whose accuracy of left-out ridge regression is below the first one's by more than the paired
    interval, widened for all comparisons of all rounds (Bonferroni): at most the worse half, or all but the first. It
    ends when one is left, when all of the sample was tried, or when a further round would not fit into `budget`.

    The features are kept: `extract_features` into `into`/NAME.h5 with the same images and settings computes only the
    other images, and so does the same call.

    Args:
        images: the image set, with labels.
        backbones: backbones, or their names.
        sample: most images that each candidate is tried on.
        budget: seconds; the first round ends in any case.
        into: the folder of the caches.
        scores: further scores to compute; the ranking does not use them.
        models: the folder of your own backbones.
        settings: device, batch size and how images are decoded.
        storage: type in which features are stored.
        seed: decides which images are drawn.
        report: called with the number of images that all candidates have computed.

    Raises TableError if the images have no labels, too few classes or cannot be split, ChoiceError for an unknown score
    or no backbone, BackboneError if no candidate can be run. A candidate that fails alone is in `failed`.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> found = featx.choose_source(images, ["efficientnet-lite0", "raw-pixels"], sample=40, into="tried")
    >>> [(one.backbone, one.dropped_in) for one in found.ranking]
    [('efficientnet-lite0', None), ('raw-pixels', 1)]
    """
    check_scores(scores)
    if not backbones:
        raise ChoiceError("there is no backbone to try; name at least one")
    extraction = Extraction(images, Path(into), models, settings, storage)
    drawn = Sample.draw(images, size=sample, seed=seed)
    candidates = [Candidate(given, extraction) for given in dict.fromkeys(backbones)]
    trial = Trial(list(candidates), drawn, scores, budget, report)
    why = trial.run()
    caches = {one.name: str(one.path) for one in candidates if one.cache is not None}
    ranking = _rank(trial)
    rows = tuple(row for one in ranking for row in trial.rows[one.backbone])
    notes = tuple(_notes(trial, why, Path(into)))
    return SourceTrials(rows, ranking, tuple(trial.dropped), tuple(trial.failed), caches, notes)


def _rank(trial: Trial) -> tuple[TriedSource, ...]:
    """The sources that are left, in their order, then those that were dropped, the last ones first."""
    names = [one.name for one in trial.alive]
    left = sorted((trial.found[name] for name in names), key=lambda one: one.rank)
    gone = sorted(trial.dropped, key=lambda one: (-one.round, -one.difference))
    ranking = [*left, *(trial.found[one.backbone] for one in gone)]
    return tuple(replace(one, rank=rank) for rank, one in enumerate(ranking, start=1))


def _notes(trial: Trial, why: str, folder: Path) -> Iterator[str]:
    """Which images were tried, why it ended, what is kept, and what a reader must know of the ranking."""
    assert trial.last is not None
    known = len(trial.sample.learnable)
    groups = ", in whole groups" if trial.sample.table.groups is not None else ""
    yield f"tried on {trial.images:,} of {known:,} training and validation images{groups}; no test image was looked at"
    yield why
    for one in trial.dropped:
        low, high = one.ci
        yield (
            f"dropped after round {one.round}: {one.backbone}, {one.difference:+.3f} ({low:+.3f} to {high:+.3f}) "
            f"against {one.against} on {one.images:,} images"
        )
    for failed in trial.failed:
        yield f"failed: {failed.backbone}: {failed.reason}"
    yield from trial.last.notes[1:]
    yield f"the features are kept: `featx extract` with --into {folder}/NAME.h5 computes only the others"
