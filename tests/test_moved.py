"""Modules of featx 0.1 can be imported under their names of that time, for one release."""

import importlib
import warnings

import pytest

import featx
from featx.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_a_module_of_0_1_is_imported_by_its_old_name_with_a_warning(old: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"featx.{old}")
    with pytest.warns(DeprecationWarning, match=rf"featx\.{old} is now featx\.{MOVED[old]}"):
        importlib.reload(module)


@pytest.mark.filterwarnings("ignore:featx:DeprecationWarning")
def test_the_old_module_has_the_objects_of_the_new_one() -> None:
    for old, name in (("images.listing", "list_images"), ("register", "Description"), ("splits", "make_splits")):
        assert getattr(importlib.import_module(f"featx.{old}"), name) is getattr(featx, name)


@pytest.mark.filterwarnings("ignore:featx:DeprecationWarning")
@pytest.mark.parametrize("name", ["featx.nothing", "featx.images.nothing", "featx.register.nothing"])
def test_what_never_existed_is_not_found(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        importlib.import_module(name)
