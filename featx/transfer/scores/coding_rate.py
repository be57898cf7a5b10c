"""The coding rate of rows: how many nats it takes to code them up to a small error."""

import numpy as np

from featx.transfer.scores.rows import Floats

DISTORTION = 1e-4
"""Mean squared error of the code, relative to the mean squared length of rows."""


def coding_rate(gram: Floats, count: int) -> float:
    """The rate 1/2 log det (I + G / (n e)) of n rows whose mean squared length is about 1, by one of their two Grams.

    `gram` is the matrix of products of columns, or that of inner products of rows: both have the same determinant.
    """
    lower = np.linalg.cholesky(np.eye(len(gram)) + gram / (count * DISTORTION))
    return float(np.log(lower.diagonal()).sum())
