"""Suites: targets x sources x protocol in one file, run into one folder.

`read_suite` reads the file, and `run_suite` extracts what is missing, scores every source on every target, trains and
measures every candidate, and writes the leaderboard.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
