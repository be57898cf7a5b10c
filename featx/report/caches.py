"""What an extraction did, and what a cache contains, each on one page."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from featx.cache import DECISIVE_PACKAGES
from featx.report.section import Section
from featx.showing import show_counts

if TYPE_CHECKING:
    from featx.cache import CacheInfo
    from featx.extract import ExtractionSummary

_CLASSES_SHOWN = 10
_REASONS_SHOWN = 3
_NAMES_SHOWN = 3
_OUTPUTS_SHOWN = 6


def extraction_sections(summary: "ExtractionSummary") -> list[Section]:
    """Counts of images, speed and work of the stages, and what limited the extraction."""
    counts = f"{summary.done} of {summary.images} images done, {summary.failed} failed, {summary.reused} reused"
    if summary.duplicates:
        counts += f", {summary.duplicates} duplicates"
    notes = _speed_notes(summary) if summary.reused < summary.images and summary.pace else ()
    return [Section(title=f"{summary.cache}: {counts}", notes=tuple(notes))]


def _speed_notes(summary: "ExtractionSummary") -> Iterator[str]:
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in summary.stages.items())
    batch_size = summary.pace.batch_size if summary.pace else 0
    views = f" of {len(summary.views)} views" if len(summary.views) > 1 else ""
    yield (
        f"{summary.seconds:.1f} s on {summary.provider}, {summary.images_per_second:.0f} images/s{views}, "
        f"in batches of {batch_size} ({stages} of work)"
    )
    advice = f": {'; '.join(summary.advice)}" if summary.advice else ""
    yield f"bound by {summary.bound_by}{advice}"


def info_sections(info: "CacheInfo") -> list[Section]:
    """What a cache contains, which model and software it comes from, and which images failed."""
    if info.sealed:
        state = "complete"
    else:
        state = f"{info.pending} pending: not complete, run the same `featx extract` again to continue"
    title = f"{info.cache}: {info.done} of {info.rows} images done, {info.failed} failed, {state}"
    return [Section(title=title, rows=(*_origin_facts(info), *_image_facts(info), *_failure_facts(info)))]


def _origin_facts(info: "CacheInfo") -> Iterator[tuple[str, str]]:
    origin = info.provenance
    card = info.card
    width = 2 if info.storage == "float16" else 4
    values = info.rows * len(info.views) * width
    outputs = [f"{name} {dim} x {info.storage}, {show_bytes(dim * values)}" for name, dim in info.outputs.items()]
    yield "features", "; ".join(outputs[:_OUTPUTS_SHOWN])
    if len(outputs) > _OUTPUTS_SHOWN:
        whole = show_bytes(sum(info.outputs.values()) * values)
        yield (
            "",
            f"and {len(outputs) - _OUTPUTS_SHOWN} more outputs; {len(outputs)} in all, {whole} (--json lists them)",
        )
    if len(info.views) > 1:
        yield "views", f"{len(info.views)} of each image: {', '.join(info.views)}"
    yield "file", f"{show_bytes(info.bytes)}, format {origin['format_version']}"
    pixels = f", {card['size']} x {card['size']} pixels" if "size" in card else ""
    yield "backbone", f"{card['name']}{pixels}, model sha256 {card['sha256'][:12]}"
    end = origin["sealed"] if info.sealed else "now"
    yield "created", f"{origin['started']} to {end}, by {_show_versions(origin['versions'])}"
    how = f"{origin['precision']}, batches of {origin['batch_size']}, {origin['decode']} decoding"
    yield "run", f"{origin['provider']} on {origin['device']}, {how}"
    if info.cost is not None:
        cores = f" on {info.cost.cores} cores" if info.cost.cores else ""
        yield "cost", f"{1000 * info.cost.seconds_per_image:.3g} ms of the backbone an image{cores}"


def _image_facts(info: "CacheInfo") -> Iterator[tuple[str, str]]:
    if info.classes:
        yield "classes", _show_counts(info.classes)
    if info.splits:
        yield "splits", _show_counts(info.splits)
    if info.groups is not None:
        yield "groups", str(info.groups)
    if info.domains:
        yield "domains", _show_counts(info.domains)


def _failure_facts(info: "CacheInfo") -> Iterator[tuple[str, str]]:
    """The first reasons why images failed, each with the names of some of these images."""
    for reason, count in list(info.failures.items())[:_REASONS_SHOWN]:
        names = [image.name for image in info.failed_images if image.reason == reason][:_NAMES_SHOWN]
        more = ", …" if count > len(names) else ""
        yield "failed", f"{count}: {reason}: {', '.join(names)}{more}"
    if len(info.failures) > _REASONS_SHOWN:
        yield "", f"… and for {len(info.failures) - _REASONS_SHOWN} more reasons; --json lists all"


def _show_versions(versions: "Mapping[str, str]") -> str:
    return ", ".join(f"{name} {versions[name]}" for name in ("featx", *DECISIVE_PACKAGES) if name in versions)


def _show_counts(counts: "Mapping[str, int]") -> str:
    named = [(name or "none", count) for name, count in counts.items()]
    shown = ", ".join(show_counts(named)[:_CLASSES_SHOWN])
    more = f" … and {len(counts) - _CLASSES_SHOWN} more" if len(counts) > _CLASSES_SHOWN else ""
    return f"{len(counts)}: {shown}{more}"


def show_bytes(count: int) -> str:
    """The number of bytes with a unit that leaves few digits before the point."""
    size = float(count)
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size /= 1000
        unit = larger
    return f"{size:.4g} {unit}"
