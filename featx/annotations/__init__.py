"""Labels, splits, groups and weights of one's own for images that have features, which need no new extraction."""

from featx.annotations.joining import annotate
from featx.annotations.reading import SEPARATOR, Annotations, read_annotations

__all__ = ["SEPARATOR", "Annotations", "annotate", "read_annotations"]
