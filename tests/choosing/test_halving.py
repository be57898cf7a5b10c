"""Which sources a round drops: by intervals and never by rank alone, and how often the best is among them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.choosing.halving import choose_dropped, find_hopeless
from featx.choosing.sampling import ROUNDS
from featx.labels import Labels
from featx.transfer import RankedSource, rank_sources
from featx.transfer.scores.left_out import LeftOut

SURE = (-0.4, -0.2)


def labels_of(count: int) -> Labels:
    """Labels of `count` images."""
    return Labels(("a", "b"), np.arange(count) % 2)


def rank(correct: NDArray[np.float64]) -> tuple[RankedSource, ...]:
    """The ranking of sources (s, n) that are right on these images."""
    found = [LeftOut(accuracy=float(one.mean()), press=0.0, correct=one, penalty=1.0) for one in correct]
    return rank_sources(
        [(str(number), "features") for number in range(len(correct))], found, labels_of(correct.shape[1])
    )


def test_a_source_is_dropped_by_its_interval_and_not_by_its_rank() -> None:
    correct = np.ones((3, 100))
    correct[1, :2] = 0
    correct[2, :30] = 0
    found = find_hopeless(rank(correct), labels_of(100), comparisons=6)
    assert list(found) == ["2"]
    assert found["2"][1] < 0


def test_more_comparisons_need_a_larger_difference() -> None:
    correct = np.ones((2, 100))
    correct[1, :5] = 0
    assert find_hopeless(rank(correct), labels_of(100), comparisons=1)
    assert not find_hopeless(rank(correct), labels_of(100), comparisons=30)


@pytest.mark.parametrize(
    ("hopeless", "alive", "dropped"), [(0, 4, 0), (1, 4, 1), (3, 6, 3), (4, 6, 3), (2, 5, 2), (5, 6, 5), (1, 2, 1)]
)
def test_a_round_drops_at_most_half_unless_only_the_first_is_left(hopeless: int, alive: int, dropped: int) -> None:
    found = choose_dropped({str(number): SURE for number in range(hopeless)}, alive=alive)
    assert list(found) == [str(number) for number in range(dropped)]


def ever_dropped(correct: NDArray[np.float64], name: str) -> bool:
    """Whether the source is dropped in any round."""
    alive = list(range(len(correct)))
    for share in ROUNDS:
        count = int(share * correct.shape[1])
        ranking = [replace(one, backbone=str(alive[int(one.backbone)])) for one in rank(correct[alive, :count])]
        comparisons = (len(correct) - 1) * len(ROUNDS)
        dropped = choose_dropped(find_hopeless(ranking, labels_of(count), comparisons=comparisons), alive=len(alive))
        if name in dropped:
            return True
        alive = [one for one in alive if str(one) not in dropped]
    return False


@pytest.mark.parametrize(("count", "trials"), [(80, 60), pytest.param(200, 300, marks=pytest.mark.exhaustive)])
def test_one_of_equally_good_sources_is_dropped_in_few_trials(count: int, trials: int) -> None:
    """With the others dropped or not; an exact test of 5 % would allow this many."""
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.6, 1, (trials, 1, count))
    wrongly = sum(ever_dropped((rng.random((5, count)) < chance).astype(float), "0") for chance in hard)
    assert wrongly <= 0.05 * trials + 2 * np.sqrt(0.05 * 0.95 * trials)
