from .caching import SuiteFailure as SuiteFailure
from .preparing import with_device as with_device
from .progress import SuiteProgress as SuiteProgress
from .published import read_splits as read_splits, write_splits as write_splits
from .reading import read_suite as read_suite
from .running import SuiteOutcome as SuiteOutcome, run_suite as run_suite
from .scoring import ScoreRow as ScoreRow
from .suite import Protocol as Protocol, SourceModel as SourceModel, Suite as Suite, Target as Target
