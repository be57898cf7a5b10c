"""The candidates of a trial: each extracts the images of a round, and tells how fast."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from featx.backbones import Backbone
from featx.cache import PENDING, FeatureTable, open_cache, read_rows
from featx.convert import load_backbone
from featx.errors import TableError
from featx.extract import Progress, extract_rows
from featx.inputs import ImageSet
from featx.settings import Settings, Storage
from featx.tables import RowIndices


@dataclass(frozen=True)
class Extraction:
    """How the images of all candidates are extracted."""

    images: ImageSet
    folder: Path
    models: Path | str | None
    settings: Settings
    storage: Storage


@dataclass
class Candidate:
    """A backbone that is tried, its features of the images so far, and how long they took."""

    given: str | Backbone
    extraction: Extraction
    computed: int = 0
    """Number of images that were computed, and did not exist before."""
    seconds: float = 0.0
    cache: Path | None = None
    tables: list[FeatureTable] = field(default_factory=list)
    """Of the images of each round that have a feature."""

    @property
    def name(self) -> str:
        """The backbone's name; before it is loaded, the one that was given."""
        return self.given if isinstance(self.given, str) else self.given.name

    @property
    def path(self) -> Path:
        """The cache into which all images can be extracted."""
        return self.extraction.folder / f"{self.name}.h5"

    def run(self, rows: RowIndices, *, report: Callable[[Progress], None]) -> None:
        """Extract these rows, but those that exist already, and read them. Raises FeatxError."""
        how = self.extraction
        if isinstance(self.given, str):
            self.given = load_backbone(self.given, folder=how.models)
        found = extract_rows(
            how.images, self.given, rows, into=self.path, settings=how.settings, storage=how.storage, report=report
        )
        self.cache = found.cache
        self.computed += found.computed
        self.seconds += found.seconds
        self.tables.append(read_rows(found.cache, rows))
        if not len(self.tables[-1]):
            raise TableError(f"{found.cache}: none of the {len(rows)} images that were tried has a feature")

    @property
    def seconds_per_image(self) -> float | None:
        """How long an image took in this run, with reading and decoding; None if all rows existed."""
        return self.seconds / self.computed if self.computed else None

    def seconds_for_all(self) -> float | None:
        """How long the images that are not extracted yet may take: as long as in this run, or as the cache tells."""
        assert self.cache is not None
        left = int(np.count_nonzero(open_cache(self.cache).read("status") == PENDING))
        cost = self.tables[-1].sources[0].cost
        each = self.seconds_per_image or (None if cost is None else cost.seconds_per_image)
        return 0.0 if not left else None if each is None else left * each
