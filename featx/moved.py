"""Modules of featx 0.1 under their names of that time: importing one warns, and gives the names of its new place.

>>> import warnings
>>> with warnings.catch_warnings():
...     warnings.simplefilter("ignore")
...     from featx.annotations import read_annotations
>>> read_annotations.__module__
'featx.tables.annotations.reading'
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from types import ModuleType

MOVED = {
    "annotations": "tables.annotations",
    "batches": "extract.batches",
    "calibrate": "extract.pace",
    "console": "report.terminal",
    "cosines": "tables.similarity",
    "decode": "inputs.decode",
    "distribute": "extract.shards",
    "evaluate": "heads.evaluate",
    "export": "convert.export",
    "extractor": "extract.transformer",
    "fetch": "convert.fetch",
    "fingerprints": "inputs.fingerprints",
    "fusion": "tables.joining",
    "graph": "backbones.graph",
    "images": "inputs.sets",
    "label_errors": "heads.label_errors",
    "predict": "deploy.predict",
    "preprocessing": "convert.preprocessing",
    "quantize": "convert.quantize",
    "register": "convert.adding",
    "results": "heads.results",
    "session": "backbones.session",
    "splits": "tables.splits",
    "standings": "compare.ranking",
    "train": "heads.training",
    "trial": "backbones.tryout",
    "truth": "labels",
    "verify": "convert.verifying",
}
"""Modules and packages of featx 0.1, without the leading `featx.` -> where their contents are now."""


class _MovedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of MOVED, and the modules inside those of them that were packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """How to import a module by its old name; None if it is no module of featx 0.1 that has moved."""
        package, _, name = fullname.partition(".")
        if package != "featx" or name.partition(".")[0] not in MOVED:
            return None
        place = find_spec(_new_name(fullname))
        if place is None:
            return None
        is_package = place.submodule_search_locations is not None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Python makes the module itself."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module of the old name, whose attributes are those of the new one. Warns of the old name."""
        new = _new_name(module.__name__)
        text = f"{module.__name__} is now {new}; the old name will be removed in the next release"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        room = new.rpartition(".")[0] or new
        module.__dict__["__getattr__"] = partial(_find, (importlib.import_module(new), importlib.import_module(room)))


def _find(places: Sequence[ModuleType], name: str) -> object:
    """The object of this name in the first of the modules that has it. Raises AttributeError."""
    for place in places:
        if hasattr(place, name) and not name.startswith("__"):
            return getattr(place, name)
    raise AttributeError(f"{places[0].__name__} has no {name!r}")


def _new_name(old: str) -> str:
    """The new name of a module of featx 0.1."""
    _, top, *inner = old.split(".")
    return ".".join(["featx", MOVED[top], *inner])


def find_moved_modules() -> None:
    """Let `import` find modules of featx 0.1; modules that exist under the wanted name come first."""
    sys.meta_path.append(_MovedModules())
