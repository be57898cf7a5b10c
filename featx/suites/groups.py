"""Comparability groups: what decides what a number means, and so which rows may stand together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from featx.hashing import hash_settings
from featx.suites.standing import Field, Lane, Standing
from featx.suites.suite import Protocol


@dataclass(frozen=True)
class GroupTarget:
    """One target of a group: which images were tested, and by what."""

    name: str
    label_rule: str
    """How the labels came about, in words."""
    classes: int
    images: str
    """Digest of the names of all images."""
    splits: tuple[str, ...]
    """How the test images of each split were chosen, in words."""
    test: str
    """Digest of the test images of all splits."""
    tested: int
    """Number of different test images."""
    measure: str
    weight: float
    """Weight in means over targets."""
    majority: float
    """The measure of always naming the most frequent class."""


@dataclass(frozen=True)
class Group:
    """What agrees among all rows of a comparability group: rows of different groups never stand together."""

    name: str
    head: str
    shots: int | None
    """Training images per class; None for all that the splits have."""
    balanced: bool
    tuning: str
    seed: int
    decode: str
    storage: str
    precision: str
    """Type in which the backbones compute."""
    provider: str
    """Execution provider that computed the features; several if they differ among targets."""
    features: str
    """`frozen`: the weights of backbones stay as they are."""
    targets: tuple[GroupTarget, ...]

    @property
    def digest(self) -> str:
        """Twelve digits that are equal for groups, also of different runs, whose rows may stand together."""
        values = asdict(self)
        del values["name"]
        return hash_settings(values)[:12]

    @property
    def text(self) -> str:
        """The group in one line."""
        shots = "all training images" if self.shots is None else f"{self.shots} shots"
        balance = ", balanced" if self.balanced else ""
        return (
            f"{self.head}, {shots}{balance}, on {', '.join(target.name for target in self.targets)}; tuned by "
            f"{self.tuning}, seed {self.seed}; {self.features} features in {self.storage}, computed in "
            f"{self.precision} on {self.provider}, decoding {self.decode}"
        )


@dataclass(frozen=True)
class GroupedFields:
    """A group with what every source in it reached: one field for each target."""

    group: Group
    fields: tuple[Field, ...]
    incomplete: tuple[tuple[Standing, tuple[str, ...]], ...]
    """Sources that lack a target, with the names of those that they lack; they are not in the fields."""


def group_fields(fields: Sequence[Field], protocol: Protocol) -> list[GroupedFields]:
    """The groups: one for each head, kind of split and way of computing features."""
    found = []
    for of_kind in _by_kind(fields):
        lanes = list(dict.fromkeys(_lanes(of_kind).values()))
        for place, lane in enumerate(lanes, start=1):
            name = f"{of_kind[0].head}/{of_kind[0].kind}" + (f"/{place}" if len(lanes) > 1 else "")
            if group := _group(name, of_kind, lane, protocol):
                found.append(group)
    return found


def _by_kind(fields: Sequence[Field]) -> Iterable[list[Field]]:
    """The fields of each head and kind of split together."""
    together = dict[tuple[str, str], list[Field]]()
    for field in fields:
        together.setdefault((field.head, field.kind), []).append(field)
    return together.values()


def _lanes(fields: Sequence[Field]) -> dict[tuple[str, str], tuple[Lane, ...]]:
    """Source -> the different lanes in which its features of these targets were computed."""
    of_source = dict[tuple[str, str], set[Lane]]()
    for field in fields:
        for standing in field.standings:
            of_source.setdefault(standing.source, set()).add(standing.lane)
    return {source: tuple(sorted(lanes)) for source, lanes in of_source.items()}


def _group(name: str, fields: Sequence[Field], lanes: tuple[Lane, ...], protocol: Protocol) -> GroupedFields | None:
    """The group of the sources with these lanes; None if there is none."""
    of_source = _lanes(fields)
    members = {source for source, found in of_source.items() if found == lanes}
    there = [field for field in fields if any(one.source in members for one in field.standings)]
    if not there:
        return None
    incomplete = list(_incomplete(there, members))
    out = {standing.source for standing, _ in incomplete}
    kept = tuple(_only(field, members - out) for field in there)
    return GroupedFields(_describe(name, there, lanes, protocol), kept, tuple(incomplete))


def _incomplete(
    fields: Sequence[Field], members: Iterable[tuple[str, str]]
) -> Iterator[tuple[Standing, tuple[str, ...]]]:
    """Sources that have no standing on some target, with one of those that they have."""
    for source in sorted(members):
        found = {field.target.target: one for field in fields for one in field.standings if one.source == source}
        lacking = tuple(field.target.target for field in fields if field.target.target not in found)
        if lacking:
            yield next(iter(found.values())), lacking


def _only(field: Field, sources: Iterable[tuple[str, str]]) -> Field:
    """The field with these sources only, in their order."""
    wanted = set(sources)
    standings = tuple(one for one in field.standings if one.source in wanted)
    return Field(**{**vars(field), "standings": standings})


def _describe(name: str, fields: Sequence[Field], lanes: tuple[Lane, ...], protocol: Protocol) -> Group:
    first = fields[0]
    return Group(
        name=name,
        head=first.head,
        shots=first.splits[0].shots,
        balanced=protocol.balanced,
        tuning=protocol.tuning,
        seed=protocol.seed,
        decode=_joined(lane.decode for lane in lanes),
        storage=_joined(lane.storage for lane in lanes),
        precision=_joined(lane.precision for lane in lanes),
        provider=_joined(lane.provider for lane in lanes),
        features="frozen",
        targets=tuple(map(_describe_target, fields)),
    )


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _describe_target(field: Field) -> GroupTarget:
    results = field.standings[0].results
    return GroupTarget(
        name=field.target.target,
        label_rule=field.target.label_rule,
        classes=len(field.target.joined.classes),
        images=results[0].images,
        splits=tuple(dict.fromkeys(split.rule for split in field.splits)),
        test=hash_settings({"test": [result.test for result in results]})[:12],
        tested=len(field.images.tested),
        measure=results[0].measure,
        weight=field.target.weight,
        majority=float(field.majority.values.mean()),
    )
