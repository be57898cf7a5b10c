"""Whether p-values and intervals are true: simulations in which the truth is known.

    python benchmarks/validity.py [--simulations N] [--only tests|intervals|temperature]

False positives: how often a paired test says p < 0.05 of two heads that are equally good. Coverage: how often a 95 %
interval holds the measure of the population, among the samples for which one is given. Temperature: how much log loss,
in nats per image, the probabilities of small sets lose against the best temperature for the test images. Seeds are
fixed. Everything is made up of Gaussian classes, except the features of the temperatures, which are the digits and the
tumours that scikit-learn ships.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import keep, read
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featx.labels import Labels
from featx.measures import (
    Comparison,
    SharedImages,
    corrected_t_test,
    domains_t_test,
    draws_t_test,
    fit_temperature,
    mcnemar,
    paired_bootstrap,
    paired_recalls,
)
from featx.measures.resampled import MEASURES, resample_all

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
PAIR = ("a", "b")
RESAMPLES = 400
"""Fewer than featx draws, for speed."""
POPULATION = 400_000
"""Images of which the true measures are computed."""
GROUPS_OF_POPULATION = 20_000


@dataclass(frozen=True)
class Sample:
    """How the test images of one scenario of intervals are drawn, and how good the head is."""

    name: str
    n: int
    prior: tuple[float, ...]
    apart: float
    """Distance of the true class's score from the others, in standard deviations."""
    groups: int = 0
    unequal: bool = False
    """Whether the groups have unequal sizes."""

    def draw(self, rng: np.random.Generator, *, population: bool = False) -> tuple[Floats, Labels]:
        """Probabilities and labels of a sample, or of the population."""
        names = _draw_groups(self, rng, population=population) if self.groups else None
        n = (POPULATION if population else self.n) if names is None else len(names)
        classes = len(self.prior)
        if names is None:
            share, bias, apart = np.tile(self.prior, (n, 1)), np.zeros((n, classes)), np.full((n, 1), self.apart)
        else:
            count = int(names.max()) + 1
            share = rng.dirichlet(3 * np.array(self.prior) * classes, count)[names]
            bias = 0.7 * rng.normal(size=(count, classes))[names]
            apart = self.apart * np.exp(0.3 * rng.normal(size=(count, 1)))[names]
        codes = (share.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        scores = rng.normal(size=(n, classes)) + apart * np.eye(classes)[codes] + bias + 0.5 * np.log(self.prior)
        groups = None if names is None else names.astype("S")
        return softmax(self.apart * scores, axis=1), Labels(tuple("abcdefghij"[:classes]), codes, groups=groups)


def _draw_groups(sample: Sample, rng: np.random.Generator, *, population: bool) -> Codes:
    """The group of each image."""
    count = GROUPS_OF_POPULATION if population else sample.groups
    mean = sample.n / sample.groups
    sizes = np.maximum(1, rng.poisson(rng.gamma(2, mean / 2, count))) if sample.unequal else np.full(count, round(mean))
    return np.repeat(np.arange(count), sizes)


PRIORS = {
    "2 classes": (0.5, 0.5),
    "2 imbalanced": (0.85, 0.15),
    "5 classes": (0.2,) * 5,
    "5 imbalanced": (0.5, 0.25, 0.15, 0.06, 0.04),
}


def samples() -> Iterator[Sample]:
    """The scenarios of intervals."""
    for n in (50, 100, 200):
        for name, prior in PRIORS.items():
            for apart in (1.0, 2.0, 3.5):
                yield Sample(f"{name}, {n} images, {apart} apart", n, prior, apart)
    for groups in (5, 10, 20):
        for name in ("2 classes", "2 imbalanced", "5 classes"):
            for apart in (1.0, 2.5):
                for unequal in (False, True):
                    sizes = "unequal" if unequal else "equal"
                    title = f"{name}, {groups} {sizes} groups, {apart} apart"
                    yield Sample(title, 20 * groups, PRIORS[name], apart, groups, unequal)


def measure_coverage(simulations: int) -> list[dict[str, Any]]:
    """Coverage of every interval in every scenario, and how often it was given."""
    return [_cover(sample, simulations) for sample in samples()]


def _cover(sample: Sample, simulations: int) -> dict[str, Any]:
    names = ("accuracy", *MEASURES)
    truth = resample_all(*sample.draw(np.random.default_rng(99), population=True), seed=0, resamples=(1, 1))
    true = {name: truth.value(name) for name in names}
    rng = np.random.default_rng(1)
    held: dict[str, list[bool]] = {name: [] for name in names if true[name] is not None}
    for seed in range(simulations):
        found = resample_all(*sample.draw(rng), seed=seed, resamples=(RESAMPLES, RESAMPLES))
        for name, inside in held.items():
            if interval := found.interval(name):
                inside.append(interval[0] <= (true[name] or 0.0) <= interval[1])
    coverage = {name: float(np.mean(inside)) if inside else None for name, inside in held.items()}
    given = {name: len(inside) / simulations for name, inside in held.items()}
    print(sample.name, {name: value and round(value, 3) for name, value in coverage.items()}, flush=True)
    return {"scenario": asdict(sample), "true": true, "coverage": coverage, "given": given}


@dataclass(frozen=True)
class Draws:
    """Few-shot draws of one set of images, on which two equally good heads are trained."""

    shots: int
    draws: int
    test: int
    """Number of images that every draw is tested on; 0 for all that the draw left."""

    @property
    def name(self) -> str:
        """As tables show it."""
        tested = f"{self.test} fixed test images" if self.test else "the rest tested"
        return f"few-shot, {self.shots} shots x {self.draws} draws, {tested}"


def _nearest_mean(features: Floats, codes: Codes, train: Codes, test: Codes) -> Codes:
    means = np.stack([features[train][codes[train] == label].mean(axis=0) for label in range(int(codes.max()) + 1)])
    nearest: Codes = ((features[test][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    return nearest


def _equal_features(rng: np.random.Generator, codes: Codes) -> dict[str, Floats]:
    """Two sets of features that share noise and tell classes apart equally well."""
    means = rng.normal(size=(int(codes.max()) + 1, 10))
    means *= 2.5 / np.linalg.norm(means, axis=1, keepdims=True)
    common = 0.6 * rng.normal(size=(len(codes), 10))
    return {name: means[codes] + common + 0.8 * rng.normal(size=common.shape) for name in PAIR}


def compare_on_draws(draws: Draws, rng: np.random.Generator) -> Comparison:
    """The comparison of two equally good heads."""
    pool = 800
    codes = np.arange(pool + draws.test) % 5
    features = _equal_features(rng, codes)
    train, test = [], []
    for _ in range(draws.draws):
        order = rng.permutation(pool)
        drawn = np.concatenate([order[codes[order] == label][: draws.shots] for label in range(5)])
        train.append(drawn)
        test.append(np.arange(pool, len(codes)) if draws.test else np.setdiff1d(order, drawn))
    guesses = {
        name: [_nearest_mean(of, codes, *rows) for rows in zip(train, test, strict=True)]
        for name, of in features.items()
    }
    labels = [Labels(tuple("abcde"), codes[rows]) for rows in test]
    scores = {
        name: [float((guess == one.codes).mean()) for guess, one in zip(of, labels, strict=True)]
        for name, of in guesses.items()
    }
    shared = SharedImages.of_guesses(guesses, labels=labels, rows=test)
    return draws_t_test(scores, [PAIR], train=train, tested=shared)[0]


def compare_on_splits(rng: np.random.Generator) -> Comparison:
    """The comparison of two equally good heads on five stratified quarters."""
    codes = np.arange(400) % 5
    features = _equal_features(rng, codes)
    scores: dict[str, list[float]] = {name: [] for name in PAIR}
    for _ in range(5):
        order = rng.permutation(400)
        for name, of in features.items():
            guess = _nearest_mean(of, codes, order[100:], order[:100])
            scores[name].append(float((guess == codes[order[:100]]).mean()))
    return corrected_t_test(scores, [PAIR], train=[300] * 5, test=[100] * 5)[0]


def compare_on_groups(count: int, rng: np.random.Generator, *, unequal: bool, balanced: bool = False) -> Comparison:
    """The comparison of two equally good heads on `count` groups; which of them is better varies with the group."""
    sizes = np.maximum(1, rng.poisson(rng.gamma(2, 10, count))) if unequal else np.full(count, 20)
    group = np.repeat(np.arange(count), sizes)
    codes = (rng.random(len(group)) < 0.4).astype(np.int64)
    labels = Labels(("a", "b"), codes, groups=group.astype("S"))
    common = rng.normal(size=count)
    chance = {name: 1 / (1 + np.exp(-1.5 - common - 0.7 * rng.normal(size=count)))[group] for name in PAIR}
    right = {name: (rng.random(len(group)) < of).astype(np.float64) for name, of in chance.items()}
    if not balanced:
        return paired_bootstrap(right, [PAIR], labels=labels)[0]
    guesses = {name: np.where(of > 0, codes, 1 - codes) for name, of in right.items()}
    return paired_recalls(guesses, [PAIR], labels=labels)[0]


def compare_on_domains(sizes: Sequence[int], rng: np.random.Generator, *, drawn_by_all: bool = False) -> Comparison:
    """The comparison of two equally good heads over domains, or over the same things drawn by each of these domains."""
    rows = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    luck = [rng.random(size) for size in sizes]
    own: dict[str, list[Floats]] = {name: [rng.random(size) for size in sizes] for name in PAIR}
    if drawn_by_all:
        luck = luck[:1] * len(sizes)
        own = {name: of_head[:1] * len(sizes) for name, of_head in own.items()}
    right: dict[str, list[Floats]] = {name: [] for name in PAIR}
    for place, size in enumerate(sizes):
        chance = 0.9 - 0.1 * place
        common = rng.random(size) < 0.5
        for name in PAIR:
            found = np.where(common, luck[place], own[name][place])
            again = rng.random(size) < 0.3  # of a thing that is seen again, some drawings are luckier than others
            right[name].append((np.where(again, rng.random(size), found) < chance).astype(np.float64))
    groups = np.arange(sizes[0]).astype("S") if drawn_by_all else None
    labels = [Labels(("a", "b"), np.zeros(size, np.int64), groups=groups) for size in sizes]
    tested = SharedImages.of_values(right, labels=labels, rows=rows)
    scores = {name: [float(one.mean()) for one in of_head] for name, of_head in right.items()}
    return domains_t_test(scores, [PAIR], tested=tested, domains=len(sizes))[0]


def compare_on_images(n: int, rng: np.random.Generator, *, test: Callable[..., tuple[Comparison, ...]]) -> Comparison:
    """The comparison of two equally good heads on single images, half of which are equally hard for both."""
    luck = rng.random(n)
    right = {name: (np.where(rng.random(n) < 0.5, luck, rng.random(n)) < 0.85).astype(np.float64) for name in PAIR}
    return test(right, [PAIR], labels=Labels(("a", "b"), np.zeros(n, np.int64)))[0]


def measure_false_positives(simulations: int) -> list[dict[str, Any]]:
    """The share of p-values below 0.05 in every scenario."""
    scenarios: dict[str, Callable[[np.random.Generator], Comparison]] = {}
    for draws in (Draws(4, 5, 100), Draws(16, 5, 100), Draws(64, 5, 100), Draws(16, 20, 100), Draws(16, 5, 0)):
        scenarios[draws.name] = partial(compare_on_draws, draws)
    scenarios["5 stratified splits"] = compare_on_splits
    for count in (5, 10, 20):
        scenarios[f"{count} equal groups"] = partial(compare_on_groups, count, unequal=False)
        scenarios[f"{count} unequal groups"] = partial(compare_on_groups, count, unequal=True)
        balanced = partial(compare_on_groups, count, unequal=False, balanced=True)
        scenarios[f"{count} equal groups, balanced accuracy"] = balanced
    scenarios["2 domains of 100 images"] = partial(compare_on_domains, (100, 100))
    scenarios["3 domains of 30, 100 and 300 images"] = partial(compare_on_domains, (30, 100, 300))
    for count in (20, 60):
        drawn = partial(compare_on_domains, (count,) * 4, drawn_by_all=True)
        scenarios[f"4 domains that draw the same {count} things"] = drawn
    scenarios["100 images, bootstrap"] = partial(compare_on_images, 100, test=paired_bootstrap)
    scenarios["100 images, McNemar"] = partial(compare_on_images, 100, test=mcnemar)
    return [_count_positives(name, compare, simulations) for name, compare in scenarios.items()]


def _count_positives(
    name: str, compare: Callable[[np.random.Generator], Comparison], simulations: int
) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    found = [compare(rng).p for _ in range(simulations)]
    share = float(np.mean([p is not None and p < 0.05 for p in found]))
    print(name, round(share, 3), flush=True)
    return {"scenario": name, "false_positives": share, "simulations": simulations}


def _classifiers() -> dict[str, Any]:
    return {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        "ridge": make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0)),
    }


def _scores(fitted: Any, features: Floats) -> Floats:
    scores = fitted.decision_function(features)
    return np.column_stack([-scores / 2, scores / 2]) if scores.ndim == 1 else scores


def _nats(scores: Floats, codes: Codes, temperature: float) -> float:
    return float(-log_softmax(scores / temperature, axis=1)[np.arange(len(codes)), codes].mean())


def measure_temperature(repeats: int) -> list[dict[str, Any]]:
    """Nats above those of the best temperature, of temperatures fitted on few images."""
    sets = {"digits": load_digits(return_X_y=True), "tumours": load_breast_cancer(return_X_y=True)}
    rows = []
    for name, n, classifier, folds in itertools.product(sets, (50, 150), _classifiers(), (1, 5)):
        lost = [_lose(*sets[name], n=n, classifier=classifier, folds=folds, seed=seed) for seed in range(repeats)]
        validated_on = "a fifth" if folds == 1 else "5 folds"
        about = {"set": name, "images": n, "head": classifier, "validated_on": validated_on}
        rows.append(about | {"mean_nats_lost": float(np.mean(lost)), "most_nats_lost": float(np.max(lost))})
        print(rows[-1], flush=True)
    return rows


def _lose(features: Floats, codes: Codes, *, n: int, classifier: str, folds: int, seed: int) -> float:
    fit, test, fit_codes, test_codes = train_test_split(
        features, codes, train_size=n, stratify=codes, random_state=seed
    )
    cut = StratifiedKFold(5, shuffle=True, random_state=seed).split(fit, fit_codes)
    scores, validated = [], []
    for train, validation in list(cut)[: 1 if folds == 1 else 5]:
        scores.append(_scores(_classifiers()[classifier].fit(fit[train], fit_codes[train]), fit[validation]))
        validated.append(fit_codes[validation])
    labels = Labels(tuple(map(str, range(int(codes.max()) + 1))), np.concatenate(validated).astype(np.int64))
    temperature = fit_temperature(np.concatenate(scores), labels)
    final = _scores(_classifiers()[classifier].fit(fit, fit_codes), test)
    best = minimize_scalar(lambda log: _nats(final, test_codes, np.exp(log)), bounds=(-8, 8), method="bounded")
    return _nats(final, test_codes, temperature) - float(best.fun)


def main() -> None:
    """Simulate what was asked for, and keep it beside what was kept of the rest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=150)
    parser.add_argument("--only", choices=("tests", "intervals", "temperature"))
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "tests": lambda: measure_false_positives(arguments.simulations),
        "intervals": lambda: measure_coverage(arguments.simulations),
        "temperature": lambda: measure_temperature(max(1, arguments.simulations // 25)),
    }
    found = dict(read("validity") or {})
    for name in [arguments.only] if arguments.only else parts:
        start = time.perf_counter()
        found[name] = {"simulations": arguments.simulations, "rows": parts[name]()}
        found[name]["seconds"] = round(time.perf_counter() - start, 1)
    keep("validity", {name: found[name] for name in parts if name in found})


if __name__ == "__main__":
    main()
