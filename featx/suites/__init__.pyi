from .admission import UninformativeTarget as UninformativeTarget
from .agreement import (
    Agreement as Agreement,
    Estimate as Estimate,
    Prediction as Prediction,
    measure_agreement as measure_agreement,
)
from .concluding import GroupAgreement as GroupAgreement, TargetGain as TargetGain
from .failures import SuiteFailure as SuiteFailure
from .groups import Group as Group, GroupTarget as GroupTarget
from .leaderboard import Leaderboard as Leaderboard, LeaderboardRow as LeaderboardRow, TargetValue as TargetValue
from .outcomes import (
    SuiteOutcome as SuiteOutcome,
    is_suite_folder as is_suite_folder,
    read_agreement as read_agreement,
    read_leaderboard as read_leaderboard,
    read_outcome as read_outcome,
)
from .preparing import with_device as with_device
from .progress import SuiteProgress as SuiteProgress
from .published import PublishedSplits as PublishedSplits, read_splits as read_splits, write_splits as write_splits
from .reading import read_suite as read_suite
from .running import run_suite as run_suite
from .scoring import ScoreRow as ScoreRow
from .suite import Protocol as Protocol, SourceModel as SourceModel, Suite as Suite, Target as Target
