"""Turns scikit-learn's warning that a fit did not converge into an error."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.exceptions import ConvergenceWarning

from featx.errors import ConvergenceError, one_line


@contextmanager
def converging(what: str, *, iterations: int | None = None, step: str) -> Iterator[None]:
    """A `with` block in which scikit-learn's ConvergenceWarning becomes ConvergenceError.

    `what` names the fit, `iterations` its limit if that is known, and `step` what the user can do.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            yield
        except ConvergenceWarning as warning:
            raise ConvergenceError(
                what, iterations=iterations, reached=one_line(warning).rstrip("."), step=step
            ) from warning
