"""Looks at everything that a suite names before anything is computed: images, labels, splits, backbones."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from featx.backbones import Backbone, select_outputs
from featx.cache import open_cache
from featx.convert import load_backbone
from featx.errors import FeatxError, SuiteError
from featx.inputs import ImageSet, list_images
from featx.suites.published import PublishedSplits, read_splits
from featx.suites.suite import SourceModel, Suite, Target
from featx.tables import Annotations, read_annotations


@dataclass(frozen=True)
class PreparedTarget:
    """A target whose images or caches have been found."""

    target: Target
    images: ImageSet | None
    """None if finished caches are given."""
    caches: Mapping[str, Path]
    """Name of the backbone of each finished cache -> its path."""
    annotations: Annotations | None
    splits: PublishedSplits | None
    """The splits in a file; None if a rule draws them."""


@dataclass(frozen=True)
class PreparedSuite:
    """A suite of which everything that it names has been found."""

    suite: Suite
    targets: tuple[PreparedTarget, ...]
    backbones: Mapping[str, Backbone]
    """Name of each source in the suite -> its backbone with the outputs that are compared; empty if none is needed."""
    loaded: Mapping[str, Backbone]
    """Name of each source in the suite -> its backbone with the outputs of its card."""

    def with_outputs(self, name: str, outputs: Sequence[str]) -> Backbone:
        """The backbone of this source with these outputs, which may be others than those that are compared."""
        chosen = self.backbones[name]
        same = [output.name for output in chosen.card.all_outputs] == list(outputs)
        return chosen if same else select_outputs(self.loaded[name], outputs)

    @property
    def about(self) -> dict[tuple[str, str], dict[str, float]]:
        """Backbone and output -> simple rivals of scores: bytes of the model, and whether it is the last feature."""
        return {
            (backbone.name, output.name): {
                "bytes of the model": float(sum(path.stat().st_size for path in backbone.files)),
                "always the last feature": float(
                    output.name == self.loaded[name].card.feature and not backbone.card.baseline
                ),
            }
            for name, backbone in self.backbones.items()
            for output in backbone.card.all_outputs
        }


def prepare_suite(suite: Suite, *, models: Path | str | None) -> PreparedSuite:
    """The suite with all that it names. Raises SuiteError naming the suite's file, the key and what is missing."""
    needed = any(target.images for target in suite.targets)
    loaded = {source: _load(suite, source, models) for source in suite.sources} if needed else {}
    with _telling(f"{suite.where}: key splits"):
        files = {path: read_splits(path) for path in dict.fromkeys(suite.split_files.values())}
    return PreparedSuite(
        suite=suite,
        targets=tuple(_prepare(suite, target, files) for target in suite.targets),
        backbones={source.backbone: chosen for source, (chosen, _) in loaded.items()},
        loaded={source.backbone: whole for source, (_, whole) in loaded.items()},
    )


def _load(suite: Suite, source: SourceModel, models: Path | str | None) -> tuple[Backbone, Backbone]:
    """The backbone with the outputs that are compared, and with those of its card."""
    with _telling(f"{suite.where}: sources, {source.backbone!r}"):
        backbone = load_backbone(source.backbone, folder=models)
        return select_outputs(backbone, source.outputs), backbone


def _prepare(suite: Suite, target: Target, files: Mapping[str, PublishedSplits]) -> PreparedTarget:
    where = f"{suite.where}: targets, {target.name!r}"
    splits = files.get(suite.split_files.get(target.name, ""))
    if splits is not None and target.name not in splits.targets:
        known = ", ".join(splits.targets)
        raise SuiteError(f"{where}, splits: {splits.where} has none of it, only those of {known}; name a rule for it")
    with _telling(f"{where}, annotations"):
        annotations = None if target.annotations is None else read_annotations(suite.locate(target.annotations))
    with _telling(f"{where}, images"):
        images = _list(suite, target) if target.images else None
    with _telling(f"{where}, caches"):
        caches = _open(suite, target)
    return PreparedTarget(target=target, images=images, caches=caches, annotations=annotations, splits=splits)


def _list(suite: Suite, target: Target) -> ImageSet:
    root = None if target.root is None else suite.locate(target.root)
    paths = [suite.locate(path) for path in target.images]
    return list_images(paths if len(paths) > 1 else paths[0], root=root, label_column=target.label_column)


def _open(suite: Suite, target: Target) -> dict[str, Path]:
    """The caches of a target by the names of their backbones. Raises CacheError, SuiteError."""
    found: dict[str, Path] = {}
    for path in map(Path, map(suite.locate, target.caches)):
        name = str(open_cache(path).card["name"])
        if name in found:
            raise SuiteError(f"{found[name]} and {path} are both of backbone {name!r}; name one of them")
        found[name] = path
    return found


@contextmanager
def _telling(where: str) -> Iterator[None]:
    """Let the messages of errors in the block begin with the place in the suite that they are about."""
    try:
        yield
    except FeatxError as error:
        raise SuiteError(f"{where}: {error}") from error


def with_device(suite: Suite, device: str | None) -> Suite:
    """The suite with this device, or as it is if it is None."""
    return suite if device is None else replace(suite, protocol=replace(suite.protocol, device=device))
