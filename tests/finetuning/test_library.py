"""Without torch, fine-tuning says how to install it."""

import sys

import pytest

from featx.errors import FineTuningError
from featx.finetuning.library import import_torch
from featx.provenance import EXTRAS


def test_a_missing_torch_is_told_with_the_extra_and_the_index_of_the_smaller_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(FineTuningError, match=r"pip install 'featx\[finetune\]'.*download\.pytorch\.org/whl/cpu"):
        import_torch()
    assert EXTRAS["finetune"][1] == ("torch",)
