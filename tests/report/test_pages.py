"""What a report says: which inputs give which sections, and what is never shown as if it were measured."""

import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import FeatxError, ReportError
from featx.heads import Result, find_label_errors, unpack_guesses, write_results
from featx.heads.results import pack
from featx.labels import Labels
from featx.measures import measure
from featx.report import Page, Section, build_report, render_page
from featx.report.drawings import Cloud, Forest, Matrix
from featx.report.pages.glossary import GLOSSARY, glossary_section
from tests.conftest import build_tiny, write_folder
from tests.report.test_report import make_result
from tests.support.pages import HOSTILE
from tests.support.sizes import shortened

WRITTEN = Path(__file__).parents[1] / "fixtures" / "written-by-0.1.0"


@dataclass(frozen=True)
class Study:
    """Images of three classes, their cache, two heads and the results of these."""

    images: Path
    cache: Path
    heads: tuple[Path, ...]
    results: Path

    @property
    def table(self) -> featx.FeatureTable:
        """The features."""
        return featx.read_features(self.cache)


def _swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    home = tmp_path_factory.mktemp("reported")
    images = write_folder(home / "images", (16, 16, 16))
    for number in range(6):  # so that no head is always right
        _swap(images / "class0" / f"{number:04}.png", images / "class1" / f"{number:04}.png")
    cache = home / "tiny.h5"
    tiny = build_tiny(home / "models", dim=2)
    featx.extract_features(
        featx.list_images(images),
        tiny.backbone,
        into=cache,
        settings=featx.Settings(device="cpu", batch_size=8, streams=1),
    )
    results = []
    for name in ("class-mean", "ridge"):
        head, result = featx.train_head(featx.read_features(cache), name, tuning="validation", jobs=1)
        featx.save_head(head, home / f"{name}.featx")
        results.append(result)
    write_results(results, home / "results.jsonl")
    return Study(images, cache, (home / "class-mean.featx", home / "ridge.featx"), home / "results.jsonl")


def titled(page: Page, start: str) -> Section:
    """The first section whose title begins like this."""
    return next(section for section in page.sections if section.title.startswith(start))


def _count_tags(text: str) -> dict[str, int]:
    """How many scripts and images the HTML has, as a browser reads it."""
    found = Counter[str]()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.update([tag])  # type: ignore[method-assign]
    parser.feed(text)
    return {tag: found[tag] for tag in ("script", "img") if found[tag]}


def titles(page: Page) -> list[str]:
    """The titles of all sections."""
    return [section.title for section in page.sections]


def test_the_summary_recommends_by_validation_images_with_interval_and_test(study: Study) -> None:
    page = build_report([study.results, study.cache])
    results = featx.read_results(study.results)
    best = max(results, key=lambda one: (one.validated, -(one.validated_loss or 0)))
    assert page.sentence.startswith(f"{best.head} on tiny is the best candidate by validation images: accuracy ")
    low, high = best.metrics.accuracy_ci
    assert f"({low:.3f} – {high:.3f}) on {best.metrics.n} test images" in page.sentence
    assert "Holm" in page.sentence
    assert "few images: intervals of 12 test images are wide" in page.sections[0].notes


def test_paired_differences_are_those_of_compare(study: Study, tmp_path: Path) -> None:
    candidates = featx.list_candidates(
        [study.table], heads=["class-mean", "ridge"], splits=featx.make_splits, tuning="validation"
    )
    results = featx.compare_backbones(candidates, into=tmp_path / "r.jsonl", jobs=1).results
    (tested,) = [one.comparison for one in featx.rank_candidates(candidates, results) if one.comparison is not None]
    rows = titled(build_report([tmp_path / "r.jsonl", study.cache]), "Results: paired").rows
    assert [row[1] for row in rows] == [f"{tested.difference:+.3f}"]
    assert rows[0][4] == ("unknown" if tested.p_holm is None else f"{tested.p_holm:.3f}")


def test_without_caches_differences_are_not_tested_and_the_page_says_what_tests_them(study: Study) -> None:
    page = build_report(study.results)
    assert not [title for title in titles(page) if "paired" in title]
    assert "was not tested" in page.sentence
    assert any("add the caches" in note for note in titled(page, "Results").notes)
    assert any("not on this page: mistakes image by image" in note for note in page.sections[0].notes)


def test_labels_that_do_not_give_the_accuracies_test_nothing(study: Study, tmp_path: Path) -> None:
    results = featx.read_results(study.results)
    turned = [replace(one, guesses=pack((unpack_guesses(one.guesses or "") + 1) % 3)) for one in results]
    write_results(turned, tmp_path / "turned.jsonl")
    page = build_report([tmp_path / "turned.jsonl", study.cache])
    assert not [title for title in titles(page) if "paired" in title]
    assert any("labels in the cache are not those" in note for note in page.sections[0].notes)


def test_a_head_is_shown_with_its_test_images_only(study: Study) -> None:
    page = build_report([study.heads[0], study.cache], images=study.images)
    section = titled(page, "Errors: confusion")
    assert isinstance(section.figure, Matrix)
    result = featx.load_head(study.heads[0]).training["metrics"]
    assert [list(row) for row in section.figure.counts] == [list(row) for row in result["confusion"]]
    tested = {study.table.name(int(row)) for row in featx.make_splits(study.table)[0].test}
    assert {picture.name for picture in section.pictures} <= tested
    assert all(picture.thumbnail for picture in section.pictures)
    cells = {tag for picture in section.pictures for tag in picture.tags}
    filled = {(row, column) for row, counts in enumerate(section.figure.counts) for column, n in enumerate(counts) if n}
    assert cells == {section.figure.tag(*cell) for cell in filled}


def test_other_images_of_the_same_names_are_not_taken_for_test_images(study: Study, tmp_path: Path) -> None:
    others = write_folder(tmp_path / "others", (16, 16, 16), seed=500)
    for number, folder in enumerate(sorted(others.iterdir())):
        folder.rename(others / f"moved{number}")
    for number in range(3):
        (others / f"moved{number}").rename(others / f"class{(number + 1) % 3}")
    cache = tmp_path / "others.h5"
    tiny = build_tiny(tmp_path / "models", dim=2)
    featx.extract_features(featx.list_images(others), tiny.backbone, into=cache, settings=featx.Settings(device="cpu"))
    page = build_report([study.heads[0], cache])
    assert "Errors: confusion" not in titles(page)
    assert any("does not have the images, labels and splits" in note for note in page.sections[0].notes)


def test_a_head_without_its_cache_says_which_one_to_add(study: Study) -> None:
    page = build_report(study.heads[0])
    assert any("no cache of its backbone is given (tiny); add it" in note for note in page.sections[0].notes)
    assert "Map of features" not in titles(page)


def test_images_that_are_gone_are_counted(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.images, tmp_path / "images")
    shutil.rmtree(tmp_path / "images" / "class0")
    section = titled(build_report([study.heads[0], study.cache], images=tmp_path / "images"), "Errors: confusion")
    gone = sum(picture.thumbnail is None for picture in section.pictures)
    assert gone
    assert any(note.startswith(f"{gone} picture") for note in section.notes)


def test_the_map_colours_by_class_and_error(study: Study) -> None:
    figure = titled(build_report([study.heads[0], study.cache]), "Map").figure
    assert isinstance(figure, Cloud)
    assert figure.colourings == ("class", "error")
    assert len(figure.dots) == 48
    assert sum(dot.categories[1] == "not a test image" for dot in figure.dots) == 36
    assert all(dot.categories[0] == dot.name.partition("/")[0] for dot in figure.dots)


def test_documents_of_commands_add_their_sections(study: Study, tmp_path: Path) -> None:
    found = find_label_errors(study.table)
    gain = featx.measure_gain([study.table], heads=["class-mean"], shots=[2], repeats=2, jobs=1)
    documents = {
        "scores": asdict(featx.score_transferability([study.table])),
        "gap": {"gap": featx.measure_gap(study.table, study.table).to_dict()},
        "gain": gain.to_dict(),
        "errors": {"images": len(found), "preferred_other": 0, "ranking": [asdict(one) for one in found]},
        "evaluated": asdict(featx.evaluate_head(featx.load_head(study.heads[0]), study.table)),
    }
    paths = [tmp_path / f"{name}.json" for name in documents]
    for path, document in zip(paths, documents.values(), strict=True):
        path.write_text(json.dumps(document))
    page = build_report(paths)
    starts = ("Candidates", "Transfer: gap", "Transfer: gain", "Transfer: harm", "Errors: suspected", "Errors: what")
    assert not [start for start in starts if not any(title.startswith(start) for title in titles(page))]
    assert not [note for note in page.sections[0].notes if "scores before training" in note]


def test_results_of_an_older_version_are_reported() -> None:
    page = build_report(WRITTEN / "results.jsonl")
    figure = titled(page, "Results").figure
    assert isinstance(figure, Forest)
    results = featx.read_results(WRITTEN / "results.jsonl")
    assert len(figure.spans) == len({(one.head, one.fusion, one.backbones) for one in results})


def test_inputs_that_a_report_is_not_made_of_are_refused_by_name(study: Study, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "damaged.json").write_text('{"rows": 1, "gap": 2, "measure": 3}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "text.txt").write_text("")
    (tmp_path / "folder").mkdir()
    for name, words in (
        ("empty.jsonl", "has no results yet"),
        ("other.json", "whose keys are a"),
        ("damaged.json", "cannot be read"),
        ("deep.json", "not a JSON document"),
        ("text.txt", "nothing that a report is made of"),
        ("gone.json", "cannot be read"),
        ("folder", "neither results nor heads"),
    ):
        with pytest.raises(FeatxError, match=words) as caught:
            build_report(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ReportError, match="given twice"):
        build_report([study.results, study.results.parent / "." / study.results.name])
    with pytest.raises(ReportError, match="given twice, by itself or in a folder"):
        build_report([study.results.parent, study.results])
    with pytest.raises(ReportError, match="no results were given"):
        build_report([])


def test_results_and_documents_whose_parts_do_not_fit_are_refused(study: Study, tmp_path: Path) -> None:
    result = featx.read_results(study.results)[0]
    lame = replace(result, metrics=replace(result.metrics, confusion=((1, 2), (3,))))
    unsure = replace(result, versions={"featx": "0.1.0"})
    for damaged, words in ((lame, "confusion matrix is not of 3 classes"), (unsure, "version of numpy")):
        write_results([damaged], tmp_path / "r.jsonl", overwrite=True)
        with pytest.raises(ReportError, match=words):
            build_report(tmp_path / "r.jsonl")
    (tmp_path / "metrics.json").write_text(json.dumps(asdict(lame.metrics)))
    scores = asdict(featx.score_transferability([study.table]))
    (tmp_path / "scores.json").write_text(json.dumps(scores | {"rows": []}))
    for name, words in (("metrics.json", "not of 3 classes"), ("scores.json", "has no score")):
        with pytest.raises(ReportError, match=words):
            build_report(tmp_path / name)


@pytest.mark.parametrize("classes", shortened([40, 500]))
def test_hostile_names_are_texts_and_many_classes_and_candidates_are_shown(classes: int, tmp_path: Path) -> None:
    names = (*HOSTILE, *(f"class {place}" for place in range(classes - len(HOSTILE))))
    labels = Labels(names, codes=np.arange(30))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), 30)
    first = make_result(measure(probabilities, labels))
    first = replace(first, guesses=pack(probabilities.argmax(axis=1)), head=HOSTILE[0], backbones=(HOSTILE[1],))
    first = replace(first, versions={"featx": HOSTILE[3], "numpy": "2", "scikit-learn": "1"})
    results = [first, *(replace(first, head=f"head {place}", validated=0.1) for place in range(40))]
    write_results(results, tmp_path / "r.jsonl")
    page = build_report(tmp_path / "r.jsonl")
    assert _count_tags(render_page(page)) == {"script": 1}
    section = titled(page, "Results")
    assert len(section.rows) == 41
    assert isinstance(section.figure, Forest)
    assert len(section.figure.spans) == 41
    assert any(f"no test image of {classes - 30} classes" in note for note in page.sections[0].notes)


def test_a_candidate_that_lacks_a_split_is_left_out_and_named(study: Study, tmp_path: Path) -> None:
    first, second = featx.read_results(study.results)
    write_results([first, second, replace(first, split_key="stratified/1", test="1")], tmp_path / "r.jsonl")
    page = build_report(tmp_path / "r.jsonl")
    assert any(
        f"{second.head} on tiny is left out: it has results on 1 of 2" in note for note in page.sections[0].notes
    )
    assert "± over splits" in titled(page, "Results").columns


def test_the_glossary_has_the_words_of_the_page_and_no_others() -> None:
    section = glossary_section([Section(title="Recall of each class", notes=("two domains, by log loss",))])
    assert [word for word, _ in section.rows] == ["domain", "log loss", "recall"]
    assert {word for word, _ in section.rows} <= set(GLOSSARY)


def test_sections_have_different_addresses(study: Study) -> None:
    page = build_report([*study.heads, study.results, study.cache])
    names = [section.name for section in page.sections]
    assert len(set(names)) == len(names)


def test_a_result_that_is_in_a_file_and_in_a_head_counts_once(study: Study) -> None:
    page = build_report([study.results, *study.heads, study.cache])
    assert len(titled(page, "Results").rows) == 2
    assert not [note for note in page.sections[0].notes if note.startswith("left out")]


def test_equal_inputs_give_equal_pages(study: Study) -> None:
    inputs = [study.results, study.heads[0], study.cache]
    assert render_page(build_report(inputs)) == render_page(build_report(inputs))


def test_the_results_of_a_head_are_those_of_its_training(study: Study) -> None:
    result = Result.from_dict(featx.load_head(study.heads[1]).training)
    measured = titled(build_report(study.heads[1]), "Results").rows[0][4]
    assert measured == f"{result.metrics.accuracy:.3f}"


def test_objects_give_the_sections_of_their_files(study: Study) -> None:
    head, results = featx.load_head(study.heads[1]), featx.read_results(study.results)
    of_files = build_report([study.results, study.heads[1], study.cache])
    of_objects = build_report([results, head, study.table])
    assert of_objects.sentence == of_files.sentence
    own = ("Reproduce: ", "Data: images and classes")  # which name the files
    assert ("2 x Result", "given in Python", "–") in titled(of_objects, "Reproduce: inputs").rows
    shown = [[one for one in page.sections if not one.title.startswith(own)] for page in (of_files, of_objects)]
    assert shown[0] == shown[1]
    assert titled(of_objects, "Data: images").rows == titled(of_files, "Data: images").rows


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_ranking_is_reported_with_its_tests_though_its_images_are_not_at_hand(study: Study, repeats: int) -> None:
    draw = partial(featx.make_splits, rule="stratified", repeats=repeats)
    candidates = featx.list_candidates([study.table], heads=["class-mean", "ridge"], splits=draw, tuning="validation")
    ranking = featx.rank_candidates(candidates, featx.compare_backbones(candidates, jobs=1).results)
    alone, with_images = build_report(ranking), build_report([ranking, study.table])
    assert titled(alone, "Results: paired") == titled(with_images, "Results: paired")
    assert titled(alone, "Results") == titled(with_images, "Results")
    caveats = [note for note in alone.sections[0].notes if "chosen anew for each split" in note]
    assert len(caveats) == (repeats > 1)


def test_every_kind_of_measurement_is_taken_as_it_is_in_python(study: Study) -> None:
    gain = featx.measure_gain([study.table], heads=["class-mean"], shots=[2], repeats=2, jobs=1)
    given = [
        (featx.score_transferability([study.table]), "Candidates: "),
        (featx.measure_gap(study.table, study.table), "Transfer: gap"),
        (gain, "Transfer: gain"),
        (featx.find_label_errors(study.table), "Errors: suspected labels"),
        (featx.evaluate_head(featx.load_head(study.heads[0]), study.table), "Errors: what evaluate printed"),
        (featx.describe_cache(study.cache), "CacheInfo"),
    ]
    given_alone: list[Any] = [one for one, _ in given]
    page = build_report(given_alone)
    assert not [start for _, start in given if not any(title.startswith(start) for title in titles(page))]
    names = "TransferScores, Gap, Gain, LabelError, HeadMetrics, CacheInfo"
    call = ("this page", f"featx.write_report([{names}], 'report.html')")
    assert call in titled(page, "Reproduce: commands").rows


def test_objects_that_a_report_is_not_made_of_are_refused_by_their_class(study: Study) -> None:
    table = study.table
    for given, words in (
        (3, "not made of int; give paths"),
        ([table, None], "not made of NoneType"),
        ([table, table], "the same FeatureTable is given twice"),
        ([featx.Settings()], "not made of Settings"),
        (featx.make_splits(table), "nothing to say of a Split"),
        ([[]], "no results were given"),
    ):
        with pytest.raises(ReportError, match=words):
            build_report(given)  # type: ignore[arg-type]
