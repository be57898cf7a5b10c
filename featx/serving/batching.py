"""Gathers images of several requests into one run of the model, with a bounded number of images on their way."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from featx.serving.deployed import Answers, DeployedModel
from featx.serving.limits import Limits

PATIENCE = 0.002
"""Seconds that a run waits for images that are being decoded, so that it takes them along."""


class FullError(Exception):
    """As many images are on their way as the server takes on at once."""


@dataclass(eq=False)
class _Waiting:
    """Images of one request that wait for the model."""

    pixels: NDArray[np.uint8]
    answer: "asyncio.Future[Answers]"


@dataclass
class Batcher:
    """Runs the model on whatever images wait, one batch at a time on each device."""

    model: DeployedModel
    limits: Limits
    on_run: Callable[[int], None] = lambda count: None
    """Called with the number of images of each run."""
    admitted: int = 0
    """Number of images that were admitted and are not answered yet."""
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waiting(self) -> int:
        """Number of images that are decoded and wait for the model."""
        return sum(len(one.pixels) for one in self._waiting)

    def admit(self, count: int) -> None:
        """Count these images as on their way until they are dismissed. Raises FullError."""
        if self.admitted + count > self.limits.queue:
            raise FullError
        self.admitted += count

    def dismiss(self, count: int) -> None:
        """Count these images as on their way no longer."""
        self.admitted -= count

    async def classify(self, pixels: NDArray[np.uint8]) -> Answers:
        """The answers for pixels (n, size, size, 3); if the caller is cancelled, they are not computed."""
        one = _Waiting(pixels, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._arrived.set()
        return await one.answer

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the model within the block, in a thread for each device."""
        count = len(self.model.opened.sessions)
        with ThreadPoolExecutor(count, thread_name_prefix="featx-model") as threads:
            workers = [asyncio.create_task(self._work(threads, session)) for session in range(count)]
            try:
                yield
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, threads: ThreadPoolExecutor, session: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._gather()
            if batch:
                await self._answer(batch, loop.run_in_executor(threads, self._run, batch, session))

    async def _gather(self) -> list[_Waiting]:
        """What waits for the model, up to a whole batch; nothing whose client has gone."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        if self.waiting < min(self.admitted, self.limits.batch_size):
            await asyncio.sleep(PATIENCE)
        batch: list[_Waiting] = []
        count = 0
        while self._waiting and count < self.limits.batch_size:
            one = self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
                count += len(one.pixels)
        return batch

    def _run(self, batch: list[_Waiting], session: int) -> Answers:
        pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([one.pixels for one in batch])
        size = self.limits.batch_size
        parts = [self._run_part(pixels[start : start + size], session) for start in range(0, len(pixels), size)]
        labels = np.concatenate([part.labels for part in parts])
        return Answers(labels, np.concatenate([part.probabilities for part in parts]))

    def _run_part(self, pixels: NDArray[np.uint8], session: int) -> Answers:
        self.on_run(len(pixels))
        return self.model.run(pixels, session=session)

    async def _answer(self, batch: list[_Waiting], run: "asyncio.Future[Answers]") -> None:
        """Give each request its part of the answers, or the error of the run."""
        error: Exception | None = None
        answers = None
        try:
            answers = await run
        except Exception as raised:  # noqa: BLE001 - each request of the batch answers with it
            error = raised
        first = 0
        for one in batch:
            last = first + len(one.pixels)
            with suppress(asyncio.InvalidStateError):  # its client has gone meanwhile
                if answers is None:
                    one.answer.set_exception(error or RuntimeError("the run was lost"))
                else:
                    one.answer.set_result(Answers(answers.labels[first:last], answers.probabilities[first:last]))
            first = last
