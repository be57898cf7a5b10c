"""torch, which fine-tuning needs and nothing else that is installed with featx."""

import importlib
from typing import Any

from featx.errors import FineTuningError, one_line

EXTRA = (
    "pip install 'featx[finetune]'; the build for the CPU alone is smaller: "
    "pip install torch --index-url https://download.pytorch.org/whl/cpu"
)


def import_torch() -> Any:
    """The module torch. Raises FineTuningError, which names the extra, if it cannot be imported."""
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: a library that torch loads does not fit this machine
        raise FineTuningError(
            f"fine-tuning needs torch, which cannot be imported ({one_line(error)}); {EXTRA}"
        ) from error
