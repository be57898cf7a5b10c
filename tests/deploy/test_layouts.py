"""Folders for the Hugging Face Hub and Triton describe the model that is in them, and keep what others put there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml

from featx.backbones import Backbone
from featx.deploy import deploy_head
from featx.errors import HeadError
from featx.estimators import OneVsRest
from featx.heads import save_head
from tests.conftest import Ran, Tiny
from tests.support.cards import with_keys
from tests.support.deployed import CLASSES, head_on

HOSTILE = 'Mine: "no\n---\nlicense: mit'


def front_matter(readme: Path) -> dict[str, Any]:
    text = readme.read_text(encoding="utf-8")
    return yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))  # type: ignore[no-any-return]


def with_card(backbone: Backbone, **said: Any) -> Backbone:
    """The backbone, whose card in its folder says this too."""
    changed = replace(backbone, card=with_keys(backbone.card, **said))
    backbone.path.with_suffix(".toml").write_text(changed.card.to_toml(), encoding="utf-8")
    return changed


def test_the_readme_tells_the_hub_the_task_the_licence_and_what_was_measured(
    tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    backbone = with_card(tiny.backbone, licence="Apache-2.0", source="https://huggingface.co/timm/resnet50.a1_in1k")
    deployed = deploy_head(head_on(backbone), into=tmp_path / "cells", models=models, layout="huggingface")
    assert deployed.path == tmp_path / "cells" / "onnx" / "model.onnx"
    found = front_matter(tmp_path / "cells" / "README.md")
    assert found["pipeline_tag"] == "image-classification"
    assert found["license"] == "apache-2.0"
    assert found["base_model"] == ["timm/resnet50.a1_in1k"]
    (result,) = found["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.9, "name": "accuracy (95 % interval 0.800 to 1.000)"}]
    assert result["dataset"]["name"] == "15 test images (a quarter)"


def test_the_configurations_have_every_class_and_the_cards_preprocessing(
    tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    deploy_head(head_on(tiny.backbone), into=tmp_path / "cells", models=models, layout="huggingface", takes="float")
    config = json.loads((tmp_path / "cells" / "config.json").read_text(encoding="utf-8"))
    assert list(config["id2label"].values()) == list(CLASSES)
    assert config["label2id"] == {name: place for place, name in enumerate(CLASSES)}
    prepared = json.loads((tmp_path / "cells" / "preprocessor_config.json").read_text(encoding="utf-8"))
    assert prepared["size"] == {"shortest_edge": 18}
    assert prepared["crop_size"] == {"height": 16, "width": 16}
    assert prepared["image_mean"] == pytest.approx([120 / 255, 110 / 255, 100 / 255])
    assert prepared["resample"] == 3


def test_texts_of_a_strangers_card_stay_texts_in_the_front_matter(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    backbone = with_card(tiny.backbone, licence=HOSTILE, source=HOSTILE)
    deploy_head(head_on(backbone), into=tmp_path / "cells", models=models, layout="huggingface")
    found = front_matter(tmp_path / "cells" / "README.md")
    assert (found["license"], found["license_name"]) == ("other", HOSTILE)
    assert "base_model" not in found
    assert found.keys() == {"library_name", "pipeline_tag", "license", "license_name", "tags", "model-index"}


def test_backbones_that_see_different_pixels_have_no_one_preprocessor(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    head = head_on(tiny.backbone, tiny.backbone, decodes=("exact", "fast"))
    with pytest.raises(HeadError, match="the backbones see different pixels"):
        deploy_head(head, into=tmp_path / "cells", models=models, layout="huggingface")
    assert not (tmp_path / "cells").exists()
    deploy_head(head, into=tmp_path / "cells", models=models, layout="triton")
    assert (tmp_path / "cells" / "config.pbtxt").read_text().count("input [") == 2


def test_another_order_of_channels_is_more_than_a_preprocessor_can_say(
    tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    blue_first = with_card(tiny.backbone, channels="BGR")
    with pytest.raises(HeadError, match="cannot say that images become BGR"):
        deploy_head(head_on(blue_first), into=tmp_path / "a", models=models, layout="huggingface", takes="float")
    deploy_head(head_on(blue_first), into=tmp_path / "b", models=models, layout="huggingface")


def test_triton_is_told_the_tensors_and_that_it_may_join_requests(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    deploy_head(head_on(tiny.backbone), into=tmp_path / "repository" / "cells", models=models, layout="triton")
    folder = tmp_path / "repository" / "cells"
    assert (folder / "config.pbtxt").read_text().splitlines()[1:] == [
        'name: "cells"',
        'backend: "onnxruntime"',
        "max_batch_size: 64",
        'input [ { name: "pixels" data_type: TYPE_UINT8 dims: [ 16, 16, 3 ] } ]',
        'output [ { name: "label" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } } ]',
        'output [ { name: "probabilities" data_type: TYPE_FP32 dims: [ 3 ] } ]',
        "dynamic_batching { }",
    ]
    assert onnx.load(str(folder / "1" / "model.onnx")).graph.input[0].name == "pixels"


def test_a_model_that_takes_a_fixed_number_of_images_is_not_joined_by_triton(
    tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    head = head_on(with_card(tiny.backbone, batch=1), classifier=OneVsRest(), multilabel=True)
    deploy_head(head, into=tmp_path / "cells", models=models, layout="triton")
    config = (tmp_path / "cells" / "config.pbtxt").read_text()
    assert "max_batch_size: 0" in config
    assert 'name: "labels" data_type: TYPE_BOOL dims: [ 1, 3 ]' in config
    assert "dynamic_batching" not in config


def test_only_own_files_of_a_folder_are_replaced_and_others_stay(tiny: Tiny, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    (folder / ".git").mkdir(parents=True)
    head = head_on(tiny.backbone)
    deploy_head(head, into=folder, models=models, layout="huggingface")
    with pytest.raises(HeadError, match="already exists"):
        deploy_head(head, into=folder, models=models, layout="huggingface")
    deploy_head(head, into=folder, models=models, layout="huggingface", overwrite=True)
    (folder / "README.md").write_text("# My own words\n")
    with pytest.raises(HeadError, match=r"README\.md: already exists and is not a file that featx deployed"):
        deploy_head(head, into=folder, models=models, layout="huggingface", overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == [
        *(".git", "README.md", "config.json", "onnx", "preprocessor_config.json")
    ]


def test_the_command_makes_the_folder(tiny: Tiny, models: Path, tmp_path: Path, featx: Callable[..., Ran]) -> None:
    save_head(head_on(tiny.backbone), tmp_path / "h.featx")
    given = ("deploy", tmp_path / "h.featx", "--models", models, "--into", "cells")
    done = featx(*given, "--layout", "huggingface", "--json")
    assert done.code == 0, done.err
    assert done.json["path"].endswith("cells/onnx/model.onnx")
