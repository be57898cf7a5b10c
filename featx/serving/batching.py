"""Gathers images of several requests into one run of the model, with a bounded number of images on their way."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

from featx.serving.deployed import Answers, DeployedModel, Values
from featx.serving.limits import Limits

PATIENCE = 0.002
"""Seconds that a run waits for images that are being decoded, so that it takes them along."""


class FullError(Exception):
    """As many images are on their way as the server takes on at once."""


@dataclass(eq=False)
class _Waiting:
    """Images of one request that wait for the model."""

    values: Values
    answer: "asyncio.Future[Answers]"

    def __len__(self) -> int:
        return len(self.values[0])


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
        return sum(len(one) for one in self._waiting)

    def admit(self, count: int) -> None:
        """Count these images as on their way until they are dismissed. Raises FullError."""
        if self.admitted + count > self.limits.queue:
            raise FullError
        self.admitted += count

    def dismiss(self, count: int) -> None:
        """Count these images as on their way no longer."""
        self.admitted -= count

    async def classify(self, values: Values) -> Answers:
        """The answers for the values of each input; if the caller is cancelled, they are not computed."""
        one = _Waiting(values, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._arrived.set()
        return await one.answer

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the model within the block, in threads of their own for each device."""
        sessions = len(self.model.opened.sessions)
        count = sessions * self.model.opened.at_once
        with ThreadPoolExecutor(count, thread_name_prefix="featx-model") as threads:
            workers = [asyncio.create_task(self._work(threads, worker % sessions)) for worker in range(count)]
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
                count += len(one)
        return batch

    def _run(self, batch: list[_Waiting], session: int) -> Answers:
        joined = batch[0].values if len(batch) == 1 else _joined([one.values for one in batch])
        size = self.limits.batch_size
        starts = range(0, len(joined[0]), size)
        parts = [self._run_part(tuple(value[start : start + size] for value in joined), session) for start in starts]
        labels = np.concatenate([part.labels for part in parts])
        return Answers(labels, np.concatenate([part.probabilities for part in parts]))

    def _run_part(self, values: Values, session: int) -> Answers:
        self.on_run(len(values[0]))
        return self.model.run(values, session=session)

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
            last = first + len(one)
            with suppress(asyncio.InvalidStateError):  # its client has gone meanwhile
                if answers is None:
                    one.answer.set_exception(error or RuntimeError("the run was lost"))
                else:
                    one.answer.set_result(Answers(answers.labels[first:last], answers.probabilities[first:last]))
            first = last


def _joined(values: list[Values]) -> Values:
    """The values of several requests as one of each input."""
    return tuple(np.concatenate(parts) for parts in zip(*values, strict=True))
