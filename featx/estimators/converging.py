"""A fit by scikit-learn that did not converge is an error here, never a warning."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.exceptions import ConvergenceWarning

from featx.errors import ConvergenceError


@contextmanager
def converging(what: str, *, iterations: int, step: str) -> Iterator[None]:
    """A block in which scikit-learn's ConvergenceWarning is our ConvergenceError: what did not, and the next step."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            yield
        except ConvergenceWarning as warning:
            raise ConvergenceError(what, iterations=iterations, reached=str(warning), step=step) from warning
