"""Worker processes that wait for the next run, so that not every test waits until new ones have imported featx."""

from typing import Any

import pytest
from joblib.externals.loky import ProcessPoolExecutor


class _Lasting(ProcessPoolExecutor):  # type: ignore[misc] # joblib has no types
    """A pool whose processes stay when a run ends well; those of a run that fails are ended, as always."""

    ended = False

    def shutdown(self, wait: bool = True, kill_workers: bool = False) -> None:
        if kill_workers:
            self.ended = True
            super().shutdown(wait, kill_workers)


class LastingWorkers:
    """Pools of real processes, of which a run gets the one with its number of jobs."""

    def __init__(self) -> None:
        self._pools: dict[int, _Lasting] = {}

    def open(self, jobs: int, **options: Any) -> ProcessPoolExecutor:
        """What `ProcessPoolExecutor` gives; all runs of one process have the same options."""
        if jobs not in self._pools or self._pools[jobs].ended:
            self._pools[jobs] = _Lasting(jobs, **options)
        return self._pools[jobs]

    def lend(self, patch: pytest.MonkeyPatch) -> None:
        """Let runs take these processes while the patch lasts."""
        patch.setattr("joblib.externals.loky.ProcessPoolExecutor", self.open)

    @property
    def waiting(self) -> set[int]:
        """Ids of the processes that wait for a run."""
        return {pid for pool in self._pools.values() if not pool.ended for pid in pool._processes}

    def end(self) -> None:
        """End them all."""
        for pool in self._pools.values():
            if not pool.ended:
                pool.shutdown(kill_workers=True)
