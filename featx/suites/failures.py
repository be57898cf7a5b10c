"""What a suite asks for and does not get."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SuiteFailure:
    """Something that a suite asks for and that has no result.

    >>> from featx.suites import SuiteFailure
    >>> print(SuiteFailure("shapes", "resnet", "extraction", "the model failed"))
    extraction of resnet for shapes: the model failed
    """

    target: str
    source: str
    """Name of the backbone, or of the candidate; empty if the whole target failed."""
    stage: str
    """What failed: extraction, tables, scores, heads or gain."""
    reason: str

    def __str__(self) -> str:
        """The failure in one line."""
        what = f"{self.stage} of {self.source}" if self.source else self.stage
        return f"{what} for {self.target}: {self.reason}"
