"""A head file is a closed format: what is not exactly a head is refused in one line, before it costs memory."""

import io
import json
import os
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from featx import load_head, save_head, train_head
from featx.cache import FeatureTable
from featx.errors import FeatxError, HeadError
from featx.heads import Head
from tests.support.tables import make_table

WRITTEN = sorted((Path(__file__).parents[1] / "fixtures" / "written-by-0.1.0" / "heads").glob("*.featx"))
MEMBERS = ["head.json", "pipeline.skops"]


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    return make_table((20, 20, 20), apart=4.0)


@pytest.fixture(scope="module")
def original(table: FeatureTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("head") / "h.featx"
    save_head(train_head(table, "ridge", jobs=1)[0], path)
    return path


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def described(original: Path, path: Path, **changes: Any) -> Path:
    """The head with these fields in its description, as version 2, which has no digest that would tell at once."""
    parts = members_of(original)
    about = json.loads(parts["head.json"]) | {"format_version": 2} | changes
    del about["digest"]
    return write(path, parts | {"head.json": json.dumps(about).encode()})


def refused(path: Path, reason: str) -> None:
    with pytest.raises(HeadError, match=reason) as caught:
        load_head(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value), "there is a next step"


def test_a_saved_head_has_exactly_two_members_and_a_digest_of_both(original: Path, table: FeatureTable) -> None:
    parts = members_of(original)
    assert list(parts) == MEMBERS
    about = json.loads(parts["head.json"])
    assert (about["format_version"], len(about["digest"])) == (3, 64)
    assert load_head(original).predict(table.features).shape == (60,)


def test_a_description_of_another_head_does_not_fit(original: Path, tmp_path: Path, table: FeatureTable) -> None:
    other = tmp_path / "other.featx"
    save_head(train_head(make_table((20, 20, 20), apart=2.0, seed=1), "ridge", jobs=1)[0], other)
    mixed = members_of(original) | {"pipeline.skops": members_of(other)["pipeline.skops"]}
    refused(write(tmp_path / "h.featx", mixed), "not those that were saved together")


def test_a_member_too_many_or_too_few_is_refused(original: Path, tmp_path: Path) -> None:
    parts = members_of(original)
    refused(write(tmp_path / "more.featx", parts | {"notes.txt": b"hello"}), r"contains 'head\.json', .*'notes\.txt'")
    refused(write(tmp_path / "less.featx", {"head.json": parts["head.json"]}), r"contains 'head\.json' instead of")


def test_what_no_zip_of_ours_has_is_refused(original: Path, tmp_path: Path) -> None:
    parts = members_of(original)
    twice = tmp_path / "twice.featx"
    write(twice, parts)
    with zipfile.ZipFile(twice, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("head.json", parts["head.json"])
    refused(twice, r"contains 'head\.json' twice")
    link = zipfile.ZipInfo("pipeline.skops")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.featx", "w") as file:
        file.writestr("head.json", parts["head.json"])
        file.writestr(link, "/etc/passwd")
    refused(tmp_path / "link.featx", "is a folder or a link")
    with zipfile.ZipFile(tmp_path / "bz.featx", "w", zipfile.ZIP_BZIP2) as file:
        for name in MEMBERS:
            file.writestr(name, parts[name])
    refused(tmp_path / "bz.featx", "compressed in a way that heads are not")


def test_an_encrypted_member_is_refused(original: Path, tmp_path: Path) -> None:
    data = bytearray(original.read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1
    (tmp_path / "h.featx").write_bytes(data)
    refused(tmp_path / "h.featx", "is encrypted")


@pytest.mark.parametrize("place", ["another member", "head.json", "pipeline.skops", "inside"])
def test_a_bomb_is_refused_before_it_is_unpacked(original: Path, tmp_path: Path, place: str) -> None:
    zeros = bytes(200 << 20)
    parts = members_of(original)
    if place == "inside":
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("schema.json", zeros)
        zeros = inner.getvalue()
    path = write(tmp_path / "h.featx", parts | {"junk" if place == "another member" else _bombed(place): zeros})
    del zeros
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    refused(path, "bytes|instead of|unpacks to")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


def _bombed(place: str) -> str:
    return "pipeline.skops" if place == "inside" else place


def test_a_description_of_very_many_parts_is_refused_before_it_is_read(original: Path, tmp_path: Path) -> None:
    parts = members_of(original) | {"head.json": b"[" + b"[]," * 600_000 + b"1]"}
    refused(write(tmp_path / "h.featx", parts), "more parts than that of any head")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "h.featx")
    refused(tmp_path / "h.featx", "is not a file")


def source(original: Path, **changes: Any) -> list[dict[str, Any]]:
    return [json.loads(members_of(original)["head.json"])["sources"][0] | changes]


WRONG: dict[str, Callable[[Path], dict[str, Any]]] = {
    "temperature nan": lambda path: {"temperature": float("nan")},
    "temperature infinite": lambda path: {"temperature": float("inf")},
    "temperature 0": lambda path: {"temperature": 0},
    "temperature text": lambda path: {"temperature": "1"},
    "classes numbers": lambda path: {"classes": [1, 2, 3]},
    "classes equal": lambda path: {"classes": ["a"] * 3},
    "classes text": lambda path: {"classes": "abc"},
    "classes too few": lambda path: {"classes": ["a", "b"]},
    "classes no Unicode": lambda path: {"classes": ["a", "b", "\udcff"]},
    "multilabel text": lambda path: {"multilabel": "no"},
    "multilabel": lambda path: {"sources": []},
    "backbone number": lambda path: {"sources": source(path, backbone=5)},
    "backbone short": lambda path: {"sources": source(path, backbone="abc")},
    "card empty": lambda path: {"sources": source(path, card={})},
    "card dim": lambda path: {"sources": source(path, card={"name": "a", "feature": "b", "dim": 7})},
    "columns": lambda path: {"sources": source(path, start=1, stop=7)},
    "decode": lambda path: {"sources": source(path, decode="slow")},
    "name": lambda path: {"name": "no-such-head"},
    "another head": lambda path: {"name": "knn"},
    "params": lambda path: {"params": {"C": {"nested": 1}}},
    "params nan": lambda path: {"params": {"C": float("nan")}},
    "training": lambda path: {"training": {"metrics": {"accuracy": "high"}}},
    "training beyond 1": lambda path: {"training": {"test": 3}},
    "versions": lambda path: {"versions": {"featx": 1}},
    "unknown field": lambda path: {"surprise": 1},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_every_field_of_a_description_has_a_type_and_a_range(
    original: Path, tmp_path: Path, change: Callable[[Path], dict[str, Any]]
) -> None:
    refused(described(original, tmp_path / "h.featx", **change(original)), r"h\.featx: ")


def test_a_description_of_version_2_needs_no_digest(original: Path, tmp_path: Path, table: FeatureTable) -> None:
    older = load_head(described(original, tmp_path / "h.featx"))
    assert np.array_equal(older.predict_proba(table.features), load_head(original).predict_proba(table.features))


def test_a_head_of_a_newer_featx_says_so(original: Path, tmp_path: Path) -> None:
    refused(described(original, tmp_path / "h.featx", format_version=4), "written by a newer featx .*update featx")
    newer = described(original, tmp_path / "h.featx", surprise=1, versions={"featx": "9.0.0"})
    refused(newer, r"unknown field `surprise`.*featx 9\.0\.0 wrote it")


def test_types_that_no_head_has_are_named(original: Path, tmp_path: Path, table: FeatureTable) -> None:
    labels = np.repeat([0, 1, 2], 20)
    for strange in (SVC(), LogisticRegression()):
        pipeline = skops.io.dumps(make_pipeline(strange).fit(table.features, labels))
        parts = members_of(original) | {"pipeline.skops": pipeline}
        refused(write(tmp_path / "h.featx", parts), f"no head consists of .*{type(strange).__name__}")


def change_mean(head: Head) -> None:
    head.pipeline["scaler"].mean_ = head.pipeline["scaler"].mean_[:1]


def change_columns(head: Head) -> None:
    head.pipeline["classifier"].coef_ = head.pipeline["classifier"].coef_[:, :-1]


def change_classes(head: Head) -> None:
    head.pipeline["classifier"].intercept_ = head.pipeline["classifier"].intercept_[:1]


def change_to_nan(head: Head) -> None:
    head.pipeline["classifier"].coef_[0, 0] = np.nan


def change_type(head: Head) -> None:
    head.pipeline["classifier"].coef_ = head.pipeline["classifier"].coef_.astype(np.int64)


def change_how(head: Head) -> None:
    head.pipeline["scaler"].how = "by magic"


def change_width(head: Head) -> None:
    head.pipeline["scaler"].n_features_in_ = 7


def change_step(head: Head) -> None:
    head.pipeline.steps[0] = ("scaler", head.pipeline["classifier"])


def add_attribute(head: Head) -> None:
    head.pipeline["classifier"].decision_function = 3


def remove_attribute(head: Head) -> None:
    del head.pipeline["classifier"].coef_


CHANGES = (
    *(change_mean, change_columns, change_classes, change_to_nan, change_type, change_how, change_width, change_step),
    *(add_attribute, remove_attribute),
)


@pytest.mark.parametrize("change", CHANGES)
def test_parts_that_do_not_fit_each_other_are_refused(
    original: Path, tmp_path: Path, change: Callable[[Head], None]
) -> None:
    head = deepcopy(load_head(original))
    head.pipeline["scaler"].set_params(how="standardise")
    head.pipeline["scaler"].mean_ = np.zeros(6)
    head.pipeline["scaler"].factor_ = np.ones(6)
    save_head(head, tmp_path / "whole.featx")
    load_head(tmp_path / "whole.featx")
    change(head)
    save_head(head, tmp_path / "h.featx")
    refused(tmp_path / "h.featx", r"h\.featx: (its|has|not a readable)")


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_an_array_cut_short_in_any_head_is_refused(path: Path, tmp_path: Path) -> None:
    parts = members_of(path)
    inner = _inner_of(parts["pipeline.skops"])
    for name, data in inner.items():
        if name == "schema.json":
            continue
        array = np.load(io.BytesIO(data))
        shorter = inner | {name: _saved(array[:-1])}
        changed = parts | {"pipeline.skops": _zipped(shorter)}
        refused(write(tmp_path / "h.featx", changed), r"h\.featx: ")


def _inner_of(pipeline: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(pipeline)) as file:
        return {name: file.read(name) for name in file.namelist()}


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def _saved(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def mutate_json(value: Any, rng: np.random.Generator) -> Any:
    """The value with something inside it replaced, removed or repeated."""
    odd: list[Any] = [None, -1, 0, 1e308, float("nan"), "", "x" * 50, [], {}, True, [1], "\x1b[31m"]
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = str(rng.choice(list(value)))
        if rng.random() < 0.2:
            return {name: one for name, one in value.items() if name != key}
        return value | {key: mutate_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = int(rng.integers(len(value)))
        return [*value[:place], mutate_json(value[place], rng), *value[place + 1 :]]
    return odd[int(rng.integers(len(odd)))]


def test_a_mutated_description_is_refused_or_changes_nothing(
    original: Path, tmp_path: Path, table: FeatureTable
) -> None:
    parts = members_of(original)
    about = json.loads(parts["head.json"])
    expected = load_head(original).predict_proba(table.features)
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(150):
        changed = json.dumps(mutate_json(about, rng)).encode()
        path = write(tmp_path / "h.featx", parts | {"head.json": changed})
        try:
            head = load_head(path)
        except FeatxError as error:
            wrong += "\n" not in str(error)
        else:
            assert np.array_equal(head.predict_proba(table.features), expected)
    assert wrong > 100


@pytest.mark.parametrize("path", WRITTEN[::4], ids=lambda path: path.stem)
def test_a_mutated_schema_is_refused_or_gives_a_head_that_works(path: Path, tmp_path: Path) -> None:
    parts = members_of(path)
    inner = _inner_of(parts["pipeline.skops"])
    schema = json.loads(inner["schema.json"])
    rng = np.random.default_rng(0)
    for _ in range(60):
        changed = inner | {"schema.json": json.dumps(mutate_json(schema, rng)).encode()}
        try:
            head = load_head(write(tmp_path / "h.featx", parts | {"pipeline.skops": _zipped(changed)}))
        except HeadError:
            continue
        columns = head.sources[-1].stop
        assert np.isfinite(head.predict_proba(np.ones((3, columns), np.float32))).all()
