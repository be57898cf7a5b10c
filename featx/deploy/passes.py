"""The backbones of a head: which of their outputs one pass over an image computes, and where they are among columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from featx.backbones import Backbone, Output, list_backbones, load_backbone
from featx.cache import Source
from featx.errors import HeadError
from featx.heads import Head
from featx.settings import Decode, ViewRule
from featx.showing import shorten


@dataclass(frozen=True)
class BackbonePass:
    """One run of a backbone, which gives some blocks of a head's columns."""

    backbone: Backbone
    """Its outputs are the features of these blocks, each once."""
    decode: Decode
    """How JPEGs are decoded for it."""
    views: tuple[str, ...]
    """The views of each image that it runs on."""
    view_rule: ViewRule
    """What becomes of their features."""


_Kind: TypeAlias = tuple[str, Decode, tuple[str, ...], ViewRule]
"""What the blocks of one pass have in common."""


def load_passes(
    head: Head, *, models: Path | str | None = None
) -> tuple[tuple[BackbonePass, ...], tuple[tuple[int, int], ...]]:
    """The passes that a head needs, and for each block of its columns the pass and the output of its backbone.

    A backbone runs once for each way of decoding and list of views, whatever blocks it gives. Raises BackboneError if a
    backbone is not at hand, HeadError if it is another one than that which the head was trained on.
    """
    kinds = list(dict.fromkeys(map(_kind_of, head.sources)))
    groups = [[source for source in head.sources if _kind_of(source) == kind] for kind in kinds]
    different = [list({source.output: source for source in group}.values()) for group in groups]
    passes = tuple(
        BackbonePass(find_backbone(head, group, models), *kind[1:])
        for kind, group in zip(kinds, different, strict=True)
    )
    places = [[source.output for source in group] for group in different]
    columns = []
    for source in head.sources:
        number = kinds.index(_kind_of(source))
        columns.append((number, places[number].index(source.output)))
    return passes, tuple(columns)


def _kind_of(source: Source) -> _Kind:
    return source.name, source.decode, source.views, source.view_rule


def find_backbone(head: Head, sources: Sequence[Source], models: Path | str | None) -> Backbone:
    """The backbone of these sources, with their outputs in this order. Raises BackboneError, HeadError."""
    known = [one.name for one in list_backbones(models)]
    if sources[0].name not in known:
        raise HeadError(
            f"head {head.name!r} was trained on backbone {sources[0].name} {sources[0].backbone[:12]}, which is not "
            f"among those here, {shorten(known)}; name the folder of its card with --models, or add its model again"
        )
    backbone = load_backbone(sources[0].name, folder=models)
    outputs = [
        Output(name=source.output, dim=source.card["dim"], pool=source.card.get("pool", "")) for source in sources
    ]
    for source, output in zip(sources, outputs, strict=True):
        found = backbone.with_outputs([output]).hash
        if found != source.backbone:
            raise HeadError(
                f"head {head.name!r} was trained on backbone {source.name} {source.backbone[:12]} "
                f"but the one here is {found[:12]}; name the folder of its card with --models, or train again"
            )
    return backbone.with_outputs(outputs)
