"""Imports torch, timm and torchvision when they are needed, and reports their errors in one line."""

import ctypes
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from featx.errors import BackboneError, FeatxError, one_line

_EXTRA = "pip install 'featx[export]'"
_LONGEST = 200
"""Largest number of characters of another library's error that are reported."""


def import_library(name: str) -> Any:
    """The imported library. Raises BackboneError if it is missing or does not fit torch, as torchvision may."""
    with errors_reported(f"exporting needs {name}, which cannot be imported", _EXTRA):
        return importlib.import_module(name)


@contextmanager
def errors_reported(what: str, step: str) -> Iterator[None]:
    """Turns any error of another library or of the user's file into a BackboneError of one line."""
    try:
        yield
    except FeatxError:
        raise
    except (Exception, SystemExit) as error:
        text = one_line(error)
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        raise BackboneError(f"{what} ({type(error).__name__}: {text}); {step}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep standard output for results, and hide warnings of libraries: the comparison at the end shows problems."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the hub of timm's weights logs every retry
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def discard_output() -> Iterator[None]:
    """Discard what is printed, also by C++ code: if torch cannot export a model, it prints the whole graph."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
