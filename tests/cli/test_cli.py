"""The commands as a new user meets them: each a process of its own, from an empty directory."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from featx.cache import open_cache, partial_path
from tests.conftest import Ran, Tiny, build_tiny, run_featx, write_folder
from tests.support.sizes import as_exhaustive

Featx = Callable[..., Ran]

QUICKLY = ("--tuning=validation", "--jobs=1")
"""For heads whose tuning does not matter."""

EXTRACTING = (
    "doctor",
    "backbones",
    "backbones show",
    "extract",
    "cache",
    *(f"cache {name}" for name in ("info", "verify", "merge", "export")),
)
COMMANDS = ("", *EXTRACTING, "train", "evaluate", "label-errors", "predict", "demo")


@dataclass(frozen=True)
class Made:
    """What a user has after the first two commands."""

    images: Path
    models: Path
    cache: Path
    head: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Images, a backbone, and a cache and a head made by the commands."""
    folder = tmp_path_factory.mktemp("made")
    made = Made(folder / "images", folder / "models", folder / "c.h5", folder / "h.featx")
    write_folder(made.images)
    build_tiny(made.models)
    extracted = run_featx("extract", made.images, "--backbone=tiny", "--models", made.models, "--into", made.cache)
    assert extracted.code == 0, extracted.err
    trained = run_featx("train", made.cache, "--head", "logreg", *QUICKLY, "--into", made.head)
    assert trained.code == 0, trained.err
    return made


def test_help_and_version_need_nothing_heavy() -> None:
    script = (
        "import sys; from featx.cli import main; main(['--help'])\n"
        "print({'numpy', 'onnx', 'onnxruntime', 'sklearn', 'h5py', 'PIL', 'rich'} & set(sys.modules) or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "light"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(featx: Featx, command: str) -> None:
    ran = featx(*command.split(), "--help")
    assert ran.code == 0
    assert ran.out.startswith("Usage: featx")


def test_doctor_names_what_a_real_session_gets(featx: Featx) -> None:
    found = featx("doctor", "--json").json
    assert "CPUExecutionProvider" in str(found["providers"])
    assert set(found) >= {"providers", "devices", "problems"}


def test_backbones_lists_the_bundled_one_with_name_dim_and_size(featx: Featx) -> None:
    cards = {card["name"]: card for card in json.loads(featx("backbones", "--json").out)}
    assert (cards["efficientnet-lite0"]["dim"], cards["efficientnet-lite0"]["size"]) == (1280, 224)


def test_backbones_shows_a_card(featx: Featx, tiny: Tiny, models: Path) -> None:
    ran = featx("backbones", "show", "tiny", "--models", models)
    assert ran.out == tiny.backbone.card.to_toml()


def test_backbones_passes_its_options_on(featx: Featx, tiny: Tiny, models: Path) -> None:
    assert featx("backbones", "--models", models, "--json", "show", "tiny").json["name"] == tiny.backbone.name


def test_names_that_look_like_markup_are_printed_as_they_are(featx: Featx, made: Made, tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text(
        "path,label\n" + "".join(f"class{c}/{n:04}.png,[/red]{c}\n" for c in (0, 1) for n in range(12))
    )
    into = tmp_path / "c[v2].h5"
    command = ["extract", tmp_path / "set.csv", "--root", made.images, "--backbone=tiny", "--models", made.models]
    assert f"{into}: 24 of 24 images done" in featx(*command, "--into", into).out
    assert featx("train", into, "--head=logreg", *QUICKLY, "--into", tmp_path / "h.featx").code == 0
    assert "[/red]0" in featx("evaluate", tmp_path / "h.featx", into).out


def test_a_misspelt_column_is_told(featx: Featx, made: Made, tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("path,labels\nclass0/0000.png,a\n")
    command = ["extract", tmp_path / "set.csv", "--root", made.images, "--backbone=tiny", "--models", made.models]
    assert "column 'labels' is not used (did you mean label?)" in featx(*command, "--into", tmp_path / "c.h5").err


def test_extract_prints_the_summary_that_scripts_rely_on(
    featx: Featx, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    ran = featx("extract", make_folder(), "--backbone=tiny", "--models", models, "--into", tmp_path / "c.h5", "--json")
    keys = {"images", "done", "failed", "reused", "seconds", "images_per_second", "stages", "bound_by", "provider"}
    assert keys <= set(ran.json)
    assert (ran.json["done"], ran.json["cache"]) == (24, str(tmp_path / "c.h5"))


def test_extract_with_quiet_says_nothing(
    featx: Featx, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    ran = featx("-q", "extract", make_folder(), "--backbone=tiny", "--models", models, "--into", tmp_path / "c.h5")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_more_failures_than_allowed_end_with_3_and_a_complete_list(
    featx: Featx, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    root = make_folder((40, 40))
    for number in range(30):
        (root / "class0" / f"{number:04}.png").write_text("no image")
    command = ["extract", root, "--backbone=tiny", "--models", models, "--into", tmp_path / "c.h5"]
    ran = featx(*command)
    assert ran.code == 3
    assert ran.err.count("not an image in a known format") == 30
    assert "30 of 80 images failed, more than --max-failed 0.01" in ran.err
    assert featx(*command, "--max-failed", "0.5").code == 0


def test_files_that_are_no_images_are_told(
    featx: Featx, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    root = make_folder()
    (root / "class0" / "notes.txt").write_text("hello")
    ran = featx("extract", root, "--backbone=tiny", "--models", models, "--into", tmp_path / "c.h5")
    assert "ignored 1 files without the ending of an image, such as class0/notes.txt" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["extract", "nowhere", "--backbone", "efficientnet-lite0", "--into", "c.h5"],
            1,
            "nowhere: no such file or folder",
        ),
        (["extract", ".", "--backbone", "efficientnet-lite0", "--into", "c.h5"], 1, "no images in it"),
        (["extract", ".", "--backbone", "efficentnet", "--into", "c.h5"], 1, "did you mean efficientnet-lite"),
        (["extract", ".", "--backbone", "efficientnet-lite0"], 2, "Missing option '--into'"),
        (["extract", ".", "--bakcbone", "x"], 2, "No such option"),
        (["extract", ".", "--backbone", "x", "--into", "c.h5", "--device", "tpu"], 2, "unknown device 'tpu'"),
        (["extract", ".", "--backbone", "x", "--into", "c.h5", "--max-failed", "nan"], 2, "nan is not in the range"),
        (["extract", ".", "--backbone", "x", "--into", "c.h5", "--batch-size", "99999999"], 2, "is not in the range"),
        (["train", "c.h5", "--head", "logreg", "--into", "."], 1, "already exists and is not a file"),
        (["train", "c.h5", "--head", "logreg", "--into", "h.csv"], 1, "files that end in .csv are a table; end --into"),
        (["extract", ".", "--backbone", "x", "--into", "c.h5", "--jobs", "2"], 2, "need --shards"),
        (
            ["extract", ".", "--backbone", "x", "--into", "c.h5", "--shards", "2", "--shard", "0/2"],
            2,
            "give one of the two",
        ),
        (["extract", ".", "--backbone", "x", "--into", "c.h5", "--shard", "2/2"], 2, "should be INDEX/COUNT"),
        (
            ["extract", "a.tar", "b.tar", "--backbone", "efficientnet-lite0", "--into", "c.h5"],
            1,
            "a.tar: no such file or folder",
        ),
        (["cache", "merge", "nowhere.h5", "--into", "c.h5"], 1, "nowhere.h5: no such cache"),
        (["cache", "export", "nowhere.h5", "--into", "c.txt"], 1, "c.txt: its ending is not of a known format"),
        (["backbones", "--models", "nowhere"], 1, "nowhere: no such folder of cards"),
        (["cache", "info", "c.h5"], 1, "c.h5: no such cache"),
        (["cache", "verify", "c.h5"], 1, "c.h5: no such cache"),
        (["train", "c.h5", "--head", "logreg", "--into", "h.featx"], 1, "c.h5: no such cache"),
        (["train", "c.h5", "--head", "linear-svn", "--into", "h.featx"], 1, "did you mean linear-svm"),
        (["evaluate", "h.featx", "c.h5"], 1, "h.featx: no such head"),
        (["predict", "h.featx", "."], 1, "h.featx: no such head"),
        (["cache", "info", "."], 1, ".: no such cache; create it with `featx extract`"),
        (["predikt"], 2, "No such command 'predikt'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_gets_its_code_and_one_line(featx: Featx, arguments: list[str], code: int, message: str) -> None:
    ran = featx(*arguments)
    assert ran.code == code
    assert message in ran.err
    assert ran.out == ""
    if code == 1:
        assert ran.err.count("\n") == 1


def test_cuda_where_there_is_none_names_what_is_missing_and_the_extra(
    featx: Featx, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    if "CUDAExecutionProvider" in str(featx("doctor", "--json").json["providers"]):
        pytest.skip("this machine has CUDA")
    command = ["extract", make_folder(), "--backbone", "efficientnet-lite0", "--into", tmp_path / "c.h5"]
    ran = featx(*command, "--device", "cuda")
    assert ran.code == 1
    assert "featx[gpu]" in ran.err or "NVIDIA driver" in ran.err
    assert list(tmp_path.glob("c.h5*")) == []


def test_a_missing_runtime_names_both_extras(
    featx: Featx, make_folder: Callable[..., Path], tiny: Tiny, models: Path, tmp_path: Path
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "onnxruntime.py").write_text("raise ImportError('hidden by the test')")
    command = ["extract", make_folder(), "--backbone=tiny", "--models", models, "--into", tmp_path / "c.h5"]
    ran = featx(*command, PYTHONPATH=str(tmp_path / "hidden"))
    assert ran.code == 1
    assert "featx[cpu]" in ran.err
    assert "featx[gpu]" in ran.err


def test_info_tells_rows_outputs_card_and_provenance(featx: Featx, made: Made) -> None:
    about = featx("cache", "info", made.cache, "--json").json
    assert (about["rows"], about["done"], about["failed"]) == (24, 24, 0)
    assert about["outputs"] == {"features": 8}
    assert "provenance" in about
    assert "24" in featx("cache", "info", made.cache).out


def test_verify_finds_a_flipped_byte_and_exits_with_1(featx: Featx, made: Made, tmp_path: Path) -> None:
    cache = Path(shutil.copy(made.cache, tmp_path))
    assert featx("cache", "verify", cache, "--json").json["ok"] is True
    with cache.open("r+b") as file:
        file.seek(open_cache(cache).fields["features/features"].offset + 32 * 5)
        file.write(b"\xff\xff")
    ran = featx("cache", "verify", cache, "--json")
    assert ran.code == 1
    assert "row 5 (class0/0005.png)" in str(ran.json["problems"])


def test_train_prints_what_scripts_rely_on_and_saves_the_head(featx: Featx, made: Made, tmp_path: Path) -> None:
    found = featx("train", made.cache, "--head", "ridge", "--into", tmp_path / "h.featx", "--jobs", 1, "--json").json
    assert {"head", "params", "metrics", "rows"} <= set(found)
    assert (tmp_path / "h.featx").exists()


def test_evaluate_prints_what_scripts_rely_on(featx: Featx, made: Made) -> None:
    ran = featx("evaluate", made.head, made.cache, "--rows", "all", "--json")
    keys = ["accuracy", "accuracy_ci", "balanced_accuracy", "macro_f1", "log_loss", "per_class", "confusion", "n"]
    assert set(keys) <= set(ran.json)
    assert (
        "was trained on most of these images (or on images of the same names), so these measures are too high"
        in ran.err
    )


def test_evaluate_measures_the_test_images_of_a_head_on_the_cache_it_was_trained_on(
    featx: Featx, made: Made, tmp_path: Path
) -> None:
    into = tmp_path / "h.featx"
    trained = featx("train", made.cache, "--head", "ridge", *QUICKLY, "--into", into, "--json").json
    ran = featx("evaluate", into, made.cache, "--json")
    assert ran.json["n"] == trained["rows"]["test"]
    assert ran.json["accuracy"] == trained["metrics"]["accuracy"]
    assert f"measured on the {trained['rows']['test']} test images that the head did not see" in ran.err
    assert "too high" not in ran.err


def test_evaluate_measures_all_images_that_only_have_the_names_of_the_training(
    featx: Featx, make_folder: Callable[..., Path], made: Made, tmp_path: Path
) -> None:
    others = make_folder((12, 12), name="others", seed=77)
    for old, new in (("class0", "other"), ("class1", "class0"), ("other", "class1")):
        (others / old).rename(others / new)
    cache = tmp_path / "others.h5"
    assert featx("extract", others, "--backbone", "tiny", "--models", made.models, "--into", cache).code == 0
    ran = featx("evaluate", made.head, cache, "--json")
    assert ran.json["n"] == 24
    assert "are others (" in ran.err
    assert featx("evaluate", made.head, cache, "--rows", "unseen", "--json").json["n"] < 24


def test_evaluate_says_that_the_head_comes_first(featx: Featx, made: Made) -> None:
    ran = featx("evaluate", made.cache, made.head)
    assert ran.code == 2
    assert f"c.h5 is a cache, but the head comes first: featx evaluate {made.head} {made.cache}" in ran.err


def test_predict_classifies_images_and_says_why_one_failed(
    featx: Featx, make_folder: Callable[..., Path], made: Made
) -> None:
    fresh = make_folder((6, 6), name="fresh", seed=77)
    (fresh / "class0" / "0002.png").write_text("no image")
    ran = featx("predict", made.head, fresh, "--models", made.models, "--max-failed", "1")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["name"] for row in rows] == [f"class{c}/{n:04}.png" for c in (0, 1) for n in range(6)]
    assert rows[2]["failed"].startswith("not an image in a known format")
    assert rows[2]["label"] == ""
    good = [row for row in rows if not row["failed"]]
    assert sum(row["label"] == row["name"][:6] for row in good) > 0.8 * len(good)


def test_predict_on_a_cache_says_what_it_says_on_the_images(featx: Featx, made: Made) -> None:
    on_cache = featx("predict", made.head, made.cache).out.splitlines()
    on_images = featx("predict", made.head, made.images, "--models", made.models).out.splitlines()
    assert on_cache == on_images
    assert len(on_cache) == 25


def test_options_of_images_are_refused_where_a_cache_is_given(featx: Featx, made: Made) -> None:
    ran = featx("predict", made.head, made.cache, "--root", ".")
    assert (ran.code, ran.out) == (2, "")
    assert "--root and --models are options for images, but" in ran.err


def test_predict_on_a_cache_keeps_failed_images_in_their_place(
    featx: Featx, make_folder: Callable[..., Path], made: Made, tmp_path: Path
) -> None:
    fresh = make_folder((4, 4), name="fresh")
    (fresh / "class0" / "0001.png").write_text("no image")
    into = tmp_path / "fresh.h5"
    featx("extract", fresh, "--backbone=tiny", "--models", made.models, "--into", into, "--max-failed", "1")
    rows = list(csv.DictReader(io.StringIO(featx("predict", made.head, into, "--max-failed", "1").out)))
    assert [row["name"] for row in rows] == [f"class{c}/{n:04}.png" for c in (0, 1) for n in range(4)]
    assert [row["failed"].partition(" (")[0] for row in rows] == ["", "not an image in a known format", *[""] * 6]


def test_predict_exits_with_3_when_too_many_fail(featx: Featx, make_folder: Callable[..., Path], made: Made) -> None:
    fresh = make_folder((3, 3), name="fresh")
    (fresh / "class0" / "0000.png").write_bytes(b"")
    ran = featx("predict", made.head, fresh, "--models", made.models)
    assert ran.code == 3
    assert "1 of 6 images failed, more than --max-failed 0.01" in ran.err


def test_a_head_refuses_a_backbone_that_only_shares_the_name(
    featx: Featx, make_tiny: Callable[..., Tiny], made: Made, tmp_path: Path
) -> None:
    make_tiny(tmp_path / "others", seed=9)
    ran = featx("predict", made.head, made.images, "--models", tmp_path / "others")
    assert ran.code == 1
    assert "was trained on backbone tiny" in ran.err


def test_a_fused_head_goes_from_images_to_labels(
    featx: Featx, make_tiny: Callable[..., Tiny], made: Made, tmp_path: Path
) -> None:
    make_tiny(made.models, name="second", dim=5, seed=3)
    other, fused = tmp_path / "second.h5", tmp_path / "fused.featx"
    featx("extract", made.images, "--backbone=second", "--models", made.models, "--into", other)
    trained = featx("train", made.cache, other, "--head=pca-logreg", *QUICKLY, "--into", fused, "--json")
    assert trained.json["backbones"] == ["tiny", "second"]
    on_images = featx("predict", fused, made.images, "--models", made.models)
    assert on_images.out == featx("predict", fused, made.cache, other).out


@pytest.mark.parametrize("number", [signal.SIGINT, as_exhaustive(signal.SIGTERM)])
def test_an_interrupted_extraction_exits_with_130_and_goes_on_later(
    featx: Featx, tiny: Tiny, models: Path, tmp_path: Path, number: signal.Signals
) -> None:
    root, into = tmp_path / "many", tmp_path / "c.h5"
    root.mkdir()
    Image.effect_noise((900, 900), 80).save(root / "first.jpg")
    for copy in range(300):  # what stands behind the picture makes it another file: equal ones are computed once
        (root / f"{copy:04}.jpg").write_bytes((root / "first.jpg").read_bytes() + str(copy).encode())
    command = ["extract", root, "--backbone", "tiny", "--models", models, "--into", into, "--batch-size", 4, "--json"]
    process = subprocess.Popen([sys.executable, "-m", "featx", *map(str, command)], stderr=subprocess.PIPE, text=True)
    while not partial_path(into).exists() or not open_cache(partial_path(into)).status.any():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().endswith("the same command continues from there")
    assert "Traceback" not in err
    resumed = featx(*command)
    assert resumed.code == 0
    assert 0 < int(str(resumed.json["reused"])) < 300


@pytest.mark.exhaustive
def test_output_that_nobody_reads_any_more_ends_quietly(made: Made) -> None:
    command = f"{sys.executable} -m featx predict {made.head} {made.cache} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("name,label")
    assert "Traceback" not in done.stderr


def test_train_replaces_a_head_only_when_told(featx: Featx, made: Made, tmp_path: Path) -> None:
    command, into = (
        ["train", made.cache, "--head=class-mean", "--jobs", 1, "--into", tmp_path / "h.featx"],
        tmp_path / "h.featx",
    )
    assert featx(*command).code == 0
    before = into.read_bytes()
    refused = featx(*command)
    assert refused.code == 1
    assert "h.featx: already exists; choose another --into, or replace it with --overwrite" in refused.err
    assert into.read_bytes() == before
    assert featx(*command, "--overwrite").code == 0
    assert [found.name for found in tmp_path.glob("h.featx*")] == ["h.featx"]


def test_train_writes_the_file_that_its_target_links_to(featx: Featx, made: Made, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "h.featx").symlink_to(tmp_path / "disk" / "real.featx")
    assert featx("train", made.cache, "--head=class-mean", "--jobs", 1, "--into", tmp_path / "h.featx").code == 0
    assert (tmp_path / "h.featx").is_symlink()
    assert [found.name for found in (tmp_path / "disk").iterdir()] == ["real.featx"]
