"""Curved borders between classes by the RBF kernel exp(-gamma |x - y|^2), exact or approximated by a map of columns."""

import logging
from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import ParameterGrid
from sklearn.svm import SVC
from sklearn.utils.validation import validate_data

from featx.errors import HeadError
from featx.estimators.classifier import MarginClassifier
from featx.estimators.linear_svm import LinearSVM, check_cost
from featx.estimators.rows import FLOATS, validated_rows
from featx.estimators.scaling import column_moments
from featx.estimators.scores import Grid, both_sides
from featx.estimators.targets import ClassWeight, Targets, expand_shares

logger = logging.getLogger(__name__)

Gamma = Literal["scale"] | float
DISTANCES_AT_ONCE = 2**24
"""Number of distances in memory at a time when rows are scored or mapped."""
EXACT_ROWS = 10_000
"""Number of training rows above which a kernel machine is approximate, unless `approximate` is False."""
LIBSVM_TOLERANCE = 1e-4
"""The tolerance of libsvm's optimality conditions: a tenth of scikit-learn's, so that equal problems agree."""


def resolve_gamma(gamma: Gamma, X: NDArray[Any], weights: NDArray[np.float64] | None = None) -> float:
    """Gamma per squared distance; a number is in units of 1 / columns, the scale of standardised rows.

    "scale" divides that by the variance of all numbers of X (n, d), as scikit-learn does. Raises HeadError for another
    word, and for a number that is not above 0.
    """
    units: float
    if gamma == "scale":
        mean, variance = column_moments(X, weights)
        units = 1 / (float(variance.mean()) + float(mean.var()) or 1.0)
    elif isinstance(gamma, str) or not gamma > 0:
        raise HeadError(f"gamma is {gamma!r}; give a number above 0, in units of 1 / columns, or 'scale'")
    else:
        units = float(gamma)
    return units / int(X.shape[1])


class KernelMap(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Maps rows to columns whose products approximate the RBF kernel, so that linear heads draw curved borders.

    This is Nystroem's method on `n_components` training rows drawn by `seed`, or on all of them if they are fewer
    (Williams and Seeger, NIPS 2000). `gamma` is that of KernelSVM. Weights of rows are not used.

    >>> import numpy as np
    >>> from featx.estimators import KernelMap
    >>> rows = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> mapped = KernelMap(gamma=2.0).fit_transform(rows)
    >>> (mapped @ mapped.T).round(3)
    array([[1.   , 0.368, 0.368],
           [0.368, 1.   , 0.135],
           [0.368, 0.135, 1.   ]])
    """

    def __init__(self, gamma: Gamma = "scale", n_components: int = 1000, *, seed: int = 0) -> None:
        self.gamma = gamma
        self.n_components = n_components
        self.seed = seed

    def fit(self, X: NDArray[Any], y: object = None) -> Self:
        """The fitted map for rows like those of X (n, d). Raises HeadError for a gamma that is not above 0."""
        X = validate_data(self, X, dtype=FLOATS)
        count = min(self.n_components, len(X))
        gamma = resolve_gamma(self.gamma, X)
        self.map_ = Nystroem(kernel="rbf", gamma=gamma, n_components=count, random_state=self.seed).fit(X)
        self._n_features_out = count
        self.exact_ = True
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        """The mapped rows (m, n_components)."""
        X = validated_rows(self, X)
        mapped = np.empty((len(X), self._n_features_out), X.dtype)
        step = max(1, DISTANCES_AT_ONCE // self._n_features_out)
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            mapped[part] = self._map_exactly(X[part]) if hasattr(self, "exact_") else self.map_.transform(X[part])
        return mapped

    def _map_exactly(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Products in float64, because the normalisation raises rounding errors up to a million times.

        Maps of 0.1.0 have no `exact_`: what follows them was fitted to rows with these errors.
        """
        kernel = _kernel(_squared_distances(X, self.map_.components_), self.map_.gamma)
        return np.asarray(kernel @ self.map_.normalization_.T)


class KernelSVM(MarginClassifier):
    """A support vector machine with the RBF kernel, each class against the rest; scores are its margins (m, C).

    A number as `gamma` is in units of 1 / columns. C is that of scikit-learn: the loss of a row counts C times its
    weight. A row counts for each class that it has a share of.

    The exact machine takes 12 bytes for each pair of training rows (1.2 GB for 10,000 rows). The approximate one maps
    rows by KernelMap with `n_components` and learns them by a LinearSVM. `approximate` chooses; without it, the machine
    is approximate above 10,000 rows, with a warning in the log. The fitted `approximate_` says which one it is.

    >>> import numpy as np
    >>> from featx.estimators import KernelSVM
    >>> rows = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    >>> fitted = KernelSVM(C=10.0, gamma=2.0).fit(rows, ["same", "same", "different", "different"])
    >>> fitted.predict([[0.1, 0.0], [0.9, 0.1]])
    array(['same', 'different'], dtype='<U9')
    >>> fitted.approximate_
    False
    """

    def __init__(
        self,
        C: float = 1.0,
        gamma: Gamma = "scale",
        *,
        approximate: bool | None = None,
        n_components: int = 1000,
        class_weight: ClassWeight = None,
        seed: int = 0,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.approximate = approximate
        self.n_components = n_components
        self.class_weight = class_weight
        self.seed = seed

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        self.approximate_ = self._is_large(targets)
        if self.approximate_:
            self.map_ = self._map(X)
            self.linear_ = LinearSVM(self.C).fit_targets(self.map_.transform(X), targets)
            return
        X, labels, weights = expand_shares(X, targets.mass)
        self.gamma_ = resolve_gamma(self.gamma, X, weights)
        kernel = _kernel(_squared_distances(X, X), self.gamma_)
        dual, self.intercept_ = _solve(kernel, labels, weights, C=self.C)
        support = dual.any(axis=1)
        self.support_vectors_ = X[support]
        self.dual_coef_ = dual[support]

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        if self.approximate_:
            return self.linear_.margins(self.map_.transform(X))
        margins = np.empty((len(X), len(self.intercept_)))
        step = max(1, DISTANCES_AT_ONCE // len(self.support_vectors_))
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            kernel = _kernel(_squared_distances(X[part], self.support_vectors_), self.gamma_)
            margins[part] = kernel @ self.dual_coef_ + self.intercept_
        return both_sides(margins)

    def _sweep(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        tuned: dict[str, Any] = {name: grid.get(name, [getattr(self, name)]) for name in ("C", "gamma")}
        for fixed in ParameterGrid({name: values for name, values in grid.items() if name not in tuned}):
            self.set_params(**fixed)
            sweep = self._sweep_mapped if self._is_large(targets) else self._sweep_exact
            for params, scores in sweep(X, targets, held_out, tuned):
                yield fixed | {name: params[name] for name in tuned if name in grid}, scores

    def _sweep_mapped(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        for gamma in grid["gamma"]:
            mapping = self.set_params(gamma=gamma)._map(X)
            mapped_held_out = mapping.transform(held_out)
            machine = LinearSVM()
            for C in machine.follow(mapping.transform(X), targets, grid["C"]):
                yield {"C": C, "gamma": gamma}, machine.margins(mapped_held_out)

    def _sweep_exact(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        X, labels, weights = expand_shares(X, targets.mass)
        inside = _squared_distances(X, X)
        across = _squared_distances(held_out, X)
        for gamma in grid["gamma"]:
            resolved = resolve_gamma(gamma, X, weights)
            kernel = _kernel(inside, resolved)
            held_kernel = _kernel(across, resolved)
            for C in grid["C"]:
                dual, intercept = _solve(kernel, labels, weights, C=C)
                yield {"C": C, "gamma": gamma}, both_sides(held_kernel @ dual + intercept)

    def _is_large(self, targets: Targets) -> bool:
        if self.approximate is not None:
            return self.approximate
        rows = int(np.count_nonzero(targets.mass))
        if rows > EXACT_ROWS:
            message = "%d rows are above the limit of %d for an exact kernel; it is approximated by a map of %d columns"
            logger.warning(message, rows, EXACT_ROWS, min(self.n_components, rows))
        return rows > EXACT_ROWS

    def _map(self, X: NDArray[Any]) -> KernelMap:
        return KernelMap(self.gamma, self.n_components, seed=self.seed).fit(X)


def _squared_distances(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    distances: NDArray[Any] = euclidean_distances(left, right, squared=True)
    return distances


def _kernel(distances: NDArray[Any], gamma: float) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = np.multiply(distances, -gamma, dtype=np.float64)
    np.exp(kernel, out=kernel)
    return kernel


def _solve(
    kernel: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    C: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dual coefficients (n, K) and intercepts (K,) of each class against the rest; for two classes only the second."""
    check_cost(C)
    classes = int(labels.max()) + 1
    positives = [1] if classes == 2 else range(classes)
    dual = np.zeros((len(kernel), len(positives)))
    intercept = np.zeros(len(positives))
    for column, positive in enumerate(positives):
        machine = SVC(C=C, kernel="precomputed", tol=LIBSVM_TOLERANCE)
        machine.fit(kernel, labels == positive, sample_weight=weights)
        dual[machine.support_, column] = machine.dual_coef_[0]
        intercept[column] = machine.intercept_[0]
    return dual, intercept
