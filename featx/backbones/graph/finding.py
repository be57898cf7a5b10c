"""Which input takes the image, which output classifies, and which tensors are features.

The penultimate feature is what the last layer that makes class scores reads. Other candidates are bottlenecks: tensors
through which everything that the output knows of the image has to pass.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from featx.backbones.card import POOLS, Output
from featx.backbones.graph.bottlenecks import (
    FEATURE_TYPES,
    bottlenecks,
    nodes_to,
    stages,
)
from featx.backbones.graph.image_input import (
    ModelInput,
    find_image,
    with_size,
)
from featx.backbones.graph.layers import (
    LastLayers,
    channel_axis,
    default_pool,
    find_last_layers,
    is_vector,
    kind_of,
    l2_normalised,
    same_values,
)
from featx.backbones.graph.model import (
    Shape,
    View,
    check_size,
    damage_reported,
    load_model,
)
from featx.backbones.graph.shapes import ANY_BATCH, view_model
from featx.errors import BackboneError, did_you_mean

_SCORE_NAMES = r"logit|prob|softmax|score|class(?!_?(token|emb))|pred|label|categor"
_EMBEDDING_NAMES = r"embed|feat|pool|hidden|repr|latent|descriptor|encod|pre_?logits|vector|backbone"
_PREFERRED_NAMES = ("image_embeds", "pooler_output", "embed", "feat", "pool")
"""What names of embedding outputs hold, the likeliest first."""
LEAST_EMBEDDING, EMBEDDING_STEP = 128, 64
"""Widths of embeddings are multiples of 64 from 128 on; numbers of classes seldom are."""


@dataclass(frozen=True)
class Candidate:
    """A tensor that can be the feature."""

    name: str
    dim: int | None
    """Length of the feature; None where it cannot be told without running the model."""
    shape: Shape | None
    kind: str
    """global pool, class token, hidden dense layer, pooled map, flattened map, or embedding output."""
    pool: str
    """How it becomes a vector: mean, max or cls; empty where it is one."""


@dataclass(frozen=True)
class Inspection:
    """What goes in and out of a model, and where its features are."""

    model: str
    input: ModelInput
    feature_output: str | None
    feature_pool: str
    feature_dim: int | None
    classifier_output: str | None
    certain: bool
    notes: tuple[str, ...]
    """What is not certain about the feature, and why."""
    candidates: tuple[Candidate, ...]
    outputs: tuple[str, ...]
    """The model's own outputs."""

    def to_dict(self) -> dict[str, Any]:
        """The inspection as plain JSON values."""
        return asdict(self)


def inspect_model(path: Path | str, *, size: int | None = None) -> Inspection:
    """What goes in and out of the ONNX model in this file, its feature, and every other plausible one.

    `size` fixes a free height and width. Raises BackboneError where the file is no usable ONNX model, or none or
    several of its inputs look like an image.
    """
    path = Path(path)
    with damage_reported(path):
        return _find(path, size).inspect()


def _find(path: Path, size: int | None) -> "_Finder":
    """The model in this file, looked at with shapes that follow from this size."""
    model = load_model(path)
    found = find_image(path, model)
    if size and {*found.size} - {None, size}:
        raise BackboneError(
            f"{path}: takes {found.size[0]} x {found.size[1]} pixels but --size says {size}; leave --size out"
        )
    sides = with_size(found, size).shape
    view = view_model(model, found.name, shape=[ANY_BATCH if sides[0] is None else sides[0], *sides[1:]])
    for name in view.values:
        check_size(name, view.shape(name) or (), path)
    return _Finder(view, path, found)


def resolve_outputs(path: Path, names: Sequence[str], *, size: int) -> tuple[Output, ...]:
    """What these names mean in the model: tensors, each with its pooling where it is no vector.

    A name is a tensor, or a tensor, a colon and a pooling: `layer4:gem`. A map whose pooling is not said is averaged,
    and of tokens the class token is taken where there is one. The dimension is 0 where only running the model tells it.
    Raises BackboneError for a tensor that is not there, that cannot be pooled so, or that is named twice.
    """
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise BackboneError(f"--output {twice[0]!r} is given twice; name every output once")
    with damage_reported(path):
        finder = _find(path, size)
        return tuple(finder.resolve(name) for name in names)


def named_as(output: str) -> str:
    """What the name of an output tells that it is: scores, an embedding, or nothing."""
    plain = re.sub("pre_?logits", "feature", output, flags=re.IGNORECASE)
    for what, words in (("scores", "logit|prob|softmax"), ("embedding", _EMBEDDING_NAMES), ("scores", _SCORE_NAMES)):
        if re.search(words, plain, re.IGNORECASE):
            return what
    return ""


def preference(output: str) -> int:
    """Where the name stands among those of embedding outputs, the likeliest first."""
    return next((place for place, word in enumerate(_PREFERRED_NAMES) if word in output.lower()), len(_PREFERRED_NAMES))


def makes_scores(output: str, heads: LastLayers) -> bool:
    """Whether what the last layer makes are class scores, not an embedding: by what follows, by name, by width."""
    width = heads.classes or 0
    wide = width >= LEAST_EMBEDDING and width % EMBEDDING_STEP == 0
    return heads.scored or named_as(output) == "scores" or (not named_as(output) and not wide)


@dataclass(frozen=True)
class _Finder:
    """One model being looked at."""

    view: View
    path: Path
    input: ModelInput

    def inspect(self) -> Inspection:
        """Everything that there is to say."""
        outputs = [value.name for value in self.view.graph.output]
        usable = [
            name for name in outputs if name in self.view.image_dependent and name not in self.view.other_dependent
        ]
        if not usable:
            raise BackboneError(
                f"{self.path}: no output depends on image {self.input.name!r} alone ({', '.join(outputs)}); export one"
            )
        heads = {
            name: heads for name in usable if (heads := find_last_layers(self.view, name)) and makes_scores(name, heads)
        }
        notes: list[str] = []
        if heads:
            feature, classifier, certain = self._penultimate(heads, notes)
            main = classifier
        else:
            feature, certain = self._embedding(usable, notes)
            main, classifier = feature.name, None
        candidates = self._candidates(main, feature, classifier, [name for name in usable if name not in heads])
        if classifier is None and named_as(main) == "scores":
            feature, classifier, certain = self._before(main, feature, candidates, notes)
            candidates = tuple(candidate for candidate in candidates if candidate.name != main)
        return Inspection(
            model=str(self.path),
            input=self.input,
            feature_output=feature.name,
            feature_pool=feature.pool,
            feature_dim=feature.dim,
            classifier_output=classifier,
            certain=certain,
            notes=tuple(notes),
            candidates=candidates,
            outputs=tuple(outputs),
        )

    def resolve(self, name: str) -> Output:
        """The output that this name means."""
        made = self.view.producers
        tensor, _, pool = name.rpartition(":")
        if name in made:
            tensor, pool = name, default_pool(self.view, name)
        elif pool not in POOLS or tensor not in made:
            near = did_you_mean(tensor if pool in POOLS else name, made)
            raise BackboneError(
                f"{self.path}: no tensor {name!r}{near}; `featx inspect` lists features; poolings: {', '.join(POOLS)}"
            )
        rank, wanted = self.view.rank(tensor), (3,) if pool == "cls" else (3, 4)
        if pool and rank is not None and rank not in wanted:
            raise BackboneError(
                f"{self.path}: {tensor!r} has {rank} axes, but {pool} is taken of {' or '.join(map(str, wanted))}; "
                "leave the pooling out, or choose another"
            )
        return Output(name=name, dim=self._dim(tensor, pool) or 0, pool=pool)

    # ---- classifier or embedding

    def _penultimate(self, heads: dict[str, LastLayers], notes: list[str]) -> tuple[Candidate, str, bool]:
        """What the last layer of the deepest classifier reads."""
        classifier = max(
            heads, key=lambda name: (not heads[name].only_best, len(nodes_to(self.view, heads[name].reads[0])))
        )
        found = heads[classifier]
        feature = self._describe(same_values(self.view, found.reads[0]), pool=found.pool)
        feature = replace(feature, dim=feature.dim or found.width)
        certain = len(found.reads) == 1
        if not certain:
            also = ", ".join(same_values(self.view, name) for name in found.reads[1:])
            notes.append(
                f"the classifier joins {len(found.reads)} heads; the others read {also}: take them too with --output"
            )
        if len(heads) > 1:
            others = ", ".join(name for name in heads if name != classifier)
            notes.append(f"{classifier} is the deepest of several classifier outputs; the others: {others}")
        return feature, classifier, certain

    def _stands_out(self, chosen: str, names: Sequence[str]) -> bool:
        """Whether it is the only vector of these, or the only one with so telling a name."""
        others = [name for name in names if name != chosen and is_vector(self.view, name)]
        return all(preference(chosen) < preference(name) for name in others)

    def _embedding(self, usable: list[str], notes: list[str]) -> tuple[Candidate, bool]:
        """The output that is the model's own embedding, vectors before sequences before maps."""

        def _rank(name: str) -> tuple[int, int, int]:
            axes = self.view.rank(name) or 9
            return (0 if is_vector(self.view, name) else axes, preference(name), -len(nodes_to(self.view, name)))

        floats = [name for name in usable if self.view.elem_type(name) in FEATURE_TYPES] or usable
        chosen = min(floats, key=_rank)
        feature = replace(self._describe(chosen), kind="embedding output")
        certain = is_vector(self.view, chosen) and self._stands_out(chosen, floats)
        last = find_last_layers(self.view, chosen)
        if last and not last.normed and not named_as(chosen) and not l2_normalised(self.view, chosen):
            certain = False
            notes.append(
                f"{chosen} ends in a dense layer of {last.classes}, a width of embeddings; if these are class scores, "
                f"the feature is --output {same_values(self.view, last.reads[0])}"
            )
        if feature.pool:
            notes.append(f"{chosen} is no vector: it is taken as {feature.pool} unless --output says otherwise")
        elif not certain and not last:
            notes.append(f"several outputs are vectors; {chosen} is taken unless --output says otherwise")
        return feature, certain

    def _before(
        self, output: str, feature: Candidate, candidates: tuple[Candidate, ...], notes: list[str]
    ) -> tuple[Candidate, str | None, bool]:
        """The last candidate before an output that is named as scores, though no last layer was found."""
        earlier = [candidate for candidate in candidates if candidate.name != output]
        if not earlier:
            return feature, None, False
        notes.append(
            f"no last layer of {output} was found, though it is named as class scores; {earlier[-1].name} is a guess"
        )
        return earlier[-1], output, False

    # ---- candidates

    def _describe(self, name: str, *, pool: str | None = None) -> Candidate:
        shape = self.view.shape(name)
        pool = default_pool(self.view, name) if pool is None or is_vector(self.view, name) else pool
        return Candidate(name, self._dim(name, pool), self._as_shown(shape), kind_of(self.view, name), pool)

    def _as_shown(self, shape: Shape | None) -> Shape | None:
        """The shape with a free batch told as such."""
        if shape is None or self.input.shape[0] is not None:
            return shape
        return (None, *shape[1:]) if shape[:1] == (ANY_BATCH,) else shape

    def _dim(self, name: str, pool: str) -> int | None:
        shape = self.view.shape(name)
        if shape is None:
            return None
        if pool:
            return shape[channel_axis(self.view, name)]
        sides = [side for side in shape[1:] if side is not None]
        return math.prod(sides) if len(shape) > 1 and len(sides) == len(shape) - 1 else None

    def _candidates(
        self, main: str, feature: Candidate, classifier: str | None, outputs: list[str]
    ) -> tuple[Candidate, ...]:
        """Every plausible feature, from the image to the output, none twice."""
        behind = {classifier}
        for heads in filter(None, [find_last_layers(self.view, classifier)] if classifier else []):
            behind |= set(heads.behind)
        passed = [name for name in bottlenecks(self.view, main) if name not in behind]
        found = {name: self._describe(name) for name in stages(self.view, passed)}
        for name in outputs:
            if self.view.elem_type(name) in FEATURE_TYPES:
                found[name] = replace(self._describe(name), kind="embedding output")
        found[feature.name] = feature
        return tuple(candidate for candidate in found.values() if self._plausible(candidate, feature))

    def _plausible(self, candidate: Candidate, feature: Candidate) -> bool:
        """Whether the tensor is worth naming: no single number, no map laid out flat."""
        return candidate.name == feature.name or (candidate.dim != 1 and candidate.kind != "flattened map")
