"""export: a model of torch becomes a backbone whose features are torch's, or nothing is written."""

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from featx.backbones import open_session
from featx.backbones.card import Card
from featx.backbones.store import Backbone, load_backbone, user_folder
from featx.convert import Recipe, export_model
from featx.convert.adding import Description
from featx.convert.export.exporting import Exported
from featx.convert.export.libraries import quiet
from featx.convert.export.models import build_model
from featx.convert.export.reference import GOLDEN_IMAGES
from featx.convert.export.weights import read_weights
from featx.convert.preprocessing import Preprocessing
from featx.convert.verifying import draw_pixels, verify_backbone
from featx.errors import BackboneError
from tests.conftest import Ran

BUNDLED = "efficientnet-lite0"
SIZE = 24
PIXELS = Preprocessing(size=SIZE, mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 70.0))

NETS = """
import torch
from torch import nn
from beside import WIDTH

print("the file was run")

class Net(nn.Module):
    def __init__(self, out=5):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.bn = nn.BatchNorm2d(8)
        self.hidden = nn.Linear(8, WIDTH)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(WIDTH, out)
        with torch.no_grad():
            self.bn.running_mean.normal_()
            self.bn.running_var.uniform_(0.5, 2)
    def map(self, image):
        return self.bn(self.conv(image)).relu()
    def features(self, image):
        return self.hidden(self.map(image).mean((2, 3))).relu()
    def forward(self, image):
        return self.fc(self.drop(self.features(image)))

class Headless(Net):
    def forward(self, image):
        return self.features(image)

class Softmax(Net):
    def forward(self, image):
        return super().forward(image).softmax(1)

class Normed(Net):
    def __init__(self):
        super().__init__()
        self.last = nn.BatchNorm1d(WIDTH)
        with torch.no_grad():
            self.last.running_mean.normal_()
    def features(self, image):
        return self.last(super().features(image))

class ConvHead(Net):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(8, 5, 1)
    def features(self, image):
        return self.map(image).mean((2, 3))
    def forward(self, image):
        return self.head(self.map(image).mean((2, 3), keepdim=True)).flatten(1)

class PooledBehind(ConvHead):
    def forward(self, image):
        return nn.functional.relu(self.head(self.map(image)), inplace=True).mean((2, 3))

class Map(Net):
    def features(self, image):
        return self.map(image).mean((2, 3))
    def forward(self, image):
        return self.map(image)

class Pair(Net):
    def forward(self, image):
        return super().forward(image), image

class Sum(Net):
    def forward(self, image):
        return super().forward(image).sum()

class Baked(Net):
    def forward(self, image):
        return super().forward(image).reshape(int(image.shape[0]), 5)

class Random(Net):
    def forward(self, image):
        return super().forward(image + torch.rand_like(image))

class ByHand(Net):
    def forward(self, image):
        return self.features(image) @ self.fc.weight.T

class Unexportable(Net):
    def forward(self, image):
        return super().forward(torch.fft.fft2(image).abs())

class Dictionary(Net):
    def forward(self, image):
        return {"logits": super().forward(image)}

net, wide, number = Net(), Net(512), 3

def make():
    return Net()

def fails():
    raise ValueError("it is\\nbroken")

def leaves():
    raise SystemExit("enough")

def wants(argument):
    return Net()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of each test, its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return user_folder()


def needed(name: str) -> Any:
    """The library, where it is installed; elsewhere the test is skipped."""
    with quiet():
        return pytest.importorskip(name, reason=f"{name} is not installed: pip install 'featx[export]'")


@pytest.fixture
def torch() -> Any:
    """Torch, for tests that need it."""
    return needed("torch")


@pytest.fixture
def nets(torch: Any, tmp_path: Path) -> Path:
    """A Python file with models, and a file beside it that it imports."""
    (tmp_path / "beside.py").write_text("WIDTH = 12\n")
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path / "nets.py"


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which torch is not installed."""
    monkeypatch.setitem(sys.modules, "torch", None)


def export(
    source: object, *, name: str = "mine", pixels: Preprocessing = PIXELS, overwrite: bool = False, **recipe: Any
) -> Exported:
    """Export the model with the usual pixels."""
    said = Description(name=name, pixels=pixels)
    return export_model(Recipe(source=str(source), **recipe), said, overwrite=overwrite)


def files() -> dict[str, bytes]:
    """Every file in the user's folder, hidden ones too."""
    folder = user_folder()
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(source: object, match: str, **options: Any) -> None:
    """Fail unless the export is refused in one line and the user's folder stays as it was."""
    before = files()
    with pytest.raises(BackboneError, match=match) as caught:
        export(source, **options)
    assert "\n" not in str(caught.value)
    assert files() == before


def golden(backbone: Backbone) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pixels and features of the backbone's golden vectors."""
    with np.load(backbone.path.with_name(backbone.card.golden), allow_pickle=False) as stored:
        return stored["pixels"], stored["features"]


def normalised(pixels: NDArray[np.uint8], card: Card) -> NDArray[np.float32]:
    """What the model is given, (n, 3, size, size)."""
    ordered = pixels[..., ::-1] if card.input.pixels.channels == "BGR" else pixels
    images = (ordered - np.array(card.input.pixels.mean, np.float32)) / np.array(card.input.pixels.std, np.float32)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def by_torch(torch: Any, source: str, card: Card, pixels: NDArray[np.uint8], **recipe: Any) -> NDArray[np.float32]:
    """The features that the model's own method gives for the pixels."""
    with quiet():
        model = build_model(Recipe(source=source, **recipe), size=None).model
        with torch.no_grad():
            return np.asarray(model.features(torch.from_numpy(normalised(pixels, card))))


def assert_near(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Fail unless the difference is at most 1e-5 of the largest number."""
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


# ---- without torch


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize("source", ["timm:resnet18", "torchvision:alexnet", "nets.py:net"])
def test_without_torch_the_error_names_the_extra(source: str) -> None:
    refused(source, r"exporting needs torch, which cannot be imported \(.*\); pip install 'featx\[export\]'$")


@pytest.mark.parametrize("name", ["featx.convert.export", "featx.cli", "featx.cli.exporting"])
def test_importing_the_command_imports_no_torch(name: str) -> None:
    script = f"import {name}, sys; print([one for one in ('torch', 'timm', 'torchvision') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(
    "source", ["resnet18", "timm:", "torchvision:", "keras:vgg16", "net.py", "net.py:", ":net", "net.txt:net", ""]
)
def test_a_source_of_another_form_is_refused_with_the_known_ones(source: str) -> None:
    known = r"should be timm:NAME, torchvision:NAME or FILE\.py:ATTRIBUTE"
    refused(source, rf"SOURCE '{re.escape(source)}' {known}; correct it")


@pytest.mark.usefixtures("without_torch")
def test_a_taken_name_is_refused_before_anything_is_imported() -> None:
    refused("timm:resnet18", f"'{BUNDLED}' is the name of a bundled backbone; choose another", name=BUNDLED)


@pytest.mark.usefixtures("without_torch")
def test_outputs_cannot_be_chosen() -> None:
    with pytest.raises(BackboneError, match="an export finds the feature itself"):
        export_model(Recipe(source="timm:resnet18"), Description(name="mine", outputs=("layer4",)))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--weights", "w.pth", "--random"], "--weights and --random exclude each other"),
        (["--std", "0.229,0.224,0.225"], "on the scale 0 to 1; featx takes 0 to 255"),
        (["--classes", "-1"], "--classes"),
        (["--crop-mode", "border"], "--crop-mode"),
    ],
)
def test_flags_that_make_no_sense_are_wrong_usage(featx: Callable[..., Ran], flags: list[str], message: str) -> None:
    ran = featx("export", "timm:resnet18", "--name", "mine", *flags)
    assert ran.code == 2
    assert message in ran.err


def test_the_golden_pictures_are_always_the_same_and_no_two_are() -> None:
    pixels = draw_pixels(SIZE, count=4)
    assert pixels.shape == (GOLDEN_IMAGES, SIZE, SIZE, 3)
    assert np.array_equal(pixels, draw_pixels(SIZE, count=4))
    assert len({picture.tobytes() for picture in pixels}) == GOLDEN_IMAGES
    assert pixels.std() > 40


# ---- a torch.nn.Module in a file


@pytest.mark.parametrize("attribute", ["net", "make", "Net"])
def test_the_golden_features_are_what_torch_gives_to_the_last_layer(torch: Any, nets: Path, attribute: str) -> None:
    card = (backbone := export(source := f"{nets}:{attribute}").backbone).card
    pixels, features = golden(backbone)
    assert pixels.shape == (GOLDEN_IMAGES, SIZE, SIZE, 3)
    assert features.dtype == np.float32
    assert_near(features, by_torch(torch, source, card, pixels))
    assert_near(open_session(backbone, device="cpu")(pixels), features)


@pytest.mark.parametrize(
    ("attribute", "dim", "pool"),
    [("Softmax", 12, ""), ("Normed", 12, ""), ("ConvHead", 8, ""), ("PooledBehind", 8, "mean"), ("Headless", 12, "")],
)
def test_heads_of_other_forms_are_seen_through(torch: Any, nets: Path, attribute: str, dim: int, pool: str) -> None:
    card = (backbone := export(source := f"{nets}:{attribute}").backbone).card
    assert (card.dim, card.pool) == (dim, pool)
    pixels, features = golden(backbone)
    assert_near(features, by_torch(torch, source, card, pixels))


def test_what_was_exported_loads_and_passes_every_check(nets: Path) -> None:
    exported = export(f"{nets}:net")
    loaded = load_backbone("mine")
    assert loaded == exported.backbone
    checks = verify_backbone(loaded, device="cpu")
    assert checks[0].name == "golden vectors"
    assert all(check.ok for check in checks)
    assert exported.checks == checks


def test_the_model_keeps_its_class_scores_and_takes_any_batch(nets: Path) -> None:
    backbone = export(f"{nets}:net").backbone
    graph = onnx.load(backbone.path).graph
    assert [value.name for value in graph.input] == [backbone.card.input.name] == ["image"]
    assert [value.name for value in graph.output] == [backbone.card.classifier] == ["logits"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param
    session = open_session(backbone, device="cpu")
    assert [len(session(draw_pixels(SIZE, count=4)[:count])) for count in (1, 3)] == [1, 3]


def test_the_same_export_writes_the_same_bytes(nets: Path) -> None:
    export(f"{nets}:net", seed=3)
    first = files()
    export(f"{nets}:net", seed=3, overwrite=True)
    assert files() == first
    assert sorted(first) == ["mine.golden.npz", "mine.onnx", "mine.toml"]


def test_another_seed_makes_another_model(nets: Path) -> None:
    hashes = {export(f"{nets}:net", seed=seed, overwrite=True).backbone.card.sha256 for seed in (0, 1)}
    assert len(hashes) == 2


def test_pixels_are_prepared_as_the_flags_say(torch: Any, nets: Path) -> None:
    said = Preprocessing(
        size=32, resize=40, crop_mode="squash", filter="lanczos", mean=(1, 2, 3), std=(4, 5, 6), channels="BGR"
    )
    card = (backbone := export(source := f"{nets}:net", pixels=said).backbone).card
    assert (
        card.input.pixels.size,
        card.input.pixels.resize,
        card.input.pixels.crop_mode,
        card.input.pixels.filter,
    ) == (32, 40, "squash", "lanczos")
    assert (card.input.pixels.mean, card.input.pixels.std, card.input.pixels.channels) == ((1, 2, 3), (4, 5, 6), "BGR")
    pixels, features = golden(backbone)
    assert_near(features, by_torch(torch, source, card, pixels))


def test_what_is_assumed_of_pixels_is_told(nets: Path) -> None:
    exported = export(f"{nets}:net", pixels=Preprocessing(size=SIZE))
    assert any(note.startswith("assumed mean (123.675, 116.28, 103.53)") for note in exported.notes)


def test_a_size_that_nothing_tells_is_asked_for(nets: Path) -> None:
    refused(f"{nets}:net", "its input size is unknown; give it with --size", pixels=Preprocessing())


def test_a_crop_larger_than_what_it_is_cut_from_is_refused(nets: Path) -> None:
    refused(f"{nets}:net", r"resize = 10 should be at least size = 24", pixels=Preprocessing(size=SIZE, resize=10))


def test_a_width_of_embeddings_is_refused_until_classes_are_told(torch: Any, nets: Path) -> None:
    refused(f"{nets}:wide", "it is not certain whether its output is class scores or the feature; give --classes")
    assert export(f"{nets}:wide", classes=512).backbone.card.dim == 12
    card = export(f"{nets}:wide", classes=0, overwrite=True).backbone.card
    assert (card.feature, card.dim, card.classifier) == ("features", 512, "")


def test_a_map_is_the_feature_where_there_are_no_classes(torch: Any, nets: Path) -> None:
    refused(f"{nets}:Map", "it is not certain whether its output is class scores")
    card = (backbone := export(source := f"{nets}:Map", classes=0).backbone).card
    assert (card.dim, card.pool) == (8, "mean")
    pixels, features = golden(backbone)
    assert_near(features, by_torch(torch, source, card, pixels))


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("nett", r"nets\.py: defines no 'nett' \(did you mean net.*\); correct SOURCE"),
        ("number", r"nets\.py:number: is of type int but a torch\.nn\.Module.* is needed"),
        ("fails", r"nets\.py:fails: failed when called without arguments \(ValueError: it is broken\); fix it"),
        ("leaves", r"failed when called without arguments \(SystemExit: enough\)"),
        ("wants", r"failed when called without arguments \(TypeError: .*'argument'\)"),
        ("Pair", r"nets\.py:Pair: returns a tuple for 4 images but one tensor .* is needed"),
        ("Dictionary", r"returns a dict for 4 images"),
        ("Sum", r"returns a tensor \(\) for 4 images"),
        ("Baked", r"nets\.py:Baked: its ONNX model only runs on 2 images; let its forward take the batch size"),
        ("Unexportable", r"nets\.py:Unexportable: torch cannot export it to opset 17 \(.*fft.*\); try another --opset"),
    ],
)
def test_a_model_that_cannot_become_a_backbone_is_refused(nets: Path, attribute: str, message: str) -> None:
    refused(f"{nets}:{attribute}", message)


def test_a_model_that_is_not_itself_twice_is_refused(nets: Path) -> None:
    refused(f"{nets}:Random", r"nets\.py:Random.* differs when the model is run again")


def test_a_last_layer_that_torch_does_not_show_is_refused(nets: Path) -> None:
    refused(f"{nets}:ByHand", r"its last layer in ONNX reads 12 values, but .* 'hidden', .* reads \(4, 8\)", classes=5)


def test_another_number_of_classes_is_refused_with_both(nets: Path) -> None:
    refused(f"{nets}:net", "its output has 5 values but --classes is 7; correct one", classes=7)


def test_a_refused_model_leaves_the_older_backbone_as_it_was(nets: Path) -> None:
    export(f"{nets}:net")
    refused(f"{nets}:Random", "differs when the model is run again", overwrite=True)
    assert load_backbone("mine").card.dim == 12


def test_a_name_that_is_taken_is_refused_without_overwrite(nets: Path) -> None:
    export(f"{nets}:net")
    refused(f"{nets}:net", "backbone 'mine' already exists")


def test_random_weights_are_not_for_files(nets: Path) -> None:
    refused(f"{nets}:net", "sets its weights itself; leave out --random", random=True)


def test_a_file_that_is_not_there_or_does_not_run_is_refused_by_name(nets: Path) -> None:
    refused(nets.with_name("gone.py:net"), r"gone\.py: no such file")
    nets.with_name("broken.py").write_text("import a_library_that_is_nowhere\n")
    refused(nets.with_name("broken.py:net"), r"broken\.py: failed when it was run \(ModuleNotFoundError: .*nowhere")


def test_what_torch_prints_of_a_failure_reaches_nobody(nets: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused(f"{nets}:net", "torch cannot export it to opset 99", opset=99)
    refused(f"{nets}:Unexportable", "torch cannot export it")
    assert capfd.readouterr().out == ""


# ---- weights


@pytest.fixture
def state(torch: Any, nets: Path) -> dict[str, Any]:
    """The weights of a network of another seed."""
    with quiet():
        return dict(build_model(Recipe(source=f"{nets}:make", seed=9), size=None).model.state_dict())


@pytest.mark.parametrize("form", ["bare", "wrapped", "parallel", "safetensors"])
def test_weights_are_those_of_the_file(torch: Any, nets: Path, state: dict[str, Any], form: str) -> None:
    path = nets.with_name("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        needed("safetensors.torch").save_file(state, path)
    elif form == "parallel":
        torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if form == "wrapped" else state, path)
    backbone = export(f"{nets}:make", weights=path).backbone
    pixels, features = golden(backbone)
    assert_near(features, by_torch(torch, f"{nets}:make", backbone.card, pixels, seed=9))
    assert f"weights {path.name} of sha256" in backbone.card.source


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, zeros: state.pop("fc.bias"), r"w\.pth: has no 'fc\.bias', which the model has \(1 such names\)"),
        (lambda state, zeros: state.update(extra=zeros(1)), r"w\.pth: has 'extra', which the model does not have"),
        (
            lambda state, zeros: state.update({"fc.weight": zeros(7, 12)}),
            r"w\.pth: 'fc\.weight' has shape \[7, 12\] but the model's has \[5, 12\]",
        ),
        (lambda state, zeros: state.clear(), r"w\.pth: contains no state dict; write one with torch\.save"),
        (lambda state, zeros: state.update(epoch=3), r"w\.pth: contains no state dict"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_the_first_name(
    torch: Any, nets: Path, state: dict[str, Any], change: Callable[..., None], message: str
) -> None:
    change(state, torch.zeros)
    torch.save(state, path := nets.with_name("w.pth"))
    refused(f"{nets}:make", message, weights=path)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_without_weights_is_refused_by_name(nets: Path, name: str) -> None:
    refused(f"{nets}:make", rf"{name}: no such file", weights=nets.with_name(name))
    nets.with_name(name).write_bytes(b"no weights")
    refused(
        f"{nets}:make", rf"{name}: not a state dict \(.*\); write one with torch\.save", weights=nets.with_name(name)
    )


class Runs:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_weights_run_no_code(nets: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trapped"
    (path := tmp_path / "w.pth").write_bytes(pickle.dumps({"conv.weight": Runs(trap)}))
    refused(f"{nets}:make", r"w\.pth: not a state dict", weights=path)
    assert not trap.exists()


def test_old_names_in_torchvisions_files_of_densenet_are_read_as_the_new_ones(torch: Any, tmp_path: Path) -> None:
    old, new = (f"features.denseblock1.denselayer2.{name}.weight" for name in ("norm.1", "norm1"))
    torch.save({old: torch.zeros(1), "classifier.1.weight": torch.zeros(1)}, tmp_path / "w.pth")
    assert set(read_weights(tmp_path / "w.pth")) == {new, "classifier.1.weight"}


# ---- timm


@pytest.fixture
def timm(torch: Any) -> Any:
    """Timm, for tests that need it."""
    return needed("timm")


NOTHING_SAID = Preprocessing()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_the_feature_of_a_timm_model_is_what_timm_calls_so(torch: Any, timm: Any, name: str) -> None:
    card = (backbone := export(f"timm:{name}", random=True, pixels=NOTHING_SAID).backbone).card
    with quiet(), torch.no_grad():
        torch.manual_seed(0)
        model = timm.create_model(name).eval()
        pixels, features = golden(backbone)
        inner = model.forward_features(torch.from_numpy(normalised(pixels, card)))
        assert_near(features, model.forward_head(inner, pre_logits=True).numpy())
    assert card.dim == model.num_features


def test_pixels_of_a_timm_model_are_those_of_its_configuration(timm: Any) -> None:
    card = export("timm:test_resnet", random=True, pixels=NOTHING_SAID).backbone.card
    assert (
        card.input.pixels.size,
        card.input.pixels.resize,
        card.input.pixels.crop_mode,
        card.input.pixels.filter,
    ) == (160, 168, "center", "bilinear")
    assert (card.input.pixels.mean, card.input.pixels.std) == ((127.5,) * 3, (127.5,) * 3)


def test_flags_stand_above_the_configuration_of_timm(timm: Any) -> None:
    said = Preprocessing(filter="bicubic", mean=(0.0,) * 3)
    card = export("timm:test_resnet", random=True, pixels=said).backbone.card
    assert (card.input.pixels.filter, card.input.pixels.mean, card.input.pixels.std, card.input.pixels.size) == (
        "bicubic",
        (0.0,) * 3,
        (127.5,) * 3,
        160,
    )


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_timm_model_can_be_made_for_another_size(timm: Any, name: str) -> None:
    card = export(f"timm:{name}", random=True, pixels=Preprocessing(size=96)).backbone.card
    assert (card.input.pixels.size, card.input.pixels.resize) == (96, 101)


def test_random_weights_are_told_and_stand_on_the_card(timm: Any) -> None:
    exported = export("timm:test_vit", random=True, seed=7, pixels=NOTHING_SAID)
    assert any("weights are random (seed 7)" in note for note in exported.notes)
    assert exported.backbone.card.source == f"timm:test_vit of timm {timm.__version__}, weights random of seed 7"


def test_without_classes_the_output_of_a_timm_model_is_its_feature(timm: Any) -> None:
    whole = export("timm:test_resnet", random=True, pixels=NOTHING_SAID).backbone
    headless = export("timm:test_resnet", random=True, classes=0, name="headless", pixels=NOTHING_SAID).backbone
    assert (headless.card.feature, headless.card.classifier) == ("features", "")
    assert_near(golden(headless)[1], golden(whole)[1])


def test_weights_of_a_timm_model_are_read_from_a_file(torch: Any, timm: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit", num_classes=10).state_dict(), tmp_path / "w.pth")
    shapes = r"'head\.weight' has shape \[10, 64\] but the model's has \[1000, 64\]"
    refused("timm:test_vit", shapes, weights=tmp_path / "w.pth", pixels=NOTHING_SAID)
    exported = export("timm:test_vit", weights=tmp_path / "w.pth", classes=10, pixels=NOTHING_SAID)
    assert exported.backbone.card.dim == 64
    assert not any("random" in note for note in exported.notes)


def test_positions_of_a_vision_transformer_are_fitted_to_another_size(torch: Any, timm: Any, tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "w.pth")
    card = export("timm:test_vit", weights=tmp_path / "w.pth", pixels=Preprocessing(size=96)).backbone.card
    assert card.input.pixels.size == 96


def test_an_unknown_timm_model_is_refused_with_near_names(timm: Any) -> None:
    refused("timm:test_resnt", r"timm has no model 'test_resnt' \(did you mean .*test_resnet")


def test_a_classifier_of_several_heads_is_refused_with_what_can_be_done(timm: Any) -> None:
    refused(
        "timm:levit_128s",
        r"not certain \(the classifier combines 2 last layers.*with --classes 0",
        random=True,
        pixels=NOTHING_SAID,
    )


def test_without_network_the_error_names_weights_and_where_they_are(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def _fail(*_: Any, pretrained: bool = False, **__: Any) -> None:
        assert pretrained
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", _fail)
    fetch = r"download them from https://huggingface\.co/timm/resnet18\.a1_in1k and give the file with --weights"
    refused("timm:resnet18", rf"its published weights cannot be loaded \(OSError: no route to host\); {fetch}")


def test_published_weights_bring_their_licence_and_a_new_last_layer_is_told(
    timm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = timm.create_model

    def _create(name: str, *, pretrained: bool, **more: Any) -> Any:
        assert pretrained
        return create(name, **more)

    monkeypatch.setattr(timm, "create_model", _create)
    exported = export("timm:test_resnet", classes=3, pixels=NOTHING_SAID)
    assert exported.backbone.card.licence == (timm.get_pretrained_cfg("test_resnet").license or "")
    assert "huggingface.co/timm/test_resnet" in exported.backbone.card.source
    assert "its last layer, for 3 classes, is random; the feature is not" in exported.notes


def test_without_timm_the_error_names_the_extra(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    refused("timm:resnet18", r"exporting needs timm, which cannot be imported \(.*\); pip install 'featx\[export\]'")


# ---- torchvision


@pytest.fixture
def models(torch: Any) -> Any:
    """The models of torchvision, for tests that need them."""
    return needed("torchvision").models


@pytest.mark.parametrize(("name", "dim", "pool"), [("squeezenet1_1", 512, "mean"), ("shufflenet_v2_x0_5", 1024, "")])
def test_torchvisions_models_come_with_the_pixels_of_their_weights(models: Any, name: str, dim: int, pool: str) -> None:
    card = export(f"torchvision:{name}", random=True, pixels=NOTHING_SAID).backbone.card
    assert (card.dim, card.pool, card.classifier) == (dim, pool, "logits")
    assert (card.input.pixels.size, card.input.pixels.resize, card.input.pixels.filter) == (224, 256, "bilinear")
    assert card.input.pixels.mean == (123.675, 116.28, 103.53)
    assert card.input.pixels.std == (58.395, 57.12, 57.375)


def test_published_weights_of_torchvision_bring_their_accuracy(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make = models.get_model
    monkeypatch.setattr(models, "get_model", lambda name, weights, **more: make(name, weights=None, **more))
    card = export("torchvision:shufflenet_v2_x0_5", pixels=NOTHING_SAID).backbone.card
    assert re.fullmatch(r"ImageNet-1k top-1 \d+\.\d+ %", card.reference)
    assert "https://download.pytorch.org/models/shufflenetv2" in card.source


def test_torchvision_without_network_names_weights_and_where_they_are(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _fail(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(models, "get_model", _fail)
    fetch = r"download them from https://download\.pytorch\.org/models/alexnet.*\.pth and give the file with --weights"
    refused("torchvision:alexnet", rf"its published weights cannot be loaded \(OSError: no route to host\); {fetch}")


def test_weights_of_a_file_run_as_torchvision_runs_the_published_ones(torch: Any, models: Any, tmp_path: Path) -> None:
    with quiet():
        torch.save(models.googlenet(init_weights=False).state_dict(), tmp_path / "w.pth")
        built = build_model(Recipe(source="torchvision:googlenet", weights=tmp_path / "w.pth"), size=None)
    assert built.model.transform_input


def test_an_unknown_torchvision_model_is_refused_with_near_names(models: Any) -> None:
    refused("torchvision:alexnt", r"torchvision\.models has no model 'alexnt' \(did you mean alexnet")


def test_a_model_for_boxes_is_not_offered(models: Any) -> None:
    refused("torchvision:fasterrcnn_resnet50_fpn", "has no model 'fasterrcnn_resnet50_fpn'")


def test_torchvision_makes_no_model_without_classes(models: Any) -> None:
    refused("torchvision:alexnet", "leave out --classes 0", random=True, classes=0)


# ---- the command


def test_the_command_prints_one_json_document_and_the_backbone_verifies(nets: Path, featx: Callable[..., Ran]) -> None:
    ran = featx("export", f"{nets}:net", "--name", "mine", "--size", SIZE, "--licence", "MIT", "--json")
    assert ran.code == 0
    assert (ran.json["name"], ran.json["dim"], ran.json["licence"]) == ("mine", 12, "MIT")
    assert all(check["ok"] for check in ran.json["checks"])
    assert ran.json["notes"]
    assert "the file was run" in ran.err
    assert featx("backbones", "verify", "mine").code == 0
    assert featx("backbones", "show", "mine", "--json").json["golden"] == "mine.golden.npz"


def test_the_command_says_how_near_it_is_to_torch(nets: Path, featx: Callable[..., Ran], tmp_path: Path) -> None:
    ran = featx("export", f"{nets}:net", "--name", "mine", "--size", SIZE, "--models", tmp_path / "own")
    assert re.search(r"mine\.toml: backbone mine, feature \S+ \(12\), as in torch \(largest difference \d", ran.out)
    assert ran.code == 0
    assert (tmp_path / "own" / "mine.toml").is_file()
    assert not user_folder().exists()


def test_the_command_tells_an_error_in_one_line(nets: Path, featx: Callable[..., Ran]) -> None:
    ran = featx("export", f"{nets}:fails", "--name", "mine", "--size", SIZE)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1].startswith("featx: ")
    assert "ValueError: it is broken" in ran.err
