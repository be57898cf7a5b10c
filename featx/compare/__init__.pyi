from .comparing import (
    Contest as Contest,
    Tally as Tally,
    compare_backbones as compare_backbones,
    list_contests as list_contests,
)
from .ranking import Standing as Standing, stand as stand
