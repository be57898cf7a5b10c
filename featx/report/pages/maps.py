"""A map of features, coloured by class, domain and error."""

from collections.abc import Iterator

import numpy as np

from featx.cache import FeatureTable
from featx.report.drawings import Cloud, Dot
from featx.report.pages.material import Material
from featx.report.section import Section
from featx.transfer import FeatureMap, map_features

LEAST = 3
"""Fewer images are no map."""
MOST = 1_000
"""Images on a map: more make the page large, and hide each other."""


def map_sections(material: Material, *, seed: int) -> Iterator[Section]:
    """One map: of the features of the first head whose images are at hand, or else of the first cache."""
    examined = next((one.examined for one in material.heads if one.examined is not None), None)
    table = examined.table if examined is not None else next((one.table for one in material.caches), None)
    if table is None or len(table) < LEAST:
        return
    errors = dict[int, str]()
    if examined is not None and not table.multilabel:
        right = examined.predicted == examined.codes
        errors = {int(row): "right" if ok else "wrong" for row, ok in zip(examined.rows, right, strict=True)}
    yield _map_section(table, map_features(table, most=MOST, seed=seed), errors)


def _map_section(table: FeatureTable, found: FeatureMap, errors: dict[int, str]) -> Section:
    colourings = {"class": _classes(table)}
    if table.domains is not None:
        colourings["domain"] = [name.decode(errors="replace") or "none" for name in table.domains.tolist()]
    if errors:
        colourings["error"] = [errors.get(row, "not a test image") for row in range(len(table))]
    dots = tuple(
        Dot(round(float(x), 3), round(float(y), 3), table.name(row), tuple(of[row] for of in colourings.values()))
        for row, (x, y) in zip(found.rows.tolist(), found.points, strict=True)
    )
    first, second = found.explained
    drawn = f"{len(dots):,} of {found.images:,} images" if len(dots) < found.images else "all images"
    return Section(
        title="Map of features",
        sentence=f"{drawn[:1].upper()}{drawn[1:]}, on the two directions in which their features differ most: they "
        f"show {first + second:.0%} of the variance.",
        columns=("coloured by", "category", "images"),
        rows=tuple(
            (what, name, str(count)) for what, of in colourings.items() for name, count in _count(of, found).items()
        ),
        figure=Cloud(
            "map of features",
            f"first principal component ({first:.0%})",
            f"second principal component ({second:.0%})",
            dots,
            tuple(colourings),
        ),
        notes=(
            *((f"the images were drawn at random among {found.images:,}",) if len(dots) < found.images else ()),
            "what is apart on the map is apart in the features; what is near may still differ in other directions",
            f"features: {' + '.join(dict.fromkeys(source.name for source in table.sources))}",
        ),
        name="map",
    )


def _classes(table: FeatureTable) -> list[str]:
    if table.multilabel:
        return ["several labels"] * len(table)
    codes = table.labels
    if table.shares is not None:
        codes = np.where(np.isnan(table.shares).any(axis=1), -1, np.nan_to_num(table.shares).argmax(axis=1))
    return [table.classes[code] if code >= 0 else "no label" for code in codes.tolist()]


def _count(categories: list[str], found: FeatureMap) -> dict[str, int]:
    counts = dict[str, int]()
    for row in found.rows.tolist():
        counts[categories[row]] = counts.get(categories[row], 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
