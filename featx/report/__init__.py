"""Reports for people: results, rankings, metrics, caches and models in the terminal and in Markdown.

A report consists of sections (`section`). `caches`, `models`, `results`, `metrics` and `ranking` build them, `terminal`
and `markdown` render them. `progress` shows how far a long run is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
