"""Finds the image input, the classifier output and the features of an ONNX model.

The penultimate feature is what the last layer that computes class scores reads. Other candidates are bottlenecks:
tensors that every path from the image to the output passes.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from featx.apart import Allow
from featx.backbones.card import POOLINGS, ClassifierKind, Output
from featx.backbones.foreign import run_foreign
from featx.backbones.graph.bottlenecks import FEATURE_TYPES, bottlenecks, depths, stages
from featx.backbones.graph.class_scores import kind_of_scores, same_scores, with_classifier
from featx.backbones.graph.cutting import sensible_cuts
from featx.backbones.graph.image_input import ModelInput, find_image, with_size
from featx.backbones.graph.inspection import FeatureCandidate, Inspection
from featx.backbones.graph.last_layers import LastLayers, find_last_layers
from featx.backbones.graph.layers import (
    channel_axis,
    default_pool,
    is_vector,
    kind_of,
    l2_normalised,
    pooled_ranks,
    same_values,
)
from featx.backbones.graph.model import damage_reported, load_model
from featx.backbones.graph.normalisation import find_normalisation
from featx.backbones.graph.shapes import ANY_BATCH, view_model
from featx.backbones.graph.simplifying import simplify
from featx.backbones.graph.view import Shape, View
from featx.errors import BackboneError, did_you_mean

_SCORE_NAMES = r"logit|prob|softmax|score|class(?!_?(token|emb))|pred|label|categor"
_EMBEDDING_NAMES = r"embed|feat|pool|hidden|repr|latent|descriptor|encod|pre_?logits|vector|backbone"
_PREFERRED_NAMES = ("image_embeds", "pooler_output", "embed", "feat", "pool")
"""Parts of the names of embedding outputs, the likeliest first."""
_LEAST_EMBEDDING = 128
_EMBEDDING_STEP = 64


def inspect_model(path: Path | str, *, size: int | None = None) -> Inspection:
    """Inspect an ONNX model: its image input, its outputs, its feature, and every other plausible feature.

    `size` sets a height and width that the model leaves free. Raises BackboneError if the file is not a usable ONNX
    model, or unless exactly one of its inputs looks like an image.

    >>> import featx
    >>> found = featx.inspect_model(featx.load_backbone("efficientnet-lite0").path)
    >>> found.feature_output, found.feature_dim
    ('features', 1280)
    """
    path = Path(path)
    with damage_reported(path):
        return _find(path, size).inspect()


def inspect_apart(path: Path, *, size: int | None = None) -> Inspection:
    """What inspect_model returns, from a process of its own, which is ended if it takes too much time or memory."""
    return run_foreign(partial(_inspect, path, size), model=path)


def _inspect(path: Path, size: int | None, allow: Allow) -> Inspection:
    return inspect_model(path, size=size)


def view_of(path: Path, *, size: int | None) -> View:
    """A view of the model in this file, with the shapes that follow from this size. Raises BackboneError."""
    return _find(path, size).view


def _find(path: Path, size: int | None) -> "_Finder":
    """A finder for the model in this file, with the shapes that follow from this size."""
    model = load_model(path)
    found = find_image(path, model)
    if size and {*found.size} - {None, size}:
        raise BackboneError(
            f"{path}: takes {found.size[0]} x {found.size[1]} pixels but --size is {size}; leave --size out"
        )
    sides = with_size(found, size).shape
    shape = [ANY_BATCH if sides[0] is None else sides[0], *sides[1:]]
    simplify(model, found.name, shape=shape)
    view = view_model(model, found.name, shape=shape)
    return _Finder(view, path, found)


def resolve_outputs(path: Path, names: Sequence[str], *, size: int, classifier: str = "") -> tuple[Output, ...]:
    """The outputs that these names stand for, each with its pooling if it is not a vector.

    A name is a tensor, or a tensor, a colon and a pooling: `layer4:gem`. Without a pooling, maps are averaged, and
    tokens are reduced to their class token, or to their mean if there is none. If no tensor is called `logits`, that
    is the `classifier`. The dimension is 0 if only running the model can show it. Raises BackboneError if a tensor does
    not exist, cannot be pooled like that, or is named twice.
    """
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise BackboneError(f"--output {twice[0]!r} is given twice; name every output once")
    with damage_reported(path):
        finder = _find(path, size)
        return tuple(finder.resolve(name) for name in with_classifier(names, classifier, finder.view.producers))


def find_class_scores(path: Path, classifier: str, *, among: Sequence[Output], size: int) -> tuple[str, ClassifierKind]:
    """The tensor with the class scores of this classifier among these outputs, and what they are.

    That may be the one before the activation of the classifier, which is taken if none of them is an output. Raises
    BackboneError as resolve_outputs does.
    """
    taken = {output.tensor for output in among if not output.pool}
    with damage_reported(path):
        view = _find(path, size).view
        name = next((name for name in same_scores(view, classifier) if name in taken), classifier)
        return name, kind_of_scores(view, name)


def _suggested_by_name(output: str) -> str:
    """What the name of an output suggests: `scores`, `embedding`, or an empty string for neither."""
    plain = re.sub("pre_?logits", "feature", output, flags=re.IGNORECASE)
    for what, words in (("scores", "logit|prob|softmax"), ("embedding", _EMBEDDING_NAMES), ("scores", _SCORE_NAMES)):
        if re.search(words, plain, re.IGNORECASE):
            return what
    return ""


def _preference(output: str) -> int:
    """Rank of the name among those of embedding outputs; 0 is the likeliest."""
    return next((place for place, word in enumerate(_PREFERRED_NAMES) if word in output.lower()), len(_PREFERRED_NAMES))


def _computes_scores(output: str, last: LastLayers) -> bool:
    """Whether the last layers compute class scores, not an embedding: by what follows, by name, and by width."""
    named = _suggested_by_name(output)
    return last.scored or named == "scores" or (not named and not is_embedding_width(last.classes or 0))


def is_embedding_width(width: int) -> bool:
    """Whether the width is typical of embeddings, a multiple of 64 from 128 on; numbers of classes seldom are."""
    return width >= _LEAST_EMBEDDING and width % _EMBEDDING_STEP == 0


@dataclass(frozen=True)
class _Choice:
    """The feature of a model, and what else can be one."""

    feature: FeatureCandidate
    classifier: str | None
    """Name of the output with class scores."""
    certain: bool
    """Whether there is no doubt about the feature."""
    candidates: tuple[FeatureCandidate, ...]


@dataclass(frozen=True)
class _Finder:
    """Finds the features of one model."""

    view: View
    path: Path
    input: ModelInput

    def inspect(self) -> Inspection:
        """The inspection of the model."""
        outputs = [value.name for value in self.view.graph.output]
        notes: list[str] = []
        choice = self._choose(self._usable(outputs), notes)
        return Inspection(
            model=str(self.path),
            input=self.input,
            feature_output=choice.feature.name,
            feature_pool=choice.feature.pool,
            feature_dim=choice.feature.dim,
            classifier_output=choice.classifier,
            certain=choice.certain,
            notes=tuple(notes),
            candidates=choice.candidates,
            outputs=tuple(outputs),
            normalisation=find_normalisation(
                self.view, channels=self.input.channels or 3, axis=1 if self.input.layout == "NCHW" else 3
            ),
            classifier_kind=kind_of_scores(self.view, choice.classifier) if choice.classifier else "",
            cuts=sensible_cuts(self.view, choice.feature.name),
        )

    def _choose(self, usable: list[str], notes: list[str]) -> "_Choice":
        """The feature that these outputs are computed from, or that is one of them; appends notes."""
        classifiers = {
            name: last
            for name in usable
            if (last := find_last_layers(self.view, name)) and _computes_scores(name, last)
        }
        embeddings = [name for name in usable if name not in classifiers]
        if classifiers:
            feature, classifier, certain = self._penultimate(classifiers, notes)
            return _Choice(feature, classifier, certain, self._candidates(classifier, feature, classifier, embeddings))
        feature, certain = self._embedding(usable, notes)
        main = feature.name
        candidates = self._candidates(main, feature, None, embeddings)
        if _suggested_by_name(main) != "scores":
            return _Choice(feature, None, certain, candidates)
        feature, guessed, certain = self._before(main, feature, candidates, notes)
        return _Choice(feature, guessed, certain, tuple(one for one in candidates if one.name != main))

    def _usable(self, outputs: list[str]) -> list[str]:
        """The outputs that depend on the image alone. Raises BackboneError if there are none."""
        view = self.view
        usable = [name for name in outputs if name in view.image_dependent and name not in view.other_dependent]
        if not usable:
            raise BackboneError(
                f"{self.path}: no output depends on image {self.input.name!r} alone ({', '.join(outputs)}); export one"
            )
        return usable

    def resolve(self, name: str) -> Output:
        """The output that this name stands for."""
        tensors = self.view.producers
        tensor, _, pool = name.rpartition(":")
        if name in tensors:
            tensor = name
            pool = default_pool(self.view, name)
        elif pool not in POOLINGS or tensor not in tensors:
            near = did_you_mean(tensor if pool in POOLINGS else name, tensors)
            raise BackboneError(
                f"{self.path}: no tensor {name!r}{near}; `featx inspect` lists features, "
                f"and poolings are {', '.join(POOLINGS)}"
            )
        rank = self.view.rank(tensor)
        if pool and rank is not None and rank not in pooled_ranks(pool):
            raise BackboneError(
                f"{self.path}: {tensor!r} has {rank} axes, but pooling {pool!r} needs "
                f"{' or '.join(map(str, pooled_ranks(pool)))}; leave the pooling out, or choose another"
            )
        return Output(name=name, dim=self._dim(tensor, pool) or 0, pool=pool)

    # ---- classifier or embedding

    def _penultimate(self, classifiers: dict[str, LastLayers], notes: list[str]) -> tuple[FeatureCandidate, str, bool]:
        """The feature that the last layer of the deepest classifier reads, that classifier, and if this is certain."""
        depth = depths(self.view)

        def _depth(name: str) -> tuple[bool, int]:
            last = classifiers[name]
            return not last.only_best, depth.get(last.reads[0], 0)

        classifier = max(classifiers, key=_depth)
        found = classifiers[classifier]
        feature = self._describe(same_values(self.view, found.reads[0]), pool=found.pool)
        feature = replace(feature, dim=feature.dim or found.width)
        certain = len(found.reads) == 1
        if not certain:
            count = len(found.reads)
            also = ", ".join(same_values(self.view, name) for name in found.reads[1:])
            notes.append(
                f"the classifier combines {count} last layers; the others read {also}: add these with --output"
            )
        if len(classifiers) > 1:
            others = ", ".join(name for name in classifiers if name != classifier)
            notes.append(f"{classifier} is the deepest of several classifier outputs; the others: {others}")
        return feature, classifier, certain

    def _stands_out(self, chosen: str, names: Sequence[str]) -> bool:
        """Whether every other vector among these outputs has a name that is less typical of embeddings."""
        others = [name for name in names if name != chosen and is_vector(self.view, name)]
        return all(_preference(chosen) < _preference(name) for name in others)

    def _embedding(self, usable: list[str], notes: list[str]) -> tuple[FeatureCandidate, bool]:
        """The output that is the model's embedding, and if this is certain; vectors are preferred, then sequences."""
        depth = depths(self.view)

        def _rank(name: str) -> tuple[int, int, int]:
            axes = self.view.rank(name) or 9
            return (0 if is_vector(self.view, name) else axes, _preference(name), -depth.get(name, 0))

        numbers = list(dict.fromkeys(self._numbers_behind(name) for name in usable))
        floats = [name for name in numbers if self.view.elem_type(name) in FEATURE_TYPES] or numbers
        chosen = min(floats, key=_rank)
        feature = replace(self._describe(chosen), kind="embedding output")
        certain = is_vector(self.view, chosen) and self._stands_out(chosen, floats)
        last = find_last_layers(self.view, chosen)
        if last and not last.normed and not _suggested_by_name(chosen) and not l2_normalised(self.view, chosen):
            certain = False
            notes.append(
                f"{chosen} ends in a dense layer as wide as embeddings ({last.classes}); if these are class scores, "
                f"the feature is --output {same_values(self.view, last.reads[0])}"
            )
        if feature.pool:
            notes.append(f"{chosen} is not a vector: pooling {feature.pool!r} is applied unless --output names another")
        elif not certain and not last:
            notes.append(f"several outputs are vectors; {chosen} is taken unless --output names another")
        return feature, certain

    def _numbers_behind(self, name: str) -> str:
        """The tensor of numbers that a sequence, a map or a text was made from; the name itself if it is one."""
        seen = set[str]()
        while not self.view.is_numbers(name) and name not in seen:
            seen.add(name)
            node = self.view.producers.get(name)
            name = next(iter(self.view.data_inputs(node)), name) if node else name
        return name

    def _before(
        self, output: str, feature: FeatureCandidate, candidates: tuple[FeatureCandidate, ...], notes: list[str]
    ) -> tuple[FeatureCandidate, str | None, bool]:
        """The last candidate before an output that is named like scores although it has no last layer, as a guess."""
        earlier = [candidate for candidate in candidates if candidate.name != output]
        if not earlier:
            return feature, None, False
        notes.append(f"{output} is named like class scores, but no last layer was found; {earlier[-1].name} is a guess")
        return earlier[-1], output, False

    # ---- candidates

    def _describe(self, name: str, *, pool: str | None = None) -> FeatureCandidate:
        shape = self.view.shape(name)
        pool = default_pool(self.view, name) if pool is None or is_vector(self.view, name) else pool
        return FeatureCandidate(name, self._dim(name, pool), self._as_shown(shape), kind_of(self.view, name), pool)

    def _as_shown(self, shape: Shape | None) -> Shape | None:
        """The shape, with None for a free batch axis."""
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
        self, main: str, feature: FeatureCandidate, classifier: str | None, outputs: list[str]
    ) -> tuple[FeatureCandidate, ...]:
        """Every plausible feature once, in order from the image to the output."""
        last = find_last_layers(self.view, classifier) if classifier else None
        excluded = {classifier, *last.following} if last else {classifier}
        passed = [found for found in bottlenecks(self.view, main) if found.name not in excluded]
        found = {name: self._describe(name) for name in stages(self.view, passed)}
        for name in outputs:
            if self.view.is_numbers(name) and self.view.elem_type(name) in FEATURE_TYPES:
                found[name] = replace(self._describe(name), kind="embedding output")
        found[feature.name] = feature
        return tuple(candidate for candidate in found.values() if self._plausible(candidate, feature))

    def _plausible(self, candidate: FeatureCandidate, feature: FeatureCandidate) -> bool:
        """Whether the tensor is worth listing: neither a single number nor a flattened map."""
        return candidate.name == feature.name or (candidate.dim != 1 and candidate.kind != "flattened map")
