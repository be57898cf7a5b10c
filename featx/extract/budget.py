"""Limits the bytes of images that are in memory: read, and not yet decoded."""

from threading import Condition, Lock


class ByteBudget:
    """Counts bytes that are held, up to a total; called from several threads.

    An image with more bytes than are left is read if it is the next one and no task will give bytes back before it.
    """

    def __init__(self, total: int) -> None:
        self._left = total
        self._freeing = 0
        """Number of tasks that will give bytes back without any further image."""
        self._lock = Lock()
        self._changed = Condition(self._lock)

    def take(self, size: int) -> bool:
        """Take this many bytes; returns False, and takes none, if fewer are left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def adjust(self, more: int) -> None:
        """Take this many more bytes than before, whether they are left or not; negative to give some back."""
        with self._lock:
            self._left -= more
            if more < 0:
                self._changed.notify()

    def begin(self) -> None:
        """Count a task that will give its bytes back."""
        with self._lock:
            self._freeing += 1

    def end(self, size: int) -> None:
        """Give back the bytes of a task that began."""
        with self._lock:
            self._left += size
            self._freeing -= 1
            self._changed.notify()

    def wait(self, size: int) -> None:
        """Wait until this many bytes are left, or no task that has begun will give any back."""
        with self._changed:
            self._changed.wait_for(lambda: size <= self._left or not self._freeing)
