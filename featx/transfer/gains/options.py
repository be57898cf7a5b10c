"""How gain is measured: which heads are trained on which splits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featx.cache import FeatureTable
from featx.compare import Candidate, list_candidates
from featx.heads import AUTO
from featx.tables import FEW_SHOT_REPEATS, SHOTS, GivenTables, Split, make_splits, possible_shots


@dataclass(frozen=True)
class GainOptions:
    """How gain is measured."""

    heads: Sequence[str] = ("logreg",)
    shots: Sequence[int] = SHOTS
    repeats: int = FEW_SHOT_REPEATS
    balanced: bool = False
    tuning: str = AUTO
    seed: int = 0

    def draw(self, table: FeatureTable) -> list[Split]:
        """A few-shot split for each possible number of shots and each repeat, and the one split of rule `auto`.

        Raises TableError as make_splits does.
        """
        whole = make_splits(table, seed=self.seed)[:1]
        possible = self.possible(table)
        if not possible:
            return whole
        return [*make_splits(table, "few-shot", shots=possible, repeats=self.repeats, seed=self.seed), *whole]

    def possible(self, table: FeatureTable) -> tuple[int, ...]:
        """The numbers of shots that the table has enough images for."""
        return possible_shots(table, self.shots, repeats=self.repeats, seed=self.seed) if self.shots else ()

    def list_candidates(self, tables: GivenTables) -> list[Candidate]:
        """Every head on every output of every table alone, on all splits."""
        listed = list_candidates(
            tables,
            heads=self.heads,
            fusions=(),
            splits=self.draw,
            tuning=self.tuning,
            balanced=self.balanced,
            seed=self.seed,
        )
        return [candidate for candidate in listed if len(candidate.backbones) == 1]

    def notes(self, table: FeatureTable) -> Iterator[str]:
        """Which numbers of shots are left out."""
        possible = self.possible(table)
        skipped = [str(number) for number in self.shots if number not in possible]
        if skipped:
            yield f"not measured at {', '.join(skipped)} shots: a class has too few images or groups"
