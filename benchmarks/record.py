"""How a benchmark keeps what it measured: JSON with versions and hardware, from which README.md is rendered."""

import json
from pathlib import Path
from typing import Any

from featx.provenance import hardware, timestamp, versions

RESULTS = Path(__file__).parent / "results"


def keep(name: str, measured: dict[str, Any]) -> None:
    """Write what was measured, with when, on what and with which versions."""
    RESULTS.mkdir(exist_ok=True)
    whole = {"measured": timestamp(), "hardware": hardware(), "versions": versions(), **measured}
    (RESULTS / f"{name}.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=2))


def read(name: str) -> dict[str, Any]:
    """What a benchmark kept."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
