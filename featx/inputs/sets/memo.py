"""What was made for the last few keys, kept in memory, so that neighbours need not make it again."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, of which the last `most` that were asked for are kept; safe to use from several threads.

    Sent to another process it arrives empty.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[K, Future[V]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["Recent[K, V]"], tuple[int]]:
        return type(self), (self._most,)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of this key, made unless it is kept; who asks while it is made waits, and others do not."""
        with self._lock:
            value = self._held.get(key)
            mine = value is None
            if value is None:
                value = self._held[key] = Future()
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        if mine:
            self._make(key, value, make)
        return value.result()

    def _make(self, key: K, value: "Future[V]", make: Callable[[], V]) -> None:
        try:
            value.set_result(make())
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait get it too
            with self._lock:
                self._held.pop(key, None)
            value.set_exception(error)
