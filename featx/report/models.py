"""What is known about a model: its tensors, the checks of a backbone, and how far fast decoding changes features."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featx.report.section import Section

if TYPE_CHECKING:
    from featx.backbones import Cut, Inspection
    from featx.convert import Check, FastEffect


def inspection_sections(inspection: "Inspection") -> list[Section]:
    """The input, classifier and feature of a model, and a table of the tensors that could be the feature."""
    image = inspection.input
    rows = tuple(
        (
            "*" if candidate.name == inspection.feature_output else "",
            candidate.name,
            "?" if candidate.dim is None else str(candidate.dim),
            _show_shape(candidate.shape),
            candidate.kind,
            candidate.pool or "it is",
        )
        for candidate in inspection.candidates
    )
    return [
        Section(
            title=f"{inspection.model}: input {image.name} {_show_shape(image.shape)} {image.layout} {image.dtype}",
            notes=tuple(_inspection_notes(inspection)),
        ),
        Section(columns=("", "tensor", "dim", "shape", "kind", "taken as"), rows=rows),
        *cuts_sections(inspection.cuts),
    ]


def cuts_sections(cuts: "Sequence[Cut]") -> list[Section]:
    """Where a network can be cut for fine-tuning, and what is trained then; no section if that is not known."""
    if not cuts:
        return []
    columns = ("tensor to finetune --from", "shape", "parameters after it", "nodes", "bytes of a map in float16")
    rows = tuple(
        (cut.name, _show_shape(cut.shape), f"{cut.parameters:,}", str(cut.nodes), f"{cut.map_bytes:,}") for cut in cuts
    )
    return [Section(columns=columns, rows=rows)]


def _inspection_notes(inspection: "Inspection") -> Iterator[str]:
    batch = inspection.input.shape[0]
    if None in inspection.input.size:
        yield "height and width are free: `featx backbones add` needs --size"
    if batch is not None:
        yield f"the batch axis is fixed at {batch}: featx makes it dynamic if the graph allows"
    kind = f" ({inspection.classifier_kind})" if inspection.classifier_kind else ""
    yield f"classifier: {inspection.classifier_output or 'none, the model ends in features'}{kind}"
    yield f"feature: {inspection.feature_output}{'' if inspection.certain else ', but that is not certain'}"
    for note in inspection.notes:
        yield f"  {note}"
    if inspection.normalisation:
        yield f"pixels: {inspection.normalisation}"


def _show_shape(shape: "Sequence[int | None] | None") -> str:
    return "?" if shape is None else " x ".join("n" if side is None else str(side) for side in shape)


def checks_sections(checks: "Sequence[Check]") -> list[Section]:
    """Every check of a backbone, with what was measured and what is allowed."""
    rows = tuple(
        (
            check.name,
            check.output,
            f"{check.largest_difference:.1e}",
            f"{check.largest_allowed:.0e}",
            f"{check.lowest_cosine:.7f}",
            f"{check.lowest_allowed:g}",
            "ok" if check.ok else "FAILED",
        )
        for check in checks
    )
    columns = ("check", "output", "difference", "allowed", "lowest cosine", "allowed", "")
    return [Section(columns=columns, rows=rows, notes=("differences are relative to the largest feature",))]


def effects_sections(effects: "Sequence[FastEffect]") -> list[Section]:
    """How far fast decoding changes features and pixels; no section if that was not measured."""
    if not effects:
        return []
    rows = tuple(
        (
            "exact" if effect.part == 1 else f"read at 1/{effect.part}",
            effect.output,
            str(effect.images),
            f"{effect.mean_cosine:.4f}",
            f"{effect.lowest_cosine:.4f}",
            f"{effect.pixel_difference:.1f} of 255",
        )
        for effect in effects
    )
    columns = ("fast decoding", "output", "images", "mean cosine", "lowest", "pixels differ by")
    return [Section(columns=columns, rows=rows)]
