"""Batches: images of several requests share a run, and those whose client has gone have none."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.errors import InferenceError
from featx.serving import Limits
from featx.serving.batching import Batcher, FullError
from featx.serving.deployed import DeployedModel, open_deployed
from tests.support.served_models import CLASSES, write_deployed


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DeployedModel:
    return open_deployed(write_deployed(tmp_path_factory.mktemp("deployed") / "m.onnx"), device="cpu")


def pixels_of(*colours: int) -> tuple[np.ndarray[Any, np.dtype[np.uint8]]]:
    pixels = np.zeros((len(colours), 16, 16, 3), np.uint8)
    for number, colour in enumerate(colours):
        pixels[number, :, :, colour] = 200
    return (pixels,)


def batching(model: DeployedModel, ask: Callable[[Batcher], Awaitable[Any]], *, size: int = 4) -> tuple[Any, list[int]]:
    """What `ask` returns while the model runs, and the number of images in each run."""
    runs: list[int] = []
    batcher = Batcher(model, Limits(batch_size=size, queue=100), runs.append)

    async def work() -> Any:
        batcher.admit(10)
        async with batcher.working():
            return await asyncio.wait_for(ask(batcher), 10)

    return asyncio.run(work()), runs


def test_images_of_several_requests_share_runs_of_at_most_a_batch_and_each_gets_its_own_answer(
    model: DeployedModel,
) -> None:
    colours = [0, 1, 2, 1, 0, 2, 2]

    async def ask(batcher: Batcher) -> list[str]:
        answers = await asyncio.gather(*(batcher.classify(pixels_of(colour)) for colour in colours))
        return [str(answer.labels[0]) for answer in answers]

    labels, runs = batching(model, ask)
    assert labels == [CLASSES[colour] for colour in colours]
    assert sorted(runs) == [3, 4]  # which run at the same time


def test_a_request_of_more_images_than_a_batch_is_run_in_parts(model: DeployedModel) -> None:
    async def ask(batcher: Batcher) -> Any:
        return await batcher.classify(pixels_of(0, 1, 2, 1, 0, 2, 2))

    answers, runs = batching(model, ask, size=3)
    assert answers.labels.tolist() == [CLASSES[colour] for colour in (0, 1, 2, 1, 0, 2, 2)]
    assert answers.probabilities.shape == (7, 3)
    assert runs == [3, 3, 1]


def test_a_model_of_a_fixed_batch_gets_whole_batches_and_answers_each_image(
    model: DeployedModel, tmp_path: Path
) -> None:
    fixed = open_deployed(write_deployed(tmp_path / "m.onnx", batch=3), device="cpu")
    values = pixels_of(0, 1, 2, 1, 0, 2, 2)
    found, wanted = fixed.run(values), model.run(values)
    assert found.labels.tolist() == wanted.labels.tolist()
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-6)


def test_images_whose_client_has_gone_are_not_run(model: DeployedModel) -> None:
    async def ask(batcher: Batcher) -> Any:
        gone = asyncio.create_task(batcher.classify(pixels_of(0)))
        await asyncio.sleep(0)
        gone.cancel()
        return await batcher.classify(pixels_of(1, 2))

    answers, runs = batching(model, ask)
    assert answers.labels.tolist() == ["green", "blue"]
    assert runs == [2]


def test_a_run_that_fails_is_told_to_each_of_its_requests_and_the_next_one_is_run(model: DeployedModel) -> None:
    other = replace(model.opened.inputs[0], name="other")
    broken = replace(model, opened=replace(model.opened, inputs=(other,)))

    async def ask(batcher: Batcher) -> Any:
        failed = await asyncio.gather(*(batcher.classify(pixels_of(0)) for _ in range(2)), return_exceptions=True)
        batcher.model = model
        return failed, await batcher.classify(pixels_of(1))

    (failed, answers), _ = batching(broken, ask)
    assert [type(error) for error in failed] == [InferenceError] * 2
    assert answers.labels.tolist() == ["green"]


def test_no_more_images_are_admitted_than_the_queue_holds(model: DeployedModel) -> None:
    batcher = Batcher(model, Limits(queue=3))
    batcher.admit(3)
    with pytest.raises(FullError):
        batcher.admit(1)
    batcher.dismiss(2)
    batcher.admit(2)
