"""Keeps how far a training is in a file, so that a killed run goes on and ends with the same weights."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from featx.errors import FineTuningError, one_line
from featx.finetuning.library import import_torch
from featx.targets import explain_failure, new_file


@dataclass(frozen=True)
class StateFile:
    """The file of one training; it is replaced as a whole after each epoch."""

    path: Path
    key: str
    """sha256 of all that the training depends on."""

    def load(self) -> Mapping[str, Any] | None:
        """What `save` was given, or None if there is no file. Raises FineTuningError if it is not of this training.

        Only numbers, texts and tensors are read: no code of a file is run.
        """
        if not self.path.exists():
            return None
        torch = import_torch()
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            same = state["key"] == self.key
        except Exception as error:  # of pickle, zip files and torch, all for a damaged file
            raise FineTuningError(f"{self.path}: is damaged ({one_line(error)}); delete it") from error
        if not same:
            raise FineTuningError(f"{self.path}: is of another training; delete it, or choose another --work")
        return dict(state)

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file by this state. Raises FineTuningError if it cannot be written."""
        content = BytesIO()
        import_torch().save({**state, "key": self.key}, content)
        try:
            with new_file(self.path) as new:
                new.write_bytes(content.getvalue())
                os.replace(new, self.path)
        except OSError as error:
            raise FineTuningError(
                explain_failure(self.path, error).replace("another --into", "another --work")
            ) from error
