"""Reads several caches as feature tables, with the same choice of outputs and images for all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from featx.cache import (
    FeatureTable,
    Source,
    list_outputs,
    read_features,
)
from featx.errors import TableError, did_you_mean
from featx.settings import LAYERS, ViewRule
from featx.tables.annotations.joining import annotate
from featx.tables.annotations.reading import Annotations
from featx.tables.rows import choose_rows


def read_tables(
    caches: Sequence[Path],
    *,
    outputs: Sequence[str] = (),
    sources: Sequence[Source] = (),
    annotations: Annotations | None = None,
    split: str | None = None,
    labels: Sequence[str] = (),
    views: ViewRule = "first",
) -> list[FeatureTable]:
    """One table for each cache, with the features of some of its outputs.

    These are the `outputs` that it has, or the outputs that a head was trained on (`sources`), or the output that its
    card calls the feature if neither is given. Annotations replace the labels in the caches. `split` and `labels` then
    choose images, and `views` says how several views of an image are used, as in read_features.

    Raises CacheError and TableError as read_features does; TableError too if a cache or output is named twice, no cache
    has the output, or a cache has none of the outputs.
    """
    _refuse_repetition("cache", [str(path) for path in caches])
    available = {path: list_outputs(path) for path in caches}
    chosen = _outputs_of_sources(available, sources) if sources else _outputs_by_name(available, outputs)
    if annotations is None:
        return [
            read_features(path, outputs=names, split=split, labels=labels, views=views)
            for path, names in chosen.items()
        ]
    tables = [annotate(read_features(path, outputs=names, views=views), annotations) for path, names in chosen.items()]
    return [choose_rows(table, split=split, labels=labels) for table in tables]


def _refuse_repetition(what: str, names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise TableError(f"{what} {name} is named twice; name each once")


def _outputs_of_sources(
    available: Mapping[Path, Mapping[str, str]], sources: Sequence[Source]
) -> dict[Path, list[str]]:
    """Cache -> its outputs among the sources; if it has none of them an empty list, which stands for its feature."""
    wanted = dict.fromkeys((source.output, source.backbone) for source in sources)
    return {
        path: [name for name, backbone in wanted if hashes.get(name) == backbone] for path, hashes in available.items()
    }


def _refuse_one_layer(available: Mapping[Path, Mapping[str, str]]) -> None:
    """Raise TableError if every cache has a single output, so that nothing stands for several layers."""
    if all(len(hashes) == 1 for hashes in available.values()):
        raise TableError(
            f"{', '.join(map(str, available))}: one output each, and no layers; extract them with "
            f"`featx extract IMAGES --backbone NAME --output {LAYERS} --into CACHE`"
        )


def _outputs_by_name(available: Mapping[Path, Mapping[str, str]], outputs: Sequence[str]) -> dict[Path, list[str]]:
    """Cache -> its outputs among these; `layers` is in every cache and stands for its layers. Raises TableError."""
    _refuse_repetition("output", outputs)
    known = list(dict.fromkeys(name for hashes in available.values() for name in hashes))
    if LAYERS in outputs and LAYERS not in known:
        _refuse_one_layer(available)
        available = {path: {**hashes, LAYERS: ""} for path, hashes in available.items()}
    for name in outputs:
        if name not in (*known, LAYERS):
            raise TableError(f"no cache has output {name!r}{did_you_mean(name, known)}; choose from {', '.join(known)}")
    chosen = {path: [name for name in outputs if name in hashes] for path, hashes in available.items()}
    for path, names in chosen.items():
        if outputs and not names:
            raise TableError(
                f"{path}: has none of the outputs {', '.join(outputs)}; name one of {', '.join(available[path])} too"
            )
    return chosen
