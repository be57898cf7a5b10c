from .choosing_source import choose_source as choose_source
from .trials import (
    DroppedSource as DroppedSource,
    FailedSource as FailedSource,
    SourceTrials as SourceTrials,
    TriedSource as TriedSource,
)
