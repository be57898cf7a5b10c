from .reading import read_suite as read_suite
from .suite import Protocol as Protocol, SourceModel as SourceModel, Suite as Suite, Target as Target
