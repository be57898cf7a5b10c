"""Chooses how a table uses the views of its images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from featx.cache.costs import scale_cost
from featx.cache.table import FeatureTable, Part, Source
from featx.errors import TableError
from featx.hashing import hash_settings
from featx.settings import CENTER, VIEW_RULES, ViewRule
from featx.showing import show_views


def use_views(table: FeatureTable, rule: ViewRule, *, names: Sequence[str] = ()) -> FeatureTable:
    """The table whose features are made of these views of its images, by default of all views in its caches.

    `rule` says how: `first` is view 0 alone, `mean` the mean feature over views, `rows` the features of all views side
    by side, (n, views x d). No feature is copied.

    Raises TableError if a cache of the table has one view only or lacks one of the names, if only one is named or one
    is named twice, or if the table uses its views by another rule already.

    >>> import featx
    >>> images = featx.list_images("new")
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> settings = featx.Settings(views=("center", "hflip"))
    >>> _ = featx.extract_features(images, backbone, into="views.h5", settings=settings)
    >>> table = featx.read_features("views.h5")
    >>> table.features.shape, featx.use_views(table, "rows").features.shape
    ((5, 1280), (5, 2560))
    """
    parts = [
        choose_views(part, source, rule, names=names) for part, source in zip(table.parts, table.sources, strict=True)
    ]
    return replace_parts(table, parts)


def replace_parts(table: FeatureTable, parts: Sequence[Part]) -> FeatureTable:
    """The table with these blocks of columns, which use other views of the same features; its digest says so."""
    if all(part is old for part, old in zip(parts, table.parts, strict=True)):
        return table
    views = [[part.view_rule, *part.views] for part in parts]
    digest = hash_settings({"of": table.digest, "views": views})
    return replace(table, parts=tuple(parts), sources=tuple(_sources(table.sources, parts)), digest=digest)


def choose_views(part: Part, source: Source, rule: ViewRule, *, names: Sequence[str] = ()) -> Part:
    """The block with these views, which come from `source`. Raises TableError as use_views does."""
    if rule not in VIEW_RULES:
        raise TableError(f"views {rule!r} is not known; choose from {', '.join(VIEW_RULES)}")
    if isinstance(names, str) or len(set(names)) < len(names) or (len(names) == 1 and rule != "first"):
        raise TableError(f"views {names!r} cannot be used as {rule!r}; give a list of two names or more, each once")
    if rule == "first" and tuple(names) not in ((), (CENTER,)):
        raise TableError(f"views {names!r} cannot be used as 'first', which is view 0 alone; give 'mean' or 'rows'")
    views = (CENTER,) if rule == "first" else tuple(names) or part.known_views
    if (part.view_rule, part.views) == (rule, views):
        return part
    if part.view_rule != "first":
        raise TableError(
            f"the features of {source.name} are the {part.view_rule} of {len(part.views)} views already and cannot "
            f"become {rule!r}; read the cache again"
        )
    if lacking := [view for view in views if view not in part.known_views]:
        raise TableError(
            f"the cache of {source.name} has the views {show_views(part.known_views)} but not {show_views(lacking)}; "
            f"extract the images with --views {','.join(view for view in views if view != CENTER)}"
        )
    if rule != "first" and len(part.known_views) == 1:
        raise one_view_error(f"the cache of {source.name}", rule)
    return replace(part, views=views, view_rule=rule)


def one_view_error(subject: str, rule: str) -> TableError:
    """The error for a cache of one view, whose name is `subject`, where several are asked for."""
    return TableError(
        f"{subject} has one view of each image, so its views cannot be used as {rule!r}; extract the images with "
        "--views symmetries, or another list of views"
    )


def _sources(sources: Sequence[Source], parts: Sequence[Part]) -> Iterator[Source]:
    """The sources of these blocks, with the columns that they have now."""
    start = 0
    for source, part in zip(sources, parts, strict=True):
        stop = start + part.width
        cost = scale_cost(source.cost, views=len(part.views), of=len(source.views))
        yield replace(source, start=start, stop=stop, views=part.views, view_rule=part.view_rule, cost=cost)
        start = stop
