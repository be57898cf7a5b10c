"""Heads: unfitted scikit-learn pipelines by name; fitted ones saved and loaded without pickle."""

import json
import logging
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from featx.cache import Source
from featx.errors import HeadError, did_you_mean
from featx.provenance import versions

logger = logging.getLogger(__name__)

FORMAT = "featx head"
FORMAT_VERSION = 1
COMPONENTS: Sequence[float] = (64, 128, 256)


@dataclass(frozen=True)
class HeadRecipe:
    """How a head is made and what is tuned."""

    build: Callable[[int], Pipeline]
    """Seed -> unfitted pipeline whose last step is called `classifier`."""
    grid: Mapping[str, Sequence[float]]
    """Parameters of the pipeline to try, by cross-validation on training rows. A `gamma` counts in units of one over
    the number of columns, which is the scale of distances between standardised rows."""
    probabilities: bool = True
    """Whether the classifier gives probabilities itself; otherwise they are calibrated on out-of-fold rows (Platt)."""


def _pipeline(classifier: ClassifierMixin, seed: int, *, pca: bool = False) -> Pipeline:
    reduction = [("pca", PCA(random_state=seed))] if pca else []
    return Pipeline([("scaler", StandardScaler()), *reduction, ("classifier", classifier)])


def _logistic_regression() -> LogisticRegression:
    return LogisticRegression(max_iter=5000)


LINEAR_C = tuple(float(c) for c in np.logspace(-5, 0, 6))
RBF: Mapping[str, Sequence[float]] = {"classifier__C": (1.0, 3.0, 10.0, 30.0), "classifier__gamma": (0.1, 0.3, 1.0)}

HEADS: Mapping[str, HeadRecipe] = {
    "logreg": HeadRecipe(lambda seed: _pipeline(_logistic_regression(), seed), {"classifier__C": LINEAR_C}),
    "linear-svm": HeadRecipe(
        lambda seed: _pipeline(LinearSVC(dual=True, max_iter=5000, random_state=seed), seed),
        {"classifier__C": LINEAR_C[:-1]},
        probabilities=False,
    ),
    "rbf-svm": HeadRecipe(lambda seed: _pipeline(SVC(), seed), RBF, probabilities=False),
    "pca-logreg": HeadRecipe(
        lambda seed: _pipeline(_logistic_regression(), seed, pca=True),
        {"pca__n_components": COMPONENTS, "classifier__C": LINEAR_C},
    ),
    "pca-svm": HeadRecipe(
        lambda seed: _pipeline(SVC(), seed, pca=True),
        {"pca__n_components": COMPONENTS, **RBF},
        probabilities=False,
    ),
}


@dataclass(frozen=True)
class Head:
    """A fitted classifier and all that is needed to use it rightly."""

    name: str
    classes: tuple[str, ...]
    """In the order of the columns of its probabilities."""
    params: Mapping[str, Any]
    """What was tuned."""
    sources: tuple[Source, ...]
    """The backbones whose features it reads, in the order of its columns."""
    training: Mapping[str, Any]
    """The result on its own test rows, as plain JSON values."""
    pipeline: Pipeline
    calibrator: LogisticRegression | None
    """Decision values -> probabilities, for classifiers that give none."""

    def predict_probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (n, classes) of features (n, d); the label is the most probable class.

        Raises HeadError where a feature is NaN or infinite.
        """
        if not np.isfinite(features).all():
            bad = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise HeadError(f"row {bad} of the features is NaN or infinite; check its cache with `featx cache verify`")
        if self.calibrator is None:
            raw = self.pipeline.predict_proba(features)
        else:
            raw = self.calibrator.predict_proba(self.pipeline.decision_function(features).reshape(len(features), -1))
        probabilities: NDArray[np.float64] = raw.astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    def check(self, sources: Sequence[Source]) -> None:
        """Raise HeadError unless features of these sources are those that the head was trained on.

        Where they differ only in how JPEGs were decoded, a warning says so: that is also how its price is measured.
        """
        asked, given = ([(s.name, s.backbone) for s in side] for side in (self.sources, sources))
        if asked != given:
            names = [" + ".join(f"{name} ({digest[:12]})" for name, digest in side) for side in (asked, given)]
            raise HeadError(
                f"head {self.name!r} was trained on features of {names[0]} but was given {names[1]}; "
                "name the caches of its own backbones, in that order"
            )
        for mine, other in zip(self.sources, sources, strict=True):
            if mine.decode != other.decode:
                logger.warning(
                    "head %r was trained on %s with %s decoding but was given it with %s decoding; "
                    "`featx backbones verify %s --decode fast` tells how far they are apart",
                    *(self.name, mine.name, mine.decode, other.decode, mine.name),
                )


def find_recipe(name: str) -> HeadRecipe:
    """The recipe of this head. Raises HeadError for an unknown name."""
    if name not in HEADS:
        raise HeadError(f"no head is called {name!r}{did_you_mean(name, HEADS)}; choose from {', '.join(HEADS)}")
    return HEADS[name]


def build_head(name: str, *, seed: int = 0) -> Pipeline:
    """The unfitted pipeline of this name, its last step called `classifier`. Raises HeadError for an unknown name."""
    return find_recipe(name).build(seed)


def save_head(head: Head, path: Path | str) -> None:
    """Write the head as a zip of `head.json`, `pipeline.skops` and, where it has one, `calibrator.skops`.

    Raises HeadError where it cannot be written.
    """
    path = check_target(path)
    partial = path.with_name(path.name + ".partial")
    about = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": head.name,
        "classes": head.classes,
        "params": head.params,
        "sources": [asdict(source) for source in head.sources],
        "training": head.training,
        "versions": versions(),
    }
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("head.json", json.dumps(about, indent=2))
            for name, estimator in (("pipeline", head.pipeline), ("calibrator", head.calibrator)):
                if estimator is not None:
                    file.writestr(f"{name}.skops", skops.io.dumps(estimator))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise HeadError(f"{path}: cannot be written ({error.strerror or error}); choose another --into") from error


def check_target(path: Path | str) -> Path:
    """The path, once a head can be written there: its folder made, and nothing there but an earlier head.

    Raises HeadError otherwise; to be asked before hours of tuning.
    """
    path = Path(path)
    try:
        if path.is_dir() or (path.exists() and not _is_head(path)):
            raise HeadError(f"{path}: is there and is no head; choose another --into")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(path.name + ".partial")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HeadError(f"{path}: cannot be written ({error.strerror or error}); choose another --into") from error
    return path


def _is_head(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return "head.json" in file.namelist()
    except zipfile.BadZipFile:
        return False


def load_head(path: Path | str) -> Head:
    """The head in this file; no code in it is run.

    Raises HeadError where the file is missing, damaged, no head, or made of types that a head is not made of.
    """
    about, parts = _read_parts(path)
    try:
        head = _build(about, parts)
    except HeadError as error:
        raise HeadError(f"{path}: {error}") from error
    except Exception as error:
        # skops has no base class for what a damaged file raises
        raise HeadError(f"{path}: cannot be loaded ({error}); train it again with `featx train`") from error
    return head


def _build(about: dict[str, Any], parts: dict[str, bytes]) -> Head:
    if about.get("format") != FORMAT or about.get("format_version") != FORMAT_VERSION:
        found = f"{about.get('format')!r} version {about.get('format_version')}"
        raise HeadError(f"holds {found}, but this featx reads {FORMAT!r} version {FORMAT_VERSION}; train it again")
    head = Head(
        about["name"],
        tuple(about["classes"]),
        about["params"],
        tuple(Source(**source) for source in about["sources"]),
        dict(about["training"]),
        _load_estimator(parts["pipeline.skops"]),
        _load_estimator(parts["calibrator.skops"]) if "calibrator.skops" in parts else None,
    )
    if len(head.classes) != len(head.pipeline.classes_):
        raise HeadError(f"names {len(head.classes)} classes for {len(head.pipeline.classes_)}; train it again")
    return head


def _read_parts(path: Path | str) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as file:
            return json.loads(file.read("head.json")), {name: file.read(name) for name in file.namelist()}
    except FileNotFoundError as error:
        raise HeadError(f"{path}: no such head; make it with `featx train`") from error
    except Exception as error:
        # a damaged zip raises BadZipFile, KeyError, zlib.error, EOFError or ValueError, as the damage has it
        raise HeadError(f"{path}: not a readable head ({error}); train it again with `featx train`") from error


def _load_estimator(data: bytes) -> Any:
    if strange := skops.io.get_untrusted_types(data=data):
        raise HeadError(f"holds types that no head is made of ({', '.join(sorted(strange))}); do not use this file")
    return skops.io.loads(data)
