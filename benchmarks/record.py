"""How a benchmark keeps what it measured: JSON with versions and hardware, from which README.md is rendered."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featx.hardware import hardware
from featx.provenance import installed_version, timestamp, versions

RESULTS = Path(__file__).parent / "results"


def keep(name: str, measured: dict[str, Any], *, beside: Sequence[str] = ()) -> None:
    """Write what was measured, with when, on what and with which versions, those of some packages beside among them."""
    RESULTS.mkdir(exist_ok=True)
    others = {package: number for package in beside if (number := installed_version(package))}
    whole = {"measured": timestamp(), "hardware": hardware(), "versions": versions() | others, **measured}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    print(f"{path}: written")


def read(name: str) -> Any:
    """What a benchmark kept; None where it was not run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
