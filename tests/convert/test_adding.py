"""adding: a model becomes a backbone that loads and gives the same features, or nothing is left behind."""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from featx.backbones import inspect_model, open_session
from featx.backbones.outputs import select_outputs
from featx.backbones.store import Backbone, list_backbones, load_backbone, user_folder
from featx.convert.adding import (
    AddedBackbone,
    Description,
    add_backbone,
    describe_model,
    install,
)
from featx.convert.own_folder import reserve_name
from featx.convert.preprocessing import Preprocessing
from featx.errors import BackboneError
from featx.hashing import hash_file
from featx.locking import MARK
from tests.conftest import Ran, Tiny
from tests.support.cards import BUNDLED_NAMES
from tests.support.graphs import (
    FIXTURES,
    MEAN,
    STD,
    Graph,
    assert_same,
    classifier,
    describe,
    normalised,
    open_model,
    random_pixels,
    rewrite,
    run,
)
from tests.support.sizes import as_exhaustive

BUNDLED = "efficientnet-lite0"
PIXELS = Preprocessing(mean=(MEAN,) * 3, std=(STD,) * 3)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of each test, its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return user_folder()


def add(model: Path, into: Path, name: str = "mine", *, outputs: Sequence[str] = (), **options: Any) -> AddedBackbone:
    """Register the model with the usual scale of pixels."""
    said = Description(name=name, outputs=tuple(outputs), pixels=PIXELS)
    return add_backbone(model, said, into=into, **options)


def features(backbone: Backbone, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a session on the CPU gives."""
    return open_session(backbone, device="cpu")(pixels)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(model: Path, into: Path, match: str, **options: Any) -> None:
    """Fail unless the model is refused and the folder is as it was."""
    before = files(into)
    with pytest.raises(BackboneError, match=match) as caught:
        add(model, into, **options)
    assert "\n" not in str(caught.value)
    assert files(into) == before


@dataclass(frozen=True)
class Mine:
    """A backbone `mine` in a folder that tests read but do not change, and its model, which lies elsewhere now."""

    backbone: Backbone
    folder: Path
    model: Path

    def copy(self, to: Path) -> None:
        """A folder that a test may change."""
        shutil.copytree(self.folder, to)


def move_after_adding(model: Path, folder: Path) -> Mine:
    """Add the model to the folder, then move it and its weights away."""
    backbone = add(model, folder / "models").backbone
    shutil.move(model.parent, folder / "moved")
    return Mine(backbone, folder / "models", folder / "moved" / model.name)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Mine:
    """A classifier that was added."""
    folder = tmp_path_factory.mktemp("mine")
    return move_after_adding(classifier(folder / "there"), folder)


def put(tiny: Tiny, models: Path, *, name: str = "mine", overwrite: bool = False) -> Backbone:
    """What add_backbone does with the files of a model that was described before."""
    with reserve_name(name, models, overwrite=overwrite, source=tiny.backbone.path) as reserved:
        return install(tiny.backbone.path, replace(tiny.backbone.card, name=name, file=f"{name}.onnx"), reserved)


def not_described(model: Path, match: str, *outputs: str) -> None:
    """Fail unless the model is refused in one line when it is described, which is before anything is written."""
    with pytest.raises(BackboneError, match=match) as caught:
        describe_model(model, Description(name="mine", outputs=outputs, pixels=PIXELS))
    assert "\n" not in str(caught.value)


# ---- a backbone


def test_a_backbone_that_was_added_loads_and_gives_the_features_of_its_model(mine: Mine) -> None:
    pixels = random_pixels(3)
    backbone = load_backbone("mine", folder=mine.folder)
    assert backbone == mine.backbone
    assert_same(features(backbone, pixels), run(mine.model, normalised(pixels), "pooled")[0])


def test_a_model_without_external_data_is_copied_byte_for_byte(mine: Mine) -> None:
    assert files(mine.folder).keys() == {"mine.onnx", "mine.toml"}
    assert mine.backbone.path.read_bytes() == mine.model.read_bytes()
    assert mine.backbone.card.sha256 == hash_file(mine.model)


def test_the_card_says_what_the_model_told(mine: Mine) -> None:
    card = mine.backbone.card
    assert (card.name, card.file, card.input.name, card.input.layout, card.input.dtype) == (
        "mine",
        "mine.onnx",
        "image",
        "NCHW",
        "float32",
    )
    assert (card.input.pixels.size, card.feature, card.dim, card.classifier) == (16, "pooled", 8, "logits")


def test_the_model_may_be_removed_afterwards(mine: Mine, weighty: Mine) -> None:
    for one in (mine, weighty):
        assert not (one.folder.parent / "there").exists()
        assert features(load_backbone("mine", folder=one.folder), random_pixels(2)).shape == (2, one.backbone.card.dim)


def test_without_a_folder_the_backbone_is_the_users(tmp_path: Path, own_folder: Path) -> None:
    said = Description(name="mine", pixels=PIXELS)
    backbone = add_backbone(classifier(tmp_path), said).backbone
    assert backbone.path == own_folder / "mine.onnx"
    assert load_backbone("mine") == backbone
    assert {one.name for one in list_backbones()} == {*BUNDLED_NAMES, "mine"}


def test_the_users_folder_is_below_the_one_of_the_platform(tmp_path: Path, own_folder: Path) -> None:
    assert own_folder.is_relative_to(tmp_path / "data")


def test_a_model_that_lies_in_the_folder_already_becomes_a_backbone_there(models: Path) -> None:
    path = classifier(models, name="mine")
    add(path, models)
    assert files(models).keys() == {"mine.onnx", "mine.toml"}
    assert load_backbone("mine", folder=models).path == path


@pytest.mark.parametrize("name", ["a.b-c_1", "ResNet50", "ß"])
def test_a_name_may_hold_dots_dashes_and_letters_of_all_languages(tiny: Tiny, models: Path, name: str) -> None:
    assert put(tiny, models, name=name) == load_backbone(name, folder=models)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", "..", ".hidden", "a\n", "a:b"])
def test_a_name_that_is_no_file_name_everywhere_is_refused(tmp_path: Path, models: Path, name: str) -> None:
    refused(classifier(tmp_path), models, "--name .* should be letters, digits", name=name)


# ---- names that are taken


def test_a_name_that_is_taken_is_refused_with_its_card(tmp_path: Path, models: Path, tiny: Tiny) -> None:
    refused(classifier(tmp_path), models, r"tiny\.toml: backbone 'tiny' already exists; .*--overwrite", name="tiny")


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_name_of_the_bundled_backbone_is_refused_always(tmp_path: Path, models: Path, overwrite: bool) -> None:
    refused(
        classifier(tmp_path), models, f"--name '{BUNDLED}' is the name of a bundled", name=BUNDLED, overwrite=overwrite
    )


def test_overwriting_replaces_card_and_model(tmp_path: Path, models: Path, mine: Mine) -> None:
    mine.copy(models)
    second, pixels = classifier(tmp_path / "second", seed=2), random_pixels(2)
    add(second, models, overwrite=True)
    found = features(load_backbone("mine", folder=models), pixels)
    assert_same(found, run(second, normalised(pixels), "pooled")[0])


def test_a_backbone_can_be_described_anew_from_its_own_model(models: Path, mine: Mine) -> None:
    mine.copy(models)
    add(models / "mine.onnx", models, outputs=["logits"], overwrite=True)
    assert load_backbone("mine", folder=models).card.feature == "logits"


def test_overwriting_what_is_not_there_is_adding(models: Path, tiny: Tiny) -> None:
    assert put(tiny, models, overwrite=True) == load_backbone("mine", folder=models)


def test_overwriting_that_fails_leaves_the_old_backbone(tmp_path: Path, models: Path, mine: Mine) -> None:
    mine.copy(models)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    refused(tmp_path / "bad.onnx", models, "not an ONNX model but text", overwrite=True)
    assert load_backbone("mine", folder=models)


# ---- what is refused


def test_an_uncertain_feature_is_refused_with_the_candidates(tmp_path: Path) -> None:
    graph = Graph()
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.pooled(), 8, 512, into="output"))
    not_described(path, r"m\.onnx: its feature is not certain.*--output.*output \(512.*pooled \(8, global pool\)")
    assert describe_model(path, Description(name="mine", outputs=("pooled",), pixels=PIXELS))[0].dim == 8


def test_features_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    graph = Graph()
    graph.add("Sqrt", graph.add("Neg", graph.pooled()), into="roots")
    path = graph.save(tmp_path / "m.onnx", graph.dense("roots", 8, 5, into="logits"))
    not_described(path, r"m\.onnx: output 'roots' is NaN or infinite .*--mean and --std, or choose another --output")


def test_an_unknown_output_is_refused_with_near_ones(tmp_path: Path, models: Path) -> None:
    refused(classifier(tmp_path), models, r"no tensor 'poold' \(did you mean pooled", outputs=["poold"])


@pytest.mark.parametrize("place", ["../weights", "/weights", "missing"])
def test_a_model_whose_weights_are_not_beside_it_is_refused(tmp_path: Path, place: str) -> None:
    def move(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)

    not_described(rewrite(classifier(tmp_path), move), "the external data of 'weight_0'")


def test_weights_of_a_negative_size_do_not_read_a_whole_file(tmp_path: Path) -> None:
    def shrink(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        del tensor.dims[:]
        tensor.dims.extend([-1, 5])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights")

    (tmp_path / "weights").write_bytes(bytes(2**20))
    not_described(rewrite(classifier(tmp_path), shrink), r"should have -20 bytes from 0 on.*export it again")


def test_a_model_that_the_runtime_refuses_is_refused_by_name(tmp_path: Path) -> None:
    graph = Graph()
    wrong = graph.add("MatMul", graph.pooled(), graph.draw(7, 6))
    end = helper.make_tensor_value_info("logits", 1, None)
    graph.add("MatMul", wrong, graph.draw(6, 5), into="logits")
    model = helper.make_model(helper.make_graph(graph.nodes, "made", graph.inputs, [end], graph.weights))
    model.ir_version, model.opset_import[0].version = 8, 17
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    not_described(tmp_path / "m.onnx", r"m\.onnx")


def test_a_wrong_hash_of_a_file_is_refused_with_both(tmp_path: Path, models: Path) -> None:
    path = classifier(tmp_path)
    refused(path, models, f"its sha256 is {hash_file(path)} but {'0' * 64} was expected", sha256="0" * 64)
    assert add(path, models, sha256=hash_file(path)).backbone.card.sha256 == hash_file(path)


@pytest.mark.parametrize("digits", ["abc", "F" * 64, "0" * 63, "g" * 64])
def test_what_is_no_hash_is_refused(tmp_path: Path, models: Path, digits: str) -> None:
    refused(classifier(tmp_path), models, "--sha256 .* should be 64 hexadecimal digits", sha256=digits)


def test_a_missing_model_is_refused(tmp_path: Path, models: Path) -> None:
    refused(tmp_path / "missing.onnx", models, r"missing\.onnx: no such model")


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(BackboneError, match=r"file: is a file and not a folder; name a folder with --models"):
        add(classifier(tmp_path), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path, models: Path) -> None:
    models.mkdir()
    models.chmod(0o500)
    try:
        with pytest.raises(BackboneError, match=r"models: cannot be written .*--models"):
            add(classifier(tmp_path), models)
    finally:
        models.chmod(0o700)
    assert not files(models)


def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(BackboneError, match=r"file/models: cannot be written .*name another folder with --models"):
        add(classifier(tmp_path), tmp_path / "file" / "models")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only /proc says of a folder that can never be made: not found")
@pytest.mark.timeout(60)
def test_a_folder_that_can_never_be_made_is_not_tried_for_ever(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"/proc/featx: cannot be written .*name another folder with --models"):
        add(classifier(tmp_path), Path("/proc/featx"))


# ---- external data


def write_large(folder: Path) -> Path:
    """A classifier with weights of 128 KiB in one file and small ones in another."""
    graph = Graph()
    flat = graph.add("Flatten", graph.maps(), into="flat")
    hidden = graph.add("Relu", graph.dense(flat, 512, 64), into="hidden")
    path = graph.save(folder / "m.onnx", graph.dense(hidden, 64, 5, into="logits"))

    def move(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            place = "one.bin" if len(tensor.raw_data) > 2**16 else "two.bin"
            with (path.parent / place).open("ab") as file:
                tensor.external_data.add(key="location", value=place)
                tensor.external_data.add(key="offset", value=str(file.tell()))
                tensor.external_data.add(key="length", value=str(len(tensor.raw_data)))
                file.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL

    return rewrite(path, move)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Such a classifier, in `large`."""
    return write_large(tmp_path / "large")


@pytest.fixture(scope="module")
def weighty(tmp_path_factory: pytest.TempPathFactory) -> Mine:
    """Such a classifier that was added."""
    folder = tmp_path_factory.mktemp("weighty")
    return move_after_adding(write_large(folder / "there"), folder)


def test_external_weights_are_gathered_beside_the_card(weighty: Mine) -> None:
    pixels = random_pixels(3)
    expected = run(weighty.model, normalised(pixels), "hidden")[0]
    card, models = weighty.backbone.card, weighty.folder
    assert files(models).keys() == {"mine.onnx", "mine.onnx.data", "mine.toml"}
    assert (card.data, card.data_sha256) == ("mine.onnx.data", hash_file(models / "mine.onnx.data"))
    assert card.sha256 == hash_file(models / "mine.onnx")
    assert_same(features(load_backbone("mine", folder=models), pixels), expected)


@pytest.mark.parametrize(
    ("relative", "cwd"),
    [
        *((True, "large"), (True, "elsewhere"), (False, "elsewhere")),
        *map(as_exhaustive, [(True, "."), (False, "."), (False, "large")]),
    ],
)
def test_the_current_folder_does_not_matter(
    tmp_path: Path, large: Path, monkeypatch: pytest.MonkeyPatch, cwd: str, relative: bool
) -> None:
    """torch writes m.onnx.data beside m.onnx, and the data of the backbone `m` has that name too."""
    (large.parent / "one.bin").rename(large.parent / "m.onnx.data")
    rewrite(large, lambda model: name_again(model, "one.bin", "m.onnx.data"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / cwd)
    model, models = (Path(os.path.relpath(path)) if relative else path for path in (large, tmp_path / "models"))
    added = add(model, models, "m")
    assert files(tmp_path / "models").keys() == {"m.onnx", "m.onnx.data", "m.toml"}
    backbone = load_backbone("m", folder=models)
    monkeypatch.chdir("/")
    assert backbone.hash == added.backbone.hash
    assert features(backbone, random_pixels(1)).shape == (1, 64)


def name_again(model: onnx.ModelProto, old: str, new: str) -> None:
    """Let external weights lie in another file."""
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.value == old:
                entry.value = new


def test_external_weights_that_were_changed_are_refused_by_hash(weighty: Mine, models: Path) -> None:
    weighty.copy(models)
    data = bytearray((models / "mine.onnx.data").read_bytes())
    data[1000] ^= 1
    (models / "mine.onnx.data").write_bytes(data)
    with pytest.raises(BackboneError, match=r"mine\.onnx\.data: sha256 is .* but the card says"):
        load_backbone("mine", folder=models)


def test_external_weights_that_were_lost_are_refused_by_name(weighty: Mine, models: Path) -> None:
    weighty.copy(models)
    (models / "mine.onnx.data").unlink()
    with pytest.raises(BackboneError, match=r"mine\.onnx\.data: missing"):
        load_backbone("mine", folder=models)


def test_a_backbone_with_external_weights_can_be_described_anew(weighty: Mine, models: Path) -> None:
    pixels = random_pixels(2)
    expected = run(weighty.model, normalised(pixels), "hidden")[0]
    weighty.copy(models)
    add(models / "mine.onnx", models, overwrite=True)
    assert files(models).keys() == {"mine.onnx", "mine.onnx.data", "mine.toml"}
    assert_same(features(load_backbone("mine", folder=models), pixels), expected)


# ---- outputs


def test_several_outputs_are_on_the_card_and_in_the_session(tmp_path: Path, models: Path) -> None:
    path, pixels = classifier(tmp_path), random_pixels(2)
    add(path, models, outputs=["pooled", "relu_3:gem", "logits"])
    backbone = load_backbone("mine", folder=models)
    assert [(output.name, output.dim) for output in backbone.card.all_outputs] == [
        ("pooled", 8),
        ("relu_3:gem", 8),
        ("logits", 5),
    ]
    pooled, logits = run(path, normalised(pixels), "pooled", "logits")
    found = features(backbone, pixels)
    assert_same(found[:, :8], pooled)
    assert_same(found[:, 16:], logits)


def test_other_outputs_can_be_selected_than_those_on_the_card(tiny: Tiny) -> None:
    pixels = random_pixels(2)
    chosen = select_outputs(tiny.backbone, ["pooled", "features"])
    assert [(output.name, output.dim) for output in chosen.card.all_outputs] == [("pooled", 3), ("features", 8)]
    assert_same(features(chosen, pixels)[:, 3:], tiny.expected(pixels))
    assert chosen.hash != tiny.backbone.hash


def test_selecting_nothing_or_what_is_there_changes_nothing(tmp_path: Path) -> None:
    backbone = describe(classifier(tmp_path), "pooled", "logits")
    assert select_outputs(backbone, []) == backbone
    assert select_outputs(backbone, ["pooled", "logits"]) == backbone
    assert select_outputs(backbone, ["logits"]).card.feature == "logits"


def test_an_output_that_is_selected_twice_is_refused(tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match="--output 'pooled' is given twice"):
        select_outputs(tiny.backbone, ["pooled", "features", "pooled"])


def test_an_unknown_output_that_is_selected_is_refused_with_near_ones(tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"tiny\.onnx: no tensor 'feature' \(did you mean features"):
        select_outputs(tiny.backbone, ["feature"])


# ---- the command


def test_the_command_adds_lists_and_shows(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    flags = ["--mean", "127", "--std", "64", "--resize", "16"]
    added = featx("backbones", "add", classifier(tmp_path), "--name", "mine", *flags, "--json")
    assert added.code == 0
    shown = featx("backbones", "show", "mine", "--json")
    assert shown.json == added.json
    listed: Any = featx("backbones", "--json").json
    assert [card["name"] for card in listed] == sorted([*BUNDLED_NAMES, "mine"])
    assert added.json in listed


def test_the_command_tells_where_the_card_is_and_what_is_taken(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    ran = featx("backbones", "add", classifier(tmp_path), "--name", "mine", "--models", tmp_path / "models")
    assert ran.code == 0
    assert str(tmp_path / "models" / "mine.toml") in ran.out
    assert "pooled (8)" in ran.out


def test_the_command_refuses_in_one_line(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    ran = featx("backbones", "add", tmp_path / "bad.onnx", "--name", "mine", "--models", tmp_path / "models")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"featx: {tmp_path / 'bad.onnx'}: ")
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "models").exists()


def test_a_name_is_refused_before_the_model_is_looked_at(tmp_path: Path, featx: Callable[..., Ran]) -> None:
    ran = featx("backbones", "add", tmp_path / "missing.onnx", "--name", BUNDLED)
    assert ran.code == 1
    assert ran.err == f"featx: --name '{BUNDLED}' is the name of a bundled backbone; choose another\n"


EXPORTED = [path.stem for path in sorted(FIXTURES.glob("*-dynamo-fixed.onnx"))]
"""Backbones of every architecture, of which the quick tests of adding take a transformer; those of verifying all."""


@pytest.mark.parametrize("name", [name if name.startswith("vit") else as_exhaustive(name) for name in EXPORTED])
def test_a_backbone_of_every_architecture_that_torch_exported_can_be_added(models: Path, name: str) -> None:
    assert len(EXPORTED) == 6
    backbone = add(FIXTURES / f"{name}.onnx", models, name).backbone
    found = features(load_backbone(name, folder=models), random_pixels(2, 32))
    assert found.shape == (2, backbone.card.dim)


def test_small_external_weights_are_taken_along(tmp_path: Path, models: Path) -> None:
    model, pixels = tmp_path / "there" / "external.onnx", random_pixels(2, 32)
    model.parent.mkdir()
    for file in FIXTURES.glob("external.onnx*"):
        shutil.copy(file, model.parent)
    added = add_backbone(model, Description(name="mine", pixels=PIXELS), into=models)
    shutil.rmtree(model.parent)
    expected = open_model(
        FIXTURES / "resnet-script-free.onnx", size=32, resize=added.backbone.card.input.pixels.resize
    )(pixels)
    assert_same(open_session(load_backbone("mine", folder=models), device="cpu")(pixels), expected)


@pytest.mark.parametrize(
    ("said", "outputs"),
    [
        ({"resize": 10}, ()),
        ({"mean": (0.0,) * 3, "std": (-1.0, 1.0, 1.0)}, ()),
        ({}, ("pooled", "pooled")),
    ],
    ids=["resize below size", "negative std", "an output twice"],
)
def test_a_card_that_could_not_be_read_is_not_made(
    tmp_path: Path, said: dict[str, Any], outputs: tuple[str, ...]
) -> None:
    path = classifier(tmp_path)
    with pytest.raises(BackboneError):
        describe_model(path, Description(name="mine", outputs=outputs, pixels=Preprocessing(**said)))


def test_a_model_without_a_card_of_the_same_name_is_not_overwritten_unasked(tmp_path: Path, models: Path) -> None:
    models.mkdir()
    (models / "mine.onnx").write_bytes(b"precious")
    with pytest.raises(BackboneError, match=r"mine\.onnx"):
        add_backbone(classifier(tmp_path), Description(name="mine", pixels=PIXELS), into=models)
    assert (models / "mine.onnx").read_bytes() == b"precious"


def test_a_name_on_a_card_in_another_file_is_taken_too(tmp_path: Path, models: Path, tiny: Tiny) -> None:
    (models / "tiny.toml").rename(models / "renamed.toml")
    with pytest.raises(BackboneError, match="'tiny' already exists"):
        add_backbone(classifier(tmp_path), Description(name="tiny", pixels=PIXELS), into=models)
    assert {one.name for one in list_backbones(models)} == {*BUNDLED_NAMES, "tiny"}


def test_overwriting_removes_external_weights_that_nobody_reads(tmp_path: Path, models: Path, weighty: Mine) -> None:
    weighty.copy(models)
    add_backbone(classifier(tmp_path), Description(name="mine", pixels=PIXELS), into=models, overwrite=True)
    assert {file.name for file in models.iterdir()} == {"mine.onnx", "mine.toml"}


# ---- what is tried before a card is written


def tokens_first(folder: Path) -> Path:
    """A model with a tensor whose first axis is places, not images."""
    graph = Graph()
    places = graph.add("Reshape", "image", graph.integers(0, 3, -1))
    graph.add("Transpose", places, perm=[2, 0, 1], into="sequence")
    return graph.save(folder / "m.onnx", graph.dense(graph.add("ReduceMean", places, axes=[2], keepdims=0), 3, 5))


@pytest.mark.parametrize("name", ["sequence:mean", "sequence:max", "sequence:cls"])
def test_an_output_whose_first_axis_is_not_the_batch_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackboneError, match=r"first axis .*is not the batch; choose another --output"):
        describe_model(tokens_first(tmp_path), Description(name="mine", outputs=(name,)))


def test_nothing_is_left_of_a_backbone_whose_output_is_refused(tmp_path: Path, models: Path) -> None:
    with pytest.raises(BackboneError, match="is not the batch"):
        add_backbone(tokens_first(tmp_path), Description(name="mine", outputs=("sequence:mean",)), into=models)
    assert not list(models.glob("*")) if models.exists() else True


def test_a_tensor_whose_first_axis_is_not_the_batch_is_no_candidate(tmp_path: Path) -> None:
    graph = Graph()
    places = graph.add("Reshape", "image", graph.integers(0, 3, -1))
    turned = graph.add("Transpose", places, perm=[2, 0, 1], into="sequence")
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.add("ReduceMean", turned, axes=[0], keepdims=0), 3, 5))
    assert "sequence" not in {candidate.name for candidate in inspect_model(path).candidates}


def test_an_output_that_is_another_one_each_time_is_refused(tmp_path: Path) -> None:
    graph = Graph()
    noise = graph.add("RandomNormalLike", graph.pooled())
    path = graph.save(tmp_path / "m.onnx", graph.dense(noise, 8, 5))
    with pytest.raises(BackboneError, match="differs when the model is run again"):
        describe_model(path, Description(name="mine", outputs=(noise,)))


@pytest.mark.parametrize("names", [("a", "a/b"), ("a", "/a"), ("a/b", "a//b"), (".", "a"), ("a/./b", "c")])
def test_outputs_that_have_no_places_of_their_own_in_a_cache_are_refused(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    graph = Graph()
    pooled = graph.pooled()
    for name in names:
        graph.add("Relu", pooled, into=name)
    path = graph.save(tmp_path / "m.onnx", graph.dense(pooled, 8, 5))
    with pytest.raises(
        BackboneError, match=r"outputs of different names, none within another|that can have a place in a cache"
    ):
        describe_model(path, Description(name="mine", outputs=names))


def test_two_that_add_the_same_name_at_once_leave_one_backbone_and_one_refusal(tmp_path: Path, models: Path) -> None:
    def add(seed: int) -> str:
        graph = Graph(seed=seed)
        path = graph.save(tmp_path / f"{seed}.onnx", graph.dense(graph.pooled(), 8, 5))
        try:
            return add_backbone(path, Description(name="mine"), into=models).backbone.card.sha256
        except BackboneError as error:
            assert "already exists" in str(error)
            return ""

    with ThreadPoolExecutor(4) as pool:
        made = list(filter(None, pool.map(add, range(4))))
    assert made == [load_backbone("mine", folder=models).card.sha256]


def test_one_that_waits_for_another_that_fails_creates_the_folder_again(tmp_path: Path, models: Path) -> None:
    path = classifier(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(RuntimeError), reserve_name("mine", models, overwrite=False):
            waiting = pool.submit(add, path, models)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
            raise RuntimeError
        assert waiting.result().backbone == load_backbone("mine", folder=models)
    assert files(models).keys() == {"mine.onnx", "mine.toml"}


def test_a_model_is_installed_in_a_folder_that_was_not_reserved(models: Path, tiny: Tiny) -> None:
    """Code of 0.1.0 calls install so, with a card of describe_model."""
    card = replace(tiny.backbone.card, name="mine", file="mine.onnx")
    assert install(tiny.backbone.path, card, models) == load_backbone("mine", folder=models)


def test_what_a_killed_process_left_is_cleared_away(models: Path, tiny: Tiny) -> None:
    for name in (".featx-0123abcd", ".featx-notes"):
        (models / name).mkdir()
        (models / name / "half.onnx").write_bytes(b"half")
    (models / ".lock").write_bytes(MARK + b'".featx-0123abcd"\n".featx-notes"\n')
    put(tiny, models)
    assert not (models / ".featx-0123abcd").exists()
    assert (models / ".featx-notes" / "half.onnx").exists()
    assert not (models / ".lock").exists()


@pytest.mark.parametrize("name", ["mine.onnx", "mine.onnx.data", "mine.golden.npz"])
def test_files_without_a_card_are_replaced_only_when_told(models: Path, tiny: Tiny, name: str) -> None:
    (models / name).write_text("precious")
    with pytest.raises(BackboneError, match=rf"{name}: already exists, without a card; .*--overwrite"):
        add_backbone(tiny.backbone.path, Description(name="mine"), into=models)
    assert (models / name).read_text() == "precious"
    assert not (models / "mine.toml").exists()


@pytest.mark.parametrize("name", ["mine.onnx", "mine.toml", ".lock"])
def test_what_is_no_file_is_not_replaced(models: Path, tiny: Tiny, name: str) -> None:
    (models / name).mkdir()
    with pytest.raises(BackboneError, match=re.escape(name)):
        add_backbone(tiny.backbone.path, Description(name="mine"), into=models, overwrite=True)
    assert [*(models / name).iterdir()] == []


def test_a_card_that_appears_while_a_backbone_is_added_is_not_replaced(models: Path, tiny: Tiny) -> None:
    with reserve_name("mine", models, overwrite=False) as reserved:
        (models / "mine.toml").write_text("of somebody else")
        with pytest.raises(BackboneError, match=r"mine\.toml: appeared or changed while the backbone was added"):
            install(tiny.backbone.path, replace(tiny.backbone.card, name="mine", file="mine.onnx"), reserved)
    assert (models / "mine.toml").read_text() == "of somebody else"


def test_links_of_these_names_are_followed(tmp_path: Path, models: Path, tiny: Tiny) -> None:
    (tmp_path / "disk").mkdir()
    for name in ("mine.onnx", "mine.toml"):
        (models / name).symlink_to(tmp_path / "disk" / name)
    put(tiny, models)
    assert (models / "mine.onnx").is_symlink()
    assert (models / "mine.toml").is_symlink()
    assert {path.name for path in (tmp_path / "disk").iterdir()} == {"mine.onnx", "mine.toml"}
    assert load_backbone("mine", folder=models).name == "mine"
