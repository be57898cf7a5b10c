"""Scaling of columns and rows, as one step of a pipeline that can be tuned."""

from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import normalize
from sklearn.utils.validation import validate_data

from featx.errors import HeadError
from featx.estimators.rows import (
    FLOATS,
    centred_blocks,
    validated_rows,
    weighted_mean,
)

How = Literal["none", "standardise", "overall", "l2"]
CENTRED = ("standardise", "overall")
FAR = 1e18
"""A mean or factor beyond this, or nearer to 0 than its inverse, leads out of the range of float32."""


class FeatureScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Scales features in one of four ways, which can be tuned as the parameter `how`.

    - "none": features stay as they are.
    - "standardise": every column gets mean 0 and variance 1.
    - "overall": every column gets mean 0, and one factor for all columns brings their mean variance to 1, so that the
      ratios between columns stay.
    - "l2": every row gets length 1.

    A constant column becomes 0 by "standardise" and "overall"; a row of zeros stays a row of zeros by "l2". float32
    stays float32. Weights of rows are not used. With `copy=False`, `transform` overwrites the float rows that it is
    given, and needs no further memory.

    >>> import numpy as np
    >>> from featx.estimators import FeatureScaler
    >>> rows = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> FeatureScaler("standardise").fit_transform(rows)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> FeatureScaler("l2").fit_transform([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """

    def __init__(self, how: How = "standardise", *, copy: bool = True) -> None:
        self.how = how
        self.copy = copy

    def fit(self, X: NDArray[Any], y: object = None) -> Self:
        """The fitted scaler, with `mean_` and `factor_` (d,) of the columns of X (n, d).

        "none" and "l2" do not use them: they tell what the rows were like, for heads of other domains. Raises HeadError
        for an unknown way to scale.
        """
        X = validate_data(self, X, dtype=FLOATS)
        if self.how not in get_args(How):
            raise HeadError(f"there is no scaling {self.how!r}; choose {', '.join(get_args(How))}")
        self.mean_, variance = column_moments(X)
        if self.how == "overall":
            variance[:] = variance.mean()
        self.factor_ = per_deviation(variance)
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        """The scaled rows (m, d)."""
        X = validated_rows(self, X)
        if self.how in CENTRED:
            return standardised(X, mean=self.mean_, factor=self.factor_, copy=self.copy)
        return normalize(X, copy=self.copy) if self.how == "l2" else X


def column_moments(
    X: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and variance (d,) of the columns of X (n, d), in float64.

    The variance of a constant column is exactly 0. Without `weights` (n,) all rows weigh 1.
    """
    weights = np.ones(len(X)) if weights is None else weights
    mean = weighted_mean(X, weights)
    squares = np.zeros(X.shape[1])
    for rows, block in centred_blocks(X, mean, dtype=np.float64):
        squares += weights[rows] @ np.square(block, out=block)
    variance = squares / weights.sum()
    # rounding errors alone leave this much variance to a constant column
    constant = variance <= (len(X) * np.finfo(np.float64).eps * mean) ** 2
    return mean, np.where(constant, 0.0, variance)


def per_deviation(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse (d,) of the standard deviation of each column; 1 for a column of variance 0."""
    return 1 / np.sqrt(np.where(variance > 0, variance, 1.0))


def standardised(
    X: NDArray[Any], *, mean: NDArray[np.float64], factor: NDArray[np.float64], copy: bool = True
) -> NDArray[Any]:
    """(X - mean) * factor in the type of X (n, d), as one copy, or written into X without `copy`.

    Columns so large or so near to 0 that float32 would lose them are computed in float64.
    """
    extreme = np.flatnonzero(_is_extreme(mean) | _is_extreme(factor)) if X.dtype == np.float32 else np.empty(0, np.intp)
    exact = (X[:, extreme].astype(np.float64) - mean[extreme]) * factor[extreme]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled: NDArray[Any] = np.subtract(X, mean.astype(X.dtype), out=None if copy else X)
        scaled *= factor.astype(X.dtype)
    scaled[:, extreme] = exact
    return scaled


def _is_extreme(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether products with these numbers may leave the range of float32."""
    size = np.abs(values)
    return (size > FAR) | ((size > 0) & (size < 1 / FAR))
