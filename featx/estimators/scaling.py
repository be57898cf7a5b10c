"""How columns are brought to one scale, as one step of a pipeline that can be tuned."""

from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import HeadError
from featx.estimators.rows import centred_blocks, weighted_mean

FLOATS = (np.float64, np.float32)
How = Literal["none", "standardise", "overall", "l2"]
CENTRED = ("standardise", "overall")


class FeatureScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Rows as they are ("none"), columns with mean 0 and variance 1 ("standardise"), or rows of length 1 ("l2").

    "overall" gives columns mean 0 and one factor for all, by which their variance is 1 on average: what they are to
    each other stays. A constant column becomes 0 by either, a row of zeros stays one by "l2", float32 stays float32.
    Weights of rows are not taken: the scale of a column is that of its rows, all alike. Without `copy` rows of floats
    are overwritten by `transform`, which then takes no memory of its own.
    """

    def __init__(self, how: How = "standardise", *, copy: bool = True) -> None:
        self.how = how
        self.copy = copy

    def fit(self, X: NDArray[Any], y: object = None) -> Self:
        """Itself, with mean_ and factor_ (d,) of the columns of X (n, d) where they are asked for."""
        X = validate_data(self, X, dtype=FLOATS)
        if self.how not in get_args(How):
            raise HeadError(f"no scaling is called {self.how!r}; choose {', '.join(get_args(How))}")
        if self.how in CENTRED:
            self.mean_, variance = column_moments(X)
            if self.how == "overall":
                variance[:] = variance.mean()
            self.factor_ = per_deviation(variance)
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        """The rows (m, d) scaled."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        if self.how in CENTRED:
            return standardised(X, mean=self.mean_, factor=self.factor_, copy=self.copy)
        return normalize(X, copy=self.copy) if self.how == "l2" else X


def column_moments(
    X: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance (d,) of the columns of X (n, d), in float64; exactly 0 for a constant column."""
    weights = np.ones(len(X)) if weights is None else weights
    mean = weighted_mean(X, weights)
    squares = np.zeros(X.shape[1])
    for rows, block in centred_blocks(X, mean, dtype=np.float64):
        squares += weights[rows] @ np.square(block, out=block)
    variance = squares / weights.sum()
    # what rounding alone leaves of a column that is constant
    constant = variance <= (len(X) * np.finfo(np.float64).eps * mean) ** 2
    return mean, np.where(constant, 0.0, variance)


def per_deviation(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over the standard deviation (d,); 1 where that is 0."""
    return 1 / np.sqrt(np.where(variance > 0, variance, 1.0))


def standardised(
    X: NDArray[Any], *, mean: NDArray[np.float64], factor: NDArray[np.float64], copy: bool = True
) -> NDArray[Any]:
    """(X - mean) * factor in the type of X, in one copy, or in X itself."""
    scaled: NDArray[Any] = np.subtract(X, mean.astype(X.dtype), out=None if copy else X)
    scaled *= factor.astype(X.dtype)
    return scaled
