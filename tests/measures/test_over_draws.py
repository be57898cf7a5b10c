"""Intervals over few-shot draws and of labels needed, against what is true of a population that is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from featx.labels import Labels
from featx.measures import (
    Interval,
    SampleSize,
    SharedImages,
    difference_over_draws,
    first_reaching,
    interval_over_draws,
    rising_curve,
    share_of_rows,
    shots_between,
)

CLASSES = 3
DIM = 6
SHOTS = np.array([1, 2, 4, 8, 16])
DRAWS = 5
Images: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64]]
EVERYWHERE = SampleSize(1e9, 1e9)


def draw_images(per_class: int, rng: np.random.Generator, *, apart: float) -> Images:
    """Features and classes of images of a population of Gaussian classes."""
    classes = np.repeat(np.arange(CLASSES), per_class)
    features = rng.normal(size=(len(classes), DIM))
    features[np.arange(len(classes)), classes] += apart
    return features, classes


def guess(train: NDArray[np.float64], labels: NDArray[np.int64], test: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class with the nearest mean."""
    means = np.stack([train[labels == one].mean(axis=0) for one in range(CLASSES)])
    return np.asarray((test @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1))


@cache
def true_accuracy(shots: int, apart: float, blur: float = 0.0) -> float:
    """What the procedure reaches on average over training and test images of the population."""
    rng = np.random.default_rng(shots)
    reached = []
    for _ in range(1500):
        train, labels = draw_images(shots, rng, apart=apart)
        test, classes = draw_images(100, rng, apart=apart)
        blurred = [one + blur * rng.normal(size=one.shape) for one in (train, test)]
        reached.append((guess(blurred[0], labels, blurred[1]) == classes).mean())
    return float(np.mean(reached))


@dataclass(frozen=True)
class Measured:
    """The accuracies of few-shot draws from one pool, and their intervals."""

    means: NDArray[np.float64]
    intervals: NDArray[np.float64]


def measure_pool(rng: np.random.Generator, *, apart: float, per_class: int, balanced: bool = False) -> Measured:
    """A curve as a user gets it: every number of shots is drawn five times from one pool; the rest is tested."""
    features, classes = draw_images(per_class, rng, apart=apart)
    means, intervals = [], []
    for shots in SHOTS:
        train = [draw_rows(classes, int(shots), rng) for _ in range(DRAWS)]
        tested = [np.setdiff1d(np.arange(len(classes)), rows) for rows in train]
        guesses = [guess(features[a], classes[a], features[b]) for a, b in zip(train, tested, strict=True)]
        values = np.array([(found == classes[rows]).mean() for found, rows in zip(guesses, tested, strict=True)])
        labels = [Labels(("a", "b", "c"), codes=classes[rows]) for rows in tested]
        shared = SharedImages.of_guesses({"head": guesses}, labels=labels, rows=tested, balanced=balanced)
        size = SampleSize.of(labels[0], measure="balanced_accuracy" if balanced else "accuracy")
        tests = shared.variance_of("head"), shared.freedom
        means.append(values.mean())
        intervals.append(interval_over_draws(values, shared=share_of_rows(train), tested=tests, size=size))
    return Measured(np.array(means), np.array(intervals))


def draw_rows(classes: NDArray[np.int64], shots: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Training rows of one draw."""
    return np.concatenate([rng.choice(np.flatnonzero(classes == one), shots, replace=False) for one in range(CLASSES)])


def covered(intervals: Sequence[Interval], truth: float) -> float:
    """The share of intervals that contain the truth."""
    low, high = np.array(intervals).T
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.exhaustive
@pytest.mark.parametrize(("apart", "per_class", "balanced"), [(1.5, 40, False), (3.0, 60, False), (2.0, 100, True)])
def test_the_interval_contains_what_the_procedure_reaches_in_the_population(
    apart: float, per_class: int, balanced: bool
) -> None:
    rng = np.random.default_rng(0)
    pools = [measure_pool(rng, apart=apart, per_class=per_class, balanced=balanced) for _ in range(300)]
    for place, shots in enumerate(SHOTS):
        share = covered([pool.intervals[place] for pool in pools], true_accuracy(int(shots), apart))
        assert share >= 0.92, (shots, share)
        widths = np.mean([np.ptp(pool.intervals[place]) for pool in pools])
        errors = np.std([pool.means[place] for pool in pools])
        assert widths < 2 * 1.96 * 2 * errors, (shots, widths, errors)


def draw_groups(
    count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Features, classes and groups of images: the images of a group are all shifted alike."""
    drawn = [draw_images(5, rng, apart=2.0) for _ in range(count)]
    features = np.concatenate([one + rng.normal(size=DIM) for one, _ in drawn])
    return features, np.concatenate([classes for _, classes in drawn]), np.repeat(np.arange(count), 5 * CLASSES)


def run_on_groups(count: int, shots: int, rng: np.random.Generator) -> tuple[float, Interval]:
    """The mean over draws that train on a quarter of the groups and test half of them, and its interval."""
    features, classes, groups = draw_groups(count, rng)
    train, tested = [], []
    for _ in range(DRAWS):
        order = rng.permutation(count)
        of_train = np.isin(groups, order[: count // 4])
        train.append(draw_rows(np.where(of_train, classes, -1), shots, rng))
        tested.append(np.flatnonzero(np.isin(groups, order[count // 2 :])))
    guesses = [guess(features[a], classes[a], features[b]) for a, b in zip(train, tested, strict=True)]
    values = np.array([(found == classes[rows]).mean() for found, rows in zip(guesses, tested, strict=True)])
    labels = [Labels(("a", "b", "c"), codes=classes[rows], groups=groups[rows].astype("S8")) for rows in tested]
    shared = SharedImages.of_guesses({"head": guesses}, labels=labels, rows=tested)
    tests = shared.variance_of("head"), shared.freedom
    size = SampleSize.of(labels[0], measure="accuracy")
    return float(values.mean()), interval_over_draws(values, shared=share_of_rows(train), tested=tests, size=size)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("count", "shots"), [(8, 1), (8, 4), (24, 4), (24, 16)])
def test_the_interval_over_whole_groups_contains_what_the_procedure_reaches(count: int, shots: int) -> None:
    truth = float(np.mean([run_on_groups(count, shots, np.random.default_rng(seed + 1000))[0] for seed in range(600)]))
    intervals = [run_on_groups(count, shots, np.random.default_rng(seed))[1] for seed in range(200)]
    assert covered(intervals, truth) >= 0.92


@pytest.mark.exhaustive
@pytest.mark.parametrize("truth", [2, 3, 6, 12])
def test_the_interval_of_labels_needed_contains_the_true_number(truth: int) -> None:
    rng = np.random.default_rng(1)
    target = true_accuracy(truth, 2.0)
    right, found = 0, []
    for _ in range(300):
        pool = measure_pool(rng, apart=2.0, per_class=60)
        low, high = shots_between(SHOTS, pool.intervals, target)
        right += low <= truth <= (high or np.inf)
        found.append(first_reaching(SHOTS, rising_curve(pool.means, pool.intervals), target) or 32)
    assert right >= 0.93 * 300
    assert truth / 1.25 < np.median(found) < truth * 1.25


@dataclass(frozen=True)
class Drawn:
    """What a head reached on the draws of one number of shots."""

    train: list[NDArray[np.int64]]
    tested: list[NDArray[np.int64]]
    guesses: list[NDArray[np.int64]]
    values: NDArray[np.float64]


def run_draws(features: NDArray[np.float64], classes: NDArray[np.int64], shots: int, seed: int) -> Drawn:
    """Draws of these numbers of shots: with more of them, the same seed trains on the same images and on others."""
    rng = np.random.default_rng(seed)
    orders = [[rng.permutation(np.flatnonzero(classes == one)) for one in range(CLASSES)] for _ in range(DRAWS)]
    train = [np.concatenate([rows[:shots] for rows in order]) for order in orders]
    tested = [np.setdiff1d(np.arange(len(classes)), rows) for rows in train]
    guesses = [guess(features[a], classes[a], features[b]) for a, b in zip(train, tested, strict=True)]
    values = np.array([(found == classes[rows]).mean() for found, rows in zip(guesses, tested, strict=True)])
    return Drawn(train, tested, guesses, values)


def interval_of_saved(baseline: Sequence[Drawn], source: Drawn, classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intervals of what the baseline reaches with each number of shots, minus what the source reaches."""
    runs = [*baseline, source]
    names = [str(place) for place in range(len(runs))]
    shared = SharedImages.of_guesses(
        {name: one.guesses for name, one in zip(names, runs, strict=True)},
        labels=[Labels(("a", "b", "c"), codes=classes[rows]) for one in runs for rows in one.tested],
        rows=[rows for one in runs for rows in one.tested],
        draws={name: range(DRAWS * place, DRAWS * (place + 1)) for place, name in enumerate(names)},
    )
    return np.array(
        [
            difference_over_draws(
                one.values,
                source.values,
                shared=(share_of_rows(one.train), share_of_rows(source.train)),
                tested=(shared.variance((name, names[-1])), shared.freedom),
            )
            for name, one in zip(names, baseline, strict=False)
        ]
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("shots", [1, 2])
def test_the_interval_of_what_a_baseline_needs_contains_the_true_number(shots: int) -> None:
    apart, blur = 2.5, 0.6
    curve = [true_accuracy(int(one), apart, blur) for one in SHOTS]
    truth = 2 ** np.interp(true_accuracy(shots, apart), curve, np.log2(SHOTS))
    rng = np.random.default_rng(4)
    right = 0
    for seed in range(150):
        features, classes = draw_images(60, rng, apart=apart)
        blurred = features + blur * rng.normal(size=features.shape)
        baseline = [run_draws(blurred, classes, int(one), seed) for one in SHOTS]
        source = run_draws(features, classes, shots, seed)
        low, high = shots_between(SHOTS, interval_of_saved(baseline, source, classes), 0.0)
        right += low <= truth <= (high or np.inf)
    assert right >= 0.92 * 150


def test_shots_between_holds_every_number_of_shots_whose_interval_contains_the_target() -> None:
    rng = np.random.default_rng(2)
    steps = np.linspace(0, np.log2(SHOTS[-1]), 4001)
    for _ in range(200):
        means = np.sort(rng.uniform(size=len(SHOTS))) + rng.normal(0, 0.03, len(SHOTS))
        low, high = means - rng.uniform(0, 0.3, len(SHOTS)), means + rng.uniform(0, 0.3, len(SHOTS))
        target = float(rng.uniform(-0.1, 1.1))
        between = [np.interp(steps, np.log2(SHOTS), ends) for ends in (low, high)]
        inside = 2 ** steps[(between[0] <= target) & (target <= between[1])]
        start, end = shots_between(SHOTS, np.column_stack([low, high]), target)
        if len(inside):
            assert start <= inside.min() + 1e-2
            assert end is None or end >= inside.max() - 1e-2
        assert (end is None) == bool(low[-1] < target)
        assert (start == SHOTS[-1]) >= bool(high.max() < target)


def test_a_curve_that_falls_is_averaged_and_one_that_never_reaches_the_target_has_no_number() -> None:
    intervals = np.tile([0.0, 0.1], (3, 1))
    assert rising_curve(np.array([0.5, 0.8, 0.6]), intervals) == pytest.approx([0.5, 0.7, 0.7])
    assert first_reaching(SHOTS, np.linspace(0.5, 0.7, 5), 0.71) is None
    assert first_reaching(SHOTS, np.linspace(0.5, 0.7, 5), 0.5) == 1
    assert first_reaching(SHOTS[1:], np.linspace(0.5, 0.7, 4), 0.4) == 2
    assert first_reaching(SHOTS, np.linspace(0.5, 0.9, 5), 0.55) == pytest.approx(2**0.5)


def test_points_with_wider_intervals_weigh_less_in_the_rising_curve() -> None:
    intervals = np.array([[0.6, 0.8], [0.4, 0.8]])
    assert rising_curve(np.array([0.7, 0.6]), intervals) == pytest.approx([0.68, 0.68])


def test_the_interval_of_a_single_draw_is_that_of_its_test_images() -> None:
    n, correct = 200, 150
    variance = 0.75 * 0.25 / (n - 1)
    found = interval_over_draws(np.array([0.75]), shared=1.0, tested=(variance, n - 1), size=SampleSize(n, n))
    z = stats.t.ppf(0.975, n - 1)
    size = (n - 1) / z**2
    centre = (0.75 + 1 / (2 * size)) / (1 + 1 / size)
    half = np.sqrt(0.75 * 0.25 / size + 1 / (2 * size) ** 2) / (1 + 1 / size)
    assert found == pytest.approx((centre - half, centre + half), abs=1e-4)
    assert found[0] < correct / n < found[1]


def test_a_perfect_mean_is_as_sure_as_its_test_images_are_many() -> None:
    ones = np.ones(5)
    low, high = interval_over_draws(ones, shared=0.1, tested=(0.0, 99), size=SampleSize(100, 100))
    assert high == pytest.approx(1, abs=1e-12)
    assert 0.95 < low < 0.97
    few, _ = interval_over_draws(ones, shared=0.1, tested=(0.0, 9), size=SampleSize(100, 10))
    assert few < 0.75


def test_test_images_of_one_group_say_nothing() -> None:
    values = np.array([0.5, 0.6])
    assert interval_over_draws(values, shared=0.1, tested=(np.inf, 0), size=EVERYWHERE) == (0, 1)
    assert difference_over_draws(values, values, shared=(0.1, 0.1), tested=(np.inf, 0)) == (-1, 1)


def test_draws_that_share_more_training_rows_have_a_wider_interval() -> None:
    values = np.array([0.5, 0.6, 0.55, 0.52, 0.61])
    widths = [
        np.ptp(interval_over_draws(values, shared=shared, tested=(0.0, 500), size=EVERYWHERE))
        for shared in (0.0, 0.2, 0.6)
    ]
    assert widths == sorted(widths)
    exact = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert difference_over_draws(values, 0 * values, shared=(0.0, 0.0), tested=(0.0, 500)) == pytest.approx(exact)


def test_a_difference_has_no_more_in_common_than_its_parts() -> None:
    steady = np.array([0.70, 0.71, 0.70, 0.69, 0.70])
    other = np.array([0.5, 0.6, 0.4, 0.55, 0.45])
    found = difference_over_draws(steady, other, shared=(0.6, 0.0), tested=(0.0, 500))
    half = stats.t.ppf(0.975, 4) * np.sqrt((steady - other).var(ddof=1) / 5 + 1.5 * steady.var(ddof=1))
    assert found == pytest.approx((0.2 - half, 0.2 + half))
    twins = difference_over_draws(other + 0.1, other, shared=(0.6, 0.6), tested=(0.0, 500))
    assert twins == pytest.approx((0.1, 0.1))


def test_heads_that_have_other_draws_are_compared_image_by_image() -> None:
    rng = np.random.default_rng(3)
    classes = rng.integers(2, size=40)
    rows = [np.arange(30), np.arange(5, 40), np.arange(2, 38)]
    labels = [Labels(("a", "b"), codes=classes[tested]) for tested in rows]
    guesses = [rng.integers(2, size=len(tested)) for tested in rows]
    both = SharedImages.of_guesses(
        {"a": guesses[:2], "b": guesses[2:]}, labels=labels, rows=rows, draws={"a": [0, 1], "b": [2]}
    )
    deviations = {}
    for name, draws in (("a", [0, 1]), ("b", [2])):
        total = np.zeros(40)
        for draw in draws:
            correct = (guesses[draw] == classes[rows[draw]]).astype(float)
            total[rows[draw]] += (correct - correct.mean()) / len(correct) / len(draws)
        deviations[name] = total
    difference = deviations["a"] - deviations["b"]
    assert both.variance(("a", "b")) == pytest.approx(difference @ difference * 40 / 39)
    assert both.variance_of("a") == pytest.approx(deviations["a"] @ deviations["a"] * 40 / 39)


@pytest.mark.parametrize(("measure", "share"), [("balanced_accuracy", 1.0), ("average_precision", 0.5)])
def test_rare_classes_limit_how_sure_a_mean_over_classes_can_be(measure: str, share: float) -> None:
    labels = Labels(("common", "rare"), codes=np.array([0] * 95 + [1] * 5))
    size = SampleSize.of(labels, measure=measure)
    assert size.most < 20
    assert size.perfect == pytest.approx(share * size.most)
    assert SampleSize.of(labels, measure="accuracy") == SampleSize(100, 100)
