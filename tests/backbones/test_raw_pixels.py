"""The backbone whose features are the pixels themselves."""

from pathlib import Path

import numpy as np
from PIL import Image

from featx.backbones import load_backbone
from featx.cache import read_features
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings


def test_its_features_are_the_pixels_of_a_small_picture(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "noise"
    folder.mkdir(parents=True)
    picture = Image.effect_noise((48, 80), 90).convert("RGB")
    picture.save(folder / "a.png")
    into = tmp_path / "pixels.h5"
    settings = Settings(device="cpu", batch_size=1, streams=1)
    extract_features(list_images(tmp_path / "images"), load_backbone("raw-pixels"), into=into, settings=settings)
    assert read_features(into).sources[0].card["baseline"] == "pixels"
    small = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.float32) / 255
    np.testing.assert_allclose(read_features(into).features[0], small.transpose(2, 0, 1).ravel(), atol=1e-6)


def test_its_model_is_the_one_that_its_script_makes() -> None:
    script = Path(__file__).parents[2] / "models" / "make_raw_pixels.py"
    scope: dict[str, object] = {"__name__": "make_raw_pixels", "__file__": str(script)}
    exec(compile(script.read_text(), str(script), "exec"), scope)
    make = scope["make_model"]
    assert callable(make)
    assert load_backbone("raw-pixels").path.read_bytes() == make().SerializeToString()
