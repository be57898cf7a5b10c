"""Torch, timm, torchvision and the user's own file: imported when needed, quiet, and their errors told in one line."""

import ctypes
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from featx.errors import BackboneError, FeatxError

EXTRA = "pip install 'featx[export]'"
LONGEST = 200
"""Characters that are told of another library's error."""


def import_library(name: str) -> Any:
    """The imported library. Raises BackboneError where it is missing, or, as torchvision may, does not fit torch."""
    with errors_reported(f"exporting needs {name}, which cannot be imported", EXTRA):
        return importlib.import_module(name)


@contextmanager
def errors_reported(what: str, step: str) -> Iterator[None]:
    """Tell in one line whatever another library, or the user's file, raises."""
    try:
        yield
    except FeatxError:
        raise
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
        raise BackboneError(f"{what} ({type(error).__name__}: {text}); {step}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep standard output for results, and warnings of libraries from the user: the comparison tells what counts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the hub of timm's weights tells every retry
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def silent() -> Iterator[None]:
    """Drop what is printed, also from C++: where torch cannot export a model, it prints the whole graph so far."""
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
