"""Every estimator is public, so that it can be documented, and trusted when a head that contains it is loaded."""

import inspect
import pkgutil
from importlib import import_module

from sklearn.base import BaseEstimator

import featx.estimators


def test_every_estimator_is_at_the_door_with_an_example() -> None:
    found = set()
    for module in pkgutil.iter_modules(featx.estimators.__path__, "featx.estimators."):
        for name, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
            if issubclass(kind, BaseEstimator) and kind.__module__ == module.name and not inspect.isabstract(kind):
                assert getattr(featx.estimators, name) is kind
                assert ">>> " in (kind.__doc__ or ""), name
                found.add(name)
    assert len(found) == 15
