"""Heads that were transferred or adapted, and backbones in lower precision, are deployed as they are."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from featx import adapt_head, extract_features, train_head, transfer_head
from featx.convert import quantize_backbone
from featx.deploy import deploy_head
from featx.heads import Head
from featx.inputs import ImageSet, list_images
from featx.settings import Settings
from tests.conftest import Tiny, write_folder
from tests.support.deployed import head_on
from tests.support.graphs import classifier, describe

CPU = Settings(device="cpu", batch_size=8, streams=1)


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return list_images(write_folder(tmp_path / "images", (16, 16)))


@pytest.fixture
def caches(tiny: Tiny, images: ImageSet, tmp_path: Path) -> tuple[Path, Path]:
    """Caches of one domain and of another."""
    others = list_images(write_folder(tmp_path / "others", (16, 16), seed=77))
    for name, listed in (("a", images), ("b", others)):
        extract_features(listed, tiny.backbone, into=tmp_path / f"{name}.h5", settings=CPU)
    return tmp_path / "a.h5", tmp_path / "b.h5"


def transferred(source: Path, target: Path) -> Head:
    first, _ = train_head(source, "logreg", tuning="validation", jobs=1)
    return transfer_head(target, "logreg", sources=[first], tuning="validation", jobs=1)[0]


def adapted(method: str) -> Callable[[Path, Path], Head]:
    def make(source: Path, target: Path) -> Head:
        head = adapt_head(source, target, methods=[method], head="logreg", tuning="validation", jobs=1).head
        assert head is not None
        return head

    return make


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "make",
    [transferred, *map(adapted, ("standardise", "coral", "weights", "standardise+prior"))],
    ids=["from another head", "standardise", "coral", "weights", "prior"],
)
def test_a_head_that_knows_another_domain_is_deployed(
    make: Callable[[Path, Path], Head], caches: tuple[Path, Path], models: Path, images: ImageSet, tmp_path: Path
) -> None:
    deployed = deploy_head(make(*caches), into=tmp_path / "m.onnx", models=models, images=images)
    assert deployed.images == 32
    assert deployed.largest_difference < 1e-5


@pytest.mark.exhaustive
@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_a_backbone_in_lower_precision_stays_what_it_is(
    precision: str, images: ImageSet, models: Path, tmp_path: Path
) -> None:
    source = describe(classifier(tmp_path / "source", made=32))
    lower = quantize_backbone(source, images, into=models, count=12, precision=precision, force=True)  # type: ignore[arg-type]
    deployed = deploy_head(head_on(lower.backbone), into=tmp_path / "m.onnx", models=models)
    assert deployed.largest_difference < 1e-5
    graph = onnx.load(str(deployed.path)).graph
    if precision == "int8":
        assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.node}
    else:
        assert any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer)
