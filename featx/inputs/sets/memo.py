"""Keeps the last few computed values in memory, safe to use from several threads."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Values by key; only the `size` most recently used are kept.

    A memo that is pickled, for another process, arrives empty.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, Future[V]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["Memo[K, V]"], tuple[int]]:
        return type(self), (self._size,)

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """The value of this key, computed if it is not kept.

        While one thread computes a value, others that ask for it wait; those that ask for other keys do not.
        """
        with self._lock:
            value = self._values.get(key)
            missing = value is None
            if value is None:
                value = Future()
                self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        if missing:
            self._compute(key, value, compute)
        return value.result()

    def _compute(self, key: K, value: "Future[V]", compute: Callable[[], V]) -> None:
        try:
            value.set_result(compute())
        except BaseException as error:  # noqa: BLE001 - the threads that wait get it too
            with self._lock:
                self._values.pop(key, None)
            value.set_exception(error)
