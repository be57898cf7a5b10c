"""What a saved head consists of, what it was trained on and how good it was, on one page."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from featx.cache import DECISIVE_PACKAGES
from featx.measures import MEASURE_TITLES
from featx.report.caches import show_bytes
from featx.report.measures import show_interval, show_number
from featx.report.section import Section
from featx.showing import shorten

if TYPE_CHECKING:
    from featx.heads import HeadInfo

_CLASSES_SHOWN = 10
_VALUES_SHOWN = 8
_PACKAGES = ("featx", "scikit-learn", "skops", *DECISIVE_PACKAGES)
_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "average_precision", "log_loss", "ece")


def head_sections(info: "HeadInfo") -> list[Section]:
    """One section: the file, the pipeline, the backbones, the classes, the training and the measures, a fact each."""
    kind = "several labels an image" if info.multilabel else "one label an image"
    title = f"{info.head}: {info.name}, {len(info.classes)} classes, {kind}"
    return [Section(title=title, rows=(*_part_facts(info), *_training_facts(info), *_measure_facts(info)))]


def _part_facts(info: "HeadInfo") -> Iterator[tuple[str, str]]:
    yield "file", show_bytes(info.size)
    for step in info.steps:
        yield step.name, f"{step.kind}({_show_params(step.params)})"
    if info.fusion:
        yield "fusion", info.fusion
    for source in info.sources:
        model = f", model sha256 {source.sha256[:12]}" if source.sha256 else ""
        decoding = "" if source.decode == "exact" else f", {source.decode} decoding"
        yield "backbone", f"{source.backbone}, {source.output} {source.dim}{decoding}, {source.identity[:12]}{model}"
        if source.view_rule != "first":
            yield "views", f"{source.view_rule} of {', '.join(source.views)}"
    yield "classes", f"{len(info.classes)}: {shorten(info.classes, most=_CLASSES_SHOWN)}"


def _training_facts(info: "HeadInfo") -> Iterator[tuple[str, str]]:
    rows = ", ".join(f"{count} {name}" for name, count in info.rows.items() if count)
    yield "images", rows or "unknown"
    if info.split:
        yield "split", info.split
    if info.tuned:
        yield "tuned", info.tuned
    yield "scaled", f"class scores are divided by {info.temperature:.3g}, so that probabilities are calibrated"
    if info.adaptation is not None:
        yield "adapted", _show_adaptation(info.adaptation)
    if info.transferred is not None:
        yield "took over", _show_transferred(info.transferred)
    if info.views is not None:
        yield "compared", _show_views(info.views)
    yield "by", ", ".join(f"{name} {info.versions[name]}" for name in _PACKAGES if name in info.versions) or "unknown"


def _measure_facts(info: "HeadInfo") -> Iterator[tuple[str, str]]:
    """Each measure on the test images with its interval."""
    if info.metrics is None:
        yield "measured", "never: it has no test images"
        return
    yield "measured", f"on {info.metrics.get('n')} test images, with 95 % intervals"
    for name in _SCORES:
        value = info.metrics.get(name)
        if isinstance(value, float | int):
            yield "", f"{MEASURE_TITLES[name]} {show_number(value)} ({_show_ends(info.metrics.get(f'{name}_ci'))})"


def _show_ends(ends: object) -> str:
    """The interval; whatever else a head's description may have in its place is none."""
    match ends:
        case (float() | int() as low, float() | int() as high):
            return show_interval((low, high))
    return "no interval"


def _show_params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_show_param(value)}" for name, value in params.items())


def _show_param(value: Any) -> str:
    """The value with few digits; of a long list the first and the last, and how many there are."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple) and len(value) > _VALUES_SHOWN:
        return f"[{_show_param(value[0])}, ..., {_show_param(value[-1])}] ({len(value)} values)"
    return str(value)


def _show_adaptation(adaptation: Mapping[str, Any]) -> str:
    images, labels = adaptation.get("target_images"), adaptation.get("target_labels")
    return f"{adaptation.get('method')}, to another domain, from {images} of its images and {labels} of its labels"


def _show_views(views: Mapping[str, Any]) -> str:
    """Why these views were used, and how far they are better on test images than view 0 alone."""
    difference = views.get("difference")
    if not isinstance(difference, float | int):
        return f"views: {views.get('chosen')}"
    better = f"{difference:+.3f} ({_show_ends(views.get('difference_ci'))})"
    return f"views: {views.get('chosen')}; against view 0 alone {better} on test images"


def _show_transferred(transferred: Mapping[str, Any]) -> str:
    classes = transferred.get("classes")
    named = shorten(map(str, classes), most=_CLASSES_SHOWN) if isinstance(classes, list | tuple) else ""
    return f"way {transferred.get('way')}, gamma {transferred.get('gamma')}, classes: {named or 'none'}"
