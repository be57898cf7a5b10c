"""Functions that tests run apart; this module imports little, because every process that runs one imports it."""

import logging
import os
import time
from pathlib import Path

from featx.apart import Allow, Limits
from featx.errors import BackboneError

SOME = Limits(seconds=60, memory=2**27)


def give(value: object, allow: Allow) -> object:
    """Print, as libraries do, and give this back."""
    print("printed")
    os.system("echo printed too")
    return value


def warn(allow: Allow) -> int:
    """Say something, and return the number of the process."""
    logging.getLogger("featx.tests").warning("it is %s", "late")
    return os.getpid()


def refuse(allow: Allow) -> None:
    """Raise an error of featx."""
    raise BackboneError("no such model")


def divide(allow: Allow) -> None:
    """Raise an error of Python."""
    raise ZeroDivisionError("by nothing")


def give_what_cannot_be_pickled(allow: Allow) -> object:
    """Give back much that can be pickled, and then what cannot."""
    return [bytes(2**20), lambda: None]


def take(count: int, allow: Allow) -> int:
    """Take this many bytes."""
    return len(bytearray(count))


def take_more(count: int, allow: Allow) -> int:
    """Take this many bytes, with leave to do so."""
    allow(Limits(seconds=60, memory=2 * count))
    return len(bytearray(count))


def sleep(path: Path | None, allow: Allow) -> None:
    """Sleep for a minute, after writing the number of the process."""
    if path:
        path.with_suffix(".new").write_text(str(os.getpid()))
        path.with_suffix(".new").rename(path)
    time.sleep(60)


def abort(allow: Allow) -> None:
    """End as C++ does when an exception is not caught."""
    os.abort()
