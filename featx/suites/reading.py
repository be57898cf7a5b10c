"""Reads and checks the files of suites."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from featx.errors import SuiteError, did_you_mean
from featx.heads import find_recipe, parse_tuning
from featx.settings import SCORE_NAMES, SPLIT_RULES
from featx.suites.suite import Protocol, SourceModel, Suite, Target, is_split_file

MOST_BYTES = 2**20
"""Largest file of a suite."""
MOST_SHOWN = 100
"""Largest number of letters of a value that a message shows."""
TEXT_FOR_LIST = ("images", "caches")
"""Keys whose list may be a single text."""

Part = TypeVar("Part", Protocol, SourceModel, Target)


def read_suite(path: Path | str) -> Suite:
    r"""The suite in this TOML file: a table `[protocol]`, and tables `[[targets]]` and `[[sources]]`.

    The keys are the fields of featx.Protocol, featx.Target and featx.SourceModel; paths are relative to the folder of
    the file. Raises SuiteError naming the file, the key and the next step.

    >>> import featx
    >>> target = '[[targets]]\nname = "shapes"\nimages = "photos"'
    >>> source = '[[sources]]\nbackbone = "efficientnet-lite0"'
    >>> with open("suite.toml", "w") as file:
    ...     print(target, source, sep="\n", file=file)
    >>> featx.read_suite("suite.toml").targets[0].images
    ('photos',)
    """
    where = str(path)
    values = _load(Path(path))
    _check_keys(values, ("protocol", "targets", "sources"), where)
    suite = Suite(
        targets=tuple(_parse(Target, one, where, place) for place, one in _tables(values, "targets", where)),
        sources=tuple(_parse(SourceModel, one, where, place) for place, one in _tables(values, "sources", where)),
        protocol=_parse(Protocol, values.get("protocol", {}), where, "protocol"),
        folder=Path(path).parent,
        where=where,
    )
    check_suite(suite)
    return suite


def check_suite(suite: Suite) -> None:
    """Raise SuiteError, HeadError or ChoiceError for what contradicts itself, or names what does not exist.

    No file is looked at.
    """
    where = suite.where
    for key, known in (("targets", suite.targets), ("sources", suite.sources)):
        if not known:
            raise SuiteError(f"{where}: has no {key}; add a table [[{key}]]")
    _refuse_repetition(where, "targets, key name", [target.name for target in suite.targets])
    _refuse_repetition(where, "sources, key backbone", [source.backbone for source in suite.sources])
    for source in suite.sources:
        _refuse_repetition(where, f"sources, {source.backbone!r}, key outputs", source.outputs)
    for target in suite.targets:
        _check_target(target, where)
    _check_protocol(suite.protocol, where)
    for target in suite.targets:
        _check_domains(target, target.splits or suite.protocol.splits, f"{where}: targets, {target.name!r}")


def _load(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()[: MOST_BYTES + 1]
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        return tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        step = "check the path" if isinstance(error, OSError) else "correct the file"
        raise SuiteError(f"{path}: not a readable suite ({reason}); {step}") from error


def _tables(values: Mapping[str, Any], key: str, where: str) -> list[tuple[str, Any]]:
    """The tables of this key, each with what messages call it."""
    found = values.get(key, [])
    if not isinstance(found, list):
        raise SuiteError(f"{where}: {key} is not a list of tables; begin each with [[{key}]]")
    return [(_place(key, number, one), one) for number, one in enumerate(found, start=1)]


def _place(key: str, number: int, table: Any) -> str:
    name = (table.get("name") or table.get("backbone")) if isinstance(table, dict) else None
    return f"{key}, {_shown(name)}" if name else f"{key}, number {number}"


def _parse(kind: type[Part], values: Any, where: str, place: str) -> Part:
    """The part of a suite with these values. Raises SuiteError."""
    if not isinstance(values, dict):
        raise SuiteError(f"{where}: {place} is not a table; write its keys as `key = value` below it")
    known = fields(kind)
    _check_keys(values, [field.name for field in known], f"{where}: {place}")
    for field in known:
        if field.default is MISSING and field.name not in values:
            raise SuiteError(f"{where}: {place}: key {field.name!r} is missing; add it")
    hints = get_type_hints(kind, include_extras=True)
    return kind(**{key: _convert(key, value, hints[key], f"{where}: {place}") for key, value in values.items()})


def _check_keys(values: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = list(known)
    for key in values:
        if key not in known:
            near = did_you_mean(key, known) if len(key) <= MOST_SHOWN else ""
            raise SuiteError(f"{where}: unknown key {_shown(key)}{near}; correct or remove it")


def _convert(key: str, value: Any, type_: Any, where: str) -> Any:
    """The value of a key as this type. Raises SuiteError naming what it should be."""
    given = [value] if key in TEXT_FOR_LIST and isinstance(value, str) else value
    try:
        return msgspec.convert(given, type_, strict=True)
    except msgspec.ValidationError as error:
        raise SuiteError(f"{where}: {key} = {_shown(value)} should be {_in_words(type_)}; correct it") from error


def _in_words(type_: Any) -> str:
    """What a value of this type should be."""
    for meta in getattr(type_, "__metadata__", ()):
        return str(meta.description)
    choices = [choice for choice in get_args(type_) if choice is not type(None)]
    if choices:
        return " or ".join(
            dict.fromkeys(choice if isinstance(choice, str) else _in_words(choice) for choice in choices)
        )
    return {str: "text in quotes", bool: "true or false"}[type_]


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"


def _refuse_repetition(where: str, place: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise SuiteError(f"{where}: {place}: {name!r} is there twice; name each once")


def _check_target(target: Target, where: str) -> None:
    place = f"{where}: targets, {target.name!r}"
    if bool(target.images) == bool(target.caches):
        both = "both" if target.images else "neither"
        raise SuiteError(f"{place} has {both} of the keys images and caches; give one of them")
    for key in ("root", "label_column"):
        if target.caches and getattr(target, key):
            raise SuiteError(f"{place}: key {key} is for images, but this target has caches; remove it")
    if target.splits is not None:
        _check_rule(target.splits, f"{place}: splits")


def _check_domains(target: Target, rule: str, place: str) -> None:
    for key in ("source_domains", "target_domain"):
        if getattr(target, key) and rule != "source-target":
            raise SuiteError(f"{place}: key {key} is for splits = 'source-target', not {rule!r}; remove it")


def _check_protocol(protocol: Protocol, where: str) -> None:
    place = f"{where}: protocol"
    _refuse_repetition(where, "protocol, key heads", protocol.heads)
    for head in protocol.heads:
        find_recipe(head)
    parse_tuning(protocol.tuning)
    _check_rule(protocol.splits, f"{place}: splits")
    for name in protocol.scores if protocol.scores != ("all",) else ():
        if name not in SCORE_NAMES:
            raise SuiteError(
                f"{place}: scores: there is no score {name!r}{did_you_mean(name, SCORE_NAMES)}; "
                f"choose {', '.join(SCORE_NAMES)}, or all"
            )


def _check_rule(splits: str, place: str) -> None:
    if not is_split_file(splits) and splits not in ("auto", *SPLIT_RULES):
        raise SuiteError(
            f"{place}: no split rule {splits!r}{did_you_mean(splits, SPLIT_RULES)}; "
            f"choose auto, {', '.join(SPLIT_RULES)}, or name a file that ends in .csv"
        )
