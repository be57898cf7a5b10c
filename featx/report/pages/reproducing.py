"""Reproduce: the commands, what identifies inputs and models, versions, the machine, and how to cite."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from featx.hardware import hardware
from featx.heads import Result
from featx.provenance import __version__, versions
from featx.report.pages.material import Material
from featx.report.section import Section

DIGITS = 16
"""Digits of a hash that are shown: enough to tell files apart."""


def reproduce_sections(material: Material, command: str) -> Iterator[Section]:
    """The commands, the hashes, and the software and hardware; `command` makes this very page."""
    yield _commands(material, command)
    yield _inputs(material)
    yield _software(material)


def _commands(material: Material, command: str) -> Section:
    rows = [*_extractions(material), *_comparisons(material), *_trainings(material), ("this page", command)]
    return Section(
        title="Reproduce: commands",
        sentence="The same images, models and versions give the same numbers.",
        columns=("what", "command"),
        rows=tuple(dict.fromkeys(rows)),
        notes=("IMAGES and CACHES stand for paths that the results do not know",),
        name="commands",
    )


def _extractions(material: Material) -> Iterator[tuple[str, str]]:
    for one in material.caches:
        for name in dict.fromkeys(source.name for source in one.table.sources):
            yield "features", _join("featx", "extract", "IMAGES", "--backbone", name, "--into", one.name)


def _comparisons(material: Material) -> Iterator[tuple[str, str]]:
    """A command for all results that were measured in the same way."""
    caches = list(dict.fromkeys(one.name for one in material.caches)) or ["CACHES"]
    for ranking in material.ranked.rankings:
        results = [result for one in ranking for result in one.results]
        for how, own in groupby(sorted(results, key=_how), key=_how):
            balanced, seed, _ = how
            options = [*_options(list(own)), *(("--balanced",) if balanced else ()), "--seed", str(seed)]
            yield "results", _join("featx", "compare", *caches, *options, "--into", "results.jsonl")


def _how(result: Result) -> tuple[bool, int, str]:
    return result.balanced, result.seed, result.tuning


def _options(results: Sequence[Result]) -> list[str]:
    """The heads, fusions and splits of these results."""
    kinds = list(dict.fromkeys(one.split_key.partition("/")[0] for one in results))
    shots = [kind.removeprefix("few-shot-") for kind in kinds if kind.startswith("few-shot-")]
    folds = [kind.removesuffix("-fold") for kind in kinds if kind.endswith("-fold")]
    rules = dict.fromkeys(_rule(kind) for kind in kinds)
    fusions = [name for name in dict.fromkeys(one.fusion for one in results) if name]
    options = ["--heads", ",".join(dict.fromkeys(one.head for one in results))]
    options += ["--fusions", ",".join(fusions)] if fusions else []
    options += ["--splits", ",".join(rules)]
    options += ["--shots", ",".join(shots)] if shots else []
    options += ["--folds", folds[0]] if folds else []
    options += ["--tuning", results[0].tuning] if results[0].tuning else []
    return options


def _rule(kind: str) -> str:
    """The split rule of a kind of splits."""
    if kind.startswith("few-shot-"):
        return "few-shot"
    return "k-fold" if kind.endswith("-fold") else kind


def _trainings(material: Material) -> Iterator[tuple[str, str]]:
    caches = list(dict.fromkeys(one.name for one in material.caches)) or ["CACHES"]
    for one in material.heads:
        seed = () if one.result is None else ("--seed", str(one.result.seed))
        yield "head", _join("featx", "train", *caches, "--head", one.head.name, *seed, "--into", one.path.name)


def _join(*words: str) -> str:
    return " ".join(word if word in ("IMAGES", "CACHES") else shlex.quote(word) for word in words)


def _inputs(material: Material) -> Section:
    given = Counter((one.name, one.what, one.digest[:DIGITS] or "–") for one in material.inputs)
    files = [(name if n == 1 else f"{n:,} x {name}", what, digest) for (name, what, digest), n in given.items()]
    return Section(
        title="Reproduce: inputs and models",
        sentence=f"The page was made from {given.total():,} {'inputs' if given.total() != 1 else 'input'}.",
        columns=("file or model", "what it is", "sha256, first digits"),
        rows=(*files, *dict.fromkeys(_models(material))),
        name="inputs",
    )


def _models(material: Material) -> Iterator[tuple[str, str, str]]:
    for cache in material.caches:
        for source in cache.table.sources:
            yield source.name, "model of a cache", str(source.card["sha256"])[:DIGITS]
        if cache.images.digest:
            yield cache.name, "its image set", cache.images.digest[:DIGITS]
    for head in material.heads:
        for source in head.head.sources:
            yield source.name, f"model that {head.path.name} reads", str(source.card["sha256"])[:DIGITS]


def _software(material: Material) -> Section:
    trained = _all_versions([one.versions for one in material.results])
    now = versions()
    rows = [(name, trained.get(name, "–"), now.get(name, "–")) for name in dict.fromkeys([*trained, *now])]
    machine = ", ".join(f"{name} {value}" for name, value in hardware().items())
    return Section(
        title="Reproduce: software and machine",
        sentence=f"This page was made by featx {__version__}.",
        columns=("package", "of the results", "of this page"),
        rows=tuple(rows),
        notes=(
            f"machine that made the page: {machine}",
            f"to cite: @software{{featx, title={{featx: transfer learning by features}}, version={{{__version__}}}}}",
        ),
        name="software",
    )


def _all_versions(found: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Package -> its version, or all of them if results differ."""
    names = dict.fromkeys(name for one in found for name in one)
    return {name: ", ".join(dict.fromkeys(one[name] for one in found if name in one)) for name in names}
