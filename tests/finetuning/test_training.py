"""Training of a tail: equal after a kill, weights of images, views, the schedule of the rate, and what diverges."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.cache import Part
from featx.errors import FineTuningError
from featx.estimators import LinearScores
from featx.finetuning.maps import CachedMaps
from featx.finetuning.plan import Plan, choose_epochs
from featx.finetuning.starting import fit_start
from featx.finetuning.state import StateFile
from featx.finetuning.tail import build_tail, predict_rows
from featx.finetuning.training import Examples, Training
from featx.labels import Labels
from featx.measures import to_probabilities

torch = pytest.importorskip("torch", reason="fine-tuning needs torch")

CLASSES = ("cat", "dog")
SHAPE = (2, 3)
PLAN = Plan(rate=0.01, epochs=3, batch=8)


def make_maps(count: int = 30, views: int = 3) -> CachedMaps:
    """Maps whose first number tells the class, cat and dog in turns."""
    values = np.random.default_rng(0).normal(size=(count, views, 6)).astype(np.float16)
    values[1::2, :, 0] += 2
    names = ("center", "hflip", "vflip")[:views]
    return CachedMaps(Part(values, known_views=names), SHAPE)


def make_tail() -> Any:
    """Two layers that are the same in every call."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4), torch.nn.Tanh())
    with torch.no_grad():
        rng = np.random.default_rng(1)
        for values in network.parameters():
            values.copy_(torch.from_numpy(rng.normal(size=tuple(values.shape)).astype(np.float32)))
    return build_tail(network, LinearScores(0.1 * rng.normal(size=(2, 4)), np.zeros(2)))


def make_examples(count: int = 30, weights: NDArray[np.float64] | None = None) -> Examples:
    labels = Labels(CLASSES, codes=np.arange(count) % 2, given_weights=weights)
    return Examples(np.arange(count), labels)


def train(path: Path, plan: Plan = PLAN, **changes: Any) -> Training:
    """A training that has run, with its state in a file."""
    training = Training(make_tail(), make_maps(), make_examples(), plan)
    training = replace(training, epochs=[], **changes)
    training.run(StateFile(path, "key"))
    return training


def weights_of(training: Training) -> list[bytes]:
    return [values.detach().numpy().tobytes() for values in training.tail.parameters()]


class StoppedError(Exception):
    """Raised in the middle of an epoch."""


@pytest.mark.parametrize("step", [2, 4, 5, 12])
def test_a_training_that_was_stopped_at_any_step_ends_with_the_same_weights(tmp_path: Path, step: int) -> None:
    whole = train(tmp_path / "whole.pt")

    def _stop(done: int, total: int) -> None:
        assert total == 12
        if done == step:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(tmp_path / "stopped.pt", on_step=_stop)
    resumed = train(tmp_path / "stopped.pt")
    assert weights_of(resumed) == weights_of(whole)
    assert resumed.epochs == whole.epochs


def test_a_training_that_is_complete_is_not_repeated(tmp_path: Path) -> None:
    whole = train(tmp_path / "state.pt")
    steps: list[int] = []
    again = train(tmp_path / "state.pt", on_step=lambda done, total: steps.append(done))
    assert weights_of(again) == weights_of(whole)
    assert not steps


def test_training_does_not_touch_the_random_state_of_others(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4))
    before = torch.random.get_rng_state()
    tail = build_tail(network, LinearScores.zeros(2, 4))
    Training(tail, make_maps(), make_examples(), PLAN).run(StateFile(tmp_path / "state.pt", "key"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    first, other = (train(tmp_path / f"{seed}.pt", replace(PLAN, seed=seed)) for seed in (0, 1))
    assert weights_of(first) != weights_of(other)


def test_training_separates_the_classes_on_all_views(tmp_path: Path) -> None:
    training = train(tmp_path / "state.pt", replace(PLAN, epochs=20))
    found = predict_rows(training.tail, make_maps(), np.arange(30), device="cpu")
    assert found.shape == (30, 2)
    assert np.allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == np.arange(30) % 2).mean() >= 0.9
    assert training.epochs[-1].training_loss < training.epochs[0].training_loss


def test_the_probability_of_an_image_is_the_mean_over_its_views() -> None:
    tail, maps = make_tail(), make_maps()
    rows = np.array([4, 7])
    each = [maps.take(rows, np.full(2, view)) for view in range(3)]
    with torch.no_grad():
        scores = [tail(torch.from_numpy(one)).double().numpy() for one in each]
    expected = np.mean([to_probabilities(one) for one in scores], axis=0)
    assert np.allclose(predict_rows(tail, maps, rows, device="cpu"), expected, atol=1e-6)


def test_images_of_weight_zero_teach_nothing_and_only_ratios_of_weights_count(tmp_path: Path) -> None:
    weights = np.ones(30)
    weights[:4] = 0
    changed = make_maps()
    changed.part.values[:4] = 100
    one = train(tmp_path / "a.pt", examples=make_examples(weights=weights))
    two = train(tmp_path / "b.pt", examples=make_examples(weights=weights), inputs=changed)
    tripled = train(tmp_path / "c.pt", examples=make_examples(weights=4 * weights))
    assert weights_of(one) == weights_of(two) == weights_of(tripled)


def test_validation_images_are_reported_and_change_nothing(tmp_path: Path) -> None:
    alone = train(tmp_path / "a.pt")
    watched = train(tmp_path / "b.pt", validation=make_examples(10))
    assert weights_of(alone) == weights_of(watched)
    assert all(epoch.validation_loss is not None for epoch in watched.epochs)
    assert all(epoch.validation_loss is None for epoch in alone.epochs)


def test_a_rate_that_diverges_is_told_and_the_epoch_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(FineTuningError, match=r"diverges at rate 1e\+06: .*lower --rate"):
        train(tmp_path / "state.pt", replace(PLAN, rate=1e6))
    assert not (tmp_path / "state.pt").exists()


def test_the_start_gives_the_probabilities_of_a_regression_on_standardised_views() -> None:
    rng = np.random.default_rng(0)
    features = (5 + 100 * rng.normal(size=(40, 3, 4))).astype(np.float32)
    features[1::2] += 150
    labels = Labels(CLASSES, codes=np.arange(40) % 2)
    rows = np.arange(40)
    scores = fit_start(features, labels, folds=[(rows[:20], rows[20:]), (rows[20:], rows[:20])])
    found = to_probabilities(scores.of(features.reshape(-1, 4)))
    assert (found.argmax(axis=1) == np.repeat(labels.codes, 3)).mean() > 0.8


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04"])
def test_a_damaged_state_is_refused_and_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    with pytest.raises(FineTuningError, match=r"state\.pt: is damaged .*delete it"):
        StateFile(path, "key").load()


def test_half_of_a_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    train(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FineTuningError, match="is damaged"):
        StateFile(path, "key").load()


def test_a_state_of_another_training_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "state.pt")
    with pytest.raises(FineTuningError, match="of another training"):
        StateFile(tmp_path / "state.pt", "other").load()


def test_a_state_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path.joinpath("ran").mkdir, ())

    (tmp_path / "state.pt").write_bytes(pickle.dumps({"key": "k", "tail": Evil()}))
    with pytest.raises(FineTuningError, match="is damaged"):
        StateFile(tmp_path / "state.pt", "k").load()
    assert not (tmp_path / "ran").exists()


def test_the_rate_rises_for_half_an_epoch_and_falls_to_zero() -> None:
    plan = Plan(rate=1.0, epochs=4, batch=10)
    rates = [plan.rate_at(step, rows=100) for step in range(40)]
    assert np.all(np.diff(rates[:6]) > 0)
    assert np.all(np.diff(rates[5:]) < 0)
    assert max(rates) == 1.0
    assert rates[-1] < 0.01


def test_few_images_have_more_epochs() -> None:
    assert (choose_epochs(None, 499), choose_epochs(None, 500), choose_epochs(3, 10)) == (8, 6, 3)
