"""extractor: images in as scikit-learn hands them on, features out, the same as a cache holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from featx import FeatureExtractor, list_images, read_features
from featx.errors import (
    BackboneError,
    FeatxError,
    ImageSetError,
)
from featx.extract import extract_features
from tests.conftest import SHARED, Tiny

MODELS = str(SHARED / "models")


class Drawn(FeatureExtractor):
    """Takes rows of numbers, which scikit-learn's checks give, each drawn as a picture."""

    def fit(self, X: Any, y: object = None) -> "Drawn":  # noqa: N803
        super().fit(draw(validate_data(self, X)))
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        return super().transform(draw(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.three_d_array = tags.input_tags.string = False
        return tags


def draw(rows: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey pictures (n, 5, 5) of rows (n, d), in which every number counts."""
    return np.stack([np.resize(np.abs(row) * 31 % 256, (5, 5)).astype(np.uint8) for row in rows])


NUMBERS = "feeds rows of numbers, which are neither paths nor pixels"
FED_NUMBERS = (
    "check_estimator_sparse_array",
    "check_complex_data",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_empty_data_messages",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformers_unfitted_stateless",
)
"""The checks that do; above, all of them pass where the same numbers are drawn."""


@parametrize_with_checks([Drawn("tiny", models=MODELS)])
def test_it_passes_scikit_learns_checks_where_their_numbers_are_drawn(
    estimator: Any, check: Callable[[Any], None]
) -> None:
    check(estimator)


@parametrize_with_checks(
    [FeatureExtractor("tiny", models=MODELS)], expected_failed_checks=lambda _: dict.fromkeys(FED_NUMBERS, NUMBERS)
)
def test_it_passes_scikit_learns_checks_but_for_those_that_feed_numbers(
    estimator: Any, check: Callable[[Any], None]
) -> None:
    check(estimator)


@pytest.fixture
def tiny_extractor(tiny: Tiny) -> FeatureExtractor:
    """The extractor of the tiny backbone."""
    return FeatureExtractor("tiny", models=tiny.backbone.path.parent)


def paths_below(folder: Path) -> list[str]:
    """Paths of all images, in the order of an image set."""
    return sorted(map(str, folder.rglob("*.png")))


def test_features_of_paths_are_those_of_a_cache_to_the_bit(
    tiny: Tiny, tiny_extractor: FeatureExtractor, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_folder((5, 4))
    extract_features(list_images(folder), tiny.backbone, into=tmp_path / "c.h5")
    features = tiny_extractor.transform(paths_below(folder))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, read_features(tmp_path / "c.h5").features)


@pytest.mark.parametrize("shape", [(5, 20, 24), (5, 20, 24, 1), (5, 20, 24, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_features_of_pixels_are_those_of_the_same_array_on_disk(
    tiny: Tiny, tiny_extractor: FeatureExtractor, tmp_path: Path, shape: tuple[int, ...], dtype: type
) -> None:
    pixels: NDArray[Any] = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    np.save(tmp_path / "p.npy", pixels)
    extract_features(list_images(tmp_path / "p.npy"), tiny.backbone, into=tmp_path / "c.h5")
    found = tiny_extractor.transform(pixels)
    np.testing.assert_array_equal(found, read_features(tmp_path / "c.h5").features)


@pytest.mark.parametrize(
    "give",
    [
        list,
        np.array,
        lambda paths: np.array(paths, object),
        lambda paths: np.array(paths)[:, None],
        lambda paths: [Path(path) for path in paths],
        lambda paths: [path.encode() for path in paths],
    ],
    ids=["list", "text", "objects", "column", "Path", "bytes"],
)
def test_paths_may_come_in_any_array(
    tiny_extractor: FeatureExtractor, make_folder: Callable[..., Path], give: Callable[[list[str]], Any]
) -> None:
    paths = paths_below(make_folder((2, 2)))
    np.testing.assert_array_equal(tiny_extractor.transform(give(paths)), tiny_extractor.transform(paths))


def test_rows_stay_in_the_order_given_and_a_path_may_stand_there_twice(
    tiny_extractor: FeatureExtractor, make_folder: Callable[..., Path]
) -> None:
    paths = np.array(paths_below(make_folder((4, 4))))
    features = tiny_extractor.transform(paths)
    rows = np.array([7, 0, 0, 3, 7])
    np.testing.assert_array_equal(tiny_extractor.transform(paths[rows]), features[rows])


def test_relative_paths_are_those_below_the_root_or_the_current_folder(
    tiny_extractor: FeatureExtractor, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder((2, 2))
    whole = paths_below(folder)
    relative = [str(Path(path).relative_to(folder)) for path in whole]
    expected = tiny_extractor.transform(whole)
    np.testing.assert_array_equal(clone(tiny_extractor).set_params(root=folder).transform(relative), expected)
    monkeypatch.chdir(folder)
    np.testing.assert_array_equal(tiny_extractor.transform(relative), expected)


def test_the_root_may_be_an_address(tiny_extractor: FeatureExtractor, make_folder: Callable[..., Path]) -> None:
    fsspec = pytest.importorskip("fsspec")
    paths = paths_below(make_folder((2, 1)))
    store = fsspec.filesystem("memory")
    for path in paths:
        store.pipe(f"/photos/{Path(path).parent.name}/{Path(path).name}", Path(path).read_bytes())
    names = [f"{Path(path).parent.name}/{Path(path).name}" for path in paths]
    found = clone(tiny_extractor).set_params(root="memory://photos").transform(names)
    np.testing.assert_array_equal(found, tiny_extractor.transform(paths))


def test_images_that_fail_are_all_counted_and_the_first_ones_named(
    tiny_extractor: FeatureExtractor, make_folder: Callable[..., Path]
) -> None:
    folder = make_folder((4, 4))
    paths = paths_below(folder)
    Path(paths[1]).write_bytes(b"")
    paths[6] = str(folder / "gone.png")
    with pytest.raises(ImageSetError, match=r"2 of 8 images have .*0001\.png: the file is empty.*; .*gone"):
        tiny_extractor.transform(paths)
    with pytest.raises(ImageSetError, match=r"7 of 7 images .*; and 2 more"):
        tiny_extractor.transform([str(folder / f"gone{number}") for number in range(7)])


def test_several_outputs_stand_side_by_side_under_their_names(tiny: Tiny, make_folder: Callable[..., Path]) -> None:
    paths = paths_below(make_folder((2, 2)))
    models = tiny.backbone.path.parent
    both = FeatureExtractor("tiny", outputs=("features", "pooled"), models=models)
    names = both.get_feature_names_out()
    found = both.transform(paths)
    assert found.shape == (4, len(names)) == (4, 11)
    assert list(names[[0, 7, 8, 10]]) == ["tiny/features/0", "tiny/features/7", "tiny/pooled/0", "tiny/pooled/2"]
    np.testing.assert_array_equal(found[:, :8], FeatureExtractor("tiny", models=models).transform(paths))


def pipeline_on(extractor: FeatureExtractor) -> Pipeline:
    """The extractor with a classifier behind it."""
    return make_pipeline(extractor, LogisticRegression(max_iter=5000))


def test_it_grid_searches_over_backbones_inside_a_pipeline(
    tiny: Tiny, make_tiny: Callable[..., Tiny], make_folder: Callable[..., Path]
) -> None:
    models = tiny.backbone.path.parent
    make_tiny(models, name="other", seed=1, dim=3)
    paths = np.array(paths_below(make_folder((6, 6))))
    labels = np.array([Path(path).parent.name for path in paths])
    search = GridSearchCV(
        pipeline_on(FeatureExtractor(models=models)), {"featureextractor__backbone": ["tiny", "other"]}, cv=2
    )
    search.fit(paths, labels)
    assert search.best_score_ > 0.9
    assert len(search.cv_results_["params"]) == 2
    assert (search.predict(paths) == labels).mean() > 0.9


def test_a_pipeline_is_saved_by_skops_with_no_type_but_its_own_to_trust(
    tiny: Tiny, make_folder: Callable[..., Path]
) -> None:
    paths = paths_below(make_folder((3, 3)))
    model = pipeline_on(FeatureExtractor("tiny", models=str(tiny.backbone.path.parent))).fit(paths, [0, 0, 0, 1, 1, 1])
    saved = skops.io.dumps(model)
    assert skops.io.get_untrusted_types(data=saved) == ["featx.extract.transformer.FeatureExtractor"]
    loaded = skops.io.loads(saved, trusted=["featx.extract.transformer.FeatureExtractor"])
    np.testing.assert_array_equal(loaded.predict_proba(paths), model.predict_proba(paths))


def test_fit_refuses_an_unknown_backbone_before_an_image_is_read(tiny_extractor: FeatureExtractor) -> None:
    with pytest.raises(BackboneError, match=r"no backbone is called 'tinny' \(did you mean tiny"):
        tiny_extractor.set_params(backbone="tinny").fit(["a.png"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("photo.png", r"X: a str, not an array with one entry per image"),
        (csr_array(np.eye(3)), r"X: a csr_array, .* pixels that are not sparse"),
        ([], r"its shape is \(0,\)"),
        (np.empty((0, 1), "U1"), r"its shape is \(0, 1\)"),
        ([["a.png", "b.png"]], r"its shape is \(1, 2\)"),
        (["a.png", ""], "row 1 is '', which is not a path"),
        (["a.png", "b\0.png"], "row 1 is .* not a path"),
        (np.array(["a.png", None], object), "row 1 is None, a NoneType, not a path"),
        (np.array(["a.png", float("nan")], object), "row 1 is nan, a float, not a path"),
        (["s3://bucket/a.png"], "give the part that all addresses share as root"),
        (np.zeros((3, 5)), r"its shape is \(3, 5\)"),
        (np.zeros((3, 8, 8)), "float64, not uint8 or uint16"),
        (np.zeros((8, 8, 3), np.uint8), "that of one image"),
        (np.zeros((2, 3, 8, 8), np.uint8), "the channels first"),
        ([np.zeros((4, 4), np.uint8), np.zeros((5, 5), np.uint8)], "give images of one size, or their paths"),
    ],
    ids=str,
)
def test_what_is_no_images_is_refused_by_fit_and_transform(
    tiny_extractor: FeatureExtractor, given: Any, told: str
) -> None:
    for method in (tiny_extractor.fit, tiny_extractor.transform):
        with pytest.raises(FeatxError, match=told) as caught:
            method(given)
        assert isinstance(caught.value, ValueError)


def test_a_root_with_pixels_is_refused(tiny_extractor: FeatureExtractor) -> None:
    with pytest.raises(ImageSetError, match="root='photos' is only for paths"):
        tiny_extractor.set_params(root="photos").fit(np.zeros((1, 4, 4), np.uint8))
