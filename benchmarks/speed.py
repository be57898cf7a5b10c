"""What throughput.py, startup.py and prices.py kept -> tables."""

from typing import Any

import numpy as np
from figures import iter_figures
from record import read
from tables import made_on, spread, table

NOT_MEASURED = "Not measured: `python benchmarks/throughput.py` was not run."


def images_per_second(row: dict[str, Any], name: str) -> float:
    """The images of a run over the median of its seconds."""
    took = row["took"][name]
    return took["images"] / float(np.median(took["wall"]))  # type: ignore[no-any-return]


def render_figures() -> str:
    """What was asked for, what was measured, and whether it was met."""
    rows = [[figure.what, figure.asked, figure.found, figure.met] for figure in iter_figures()]
    return table(["", "asked", "measured, median (range)", "met"], rows)


def render_peers() -> str:
    """How many times faster featx is than each peer, and what memory each takes."""
    if not (found := read("throughput")):
        return NOT_MEASURED
    names = list(found["peak_bytes"])
    peers = [name for name in names if name != "featx"]
    rows = [_peers_row(row, peers) for row in found["rows"] if row["peers"]]
    header = ["backbone", "images", "featx, images/s", *(f"× {peer}" for peer in peers)]
    peaks = [f"{peak / 2**20:,.0f} MiB" if peak else "not installed" for peak in found["peak_bytes"].values()]
    memory = table(["peak memory, Lite0, JPEG", *names], [["", *peaks]])
    skipped = [f"{name}: not measured ({reason})." for name, reason in found["skipped"].items()]
    return "\n\n".join([table(header, rows), *skipped, memory, made_on(found)])


def _peers_row(row: dict[str, Any], peers: list[str]) -> list[str]:
    ratios = [
        spread(row["peer_over_featx"][peer]) if peer in row["peer_over_featx"] else "not installed" for peer in peers
    ]
    speed = images_per_second(row, "featx")
    return [row["backbone"], f"{row['compared']:,}: {row['title']}", f"{speed:.0f}", *ratios]


def render_limits() -> str:
    """How near the machine's limit each extraction is, what its stages took, and what the lanes gain."""
    if not (found := read("throughput")):
        return NOT_MEASURED
    rows = [_limits_row(row) for row in found["rows"]]
    header = [
        "backbone",
        "images",
        "images/s",
        "decoding alone",
        "inference alone",
        "wall over ideal",
        "read / decode / infer / write",
        "bound by",
        "fast",
        "int8",
    ]
    return "\n\n".join([table(header, rows), made_on(found)])


def _limits_row(row: dict[str, Any]) -> list[str]:
    lane, inference = row["lanes"]["exact"], row["inference"]
    work = sum(lane["stages"].values())
    grid = f"{inference['streams']} x {inference['threads']}, batch {inference['batch']}"
    return [
        row["backbone"],
        f"{row['images']:,}: {row['title']}",
        f"{images_per_second(row, 'exact'):.0f}",
        f"{images_per_second(row, 'decoding alone'):.0f}",
        f"{images_per_second(row, 'inference alone'):.0f} ({grid})",
        spread(row["exact_over_ideal"]),
        " / ".join(f"{seconds / work:.0%}" for seconds in lane["stages"].values()),
        lane["bound_by"],
        *(spread(row["exact_over_lane"][name]) if name in row["lanes"] else "" for name in ("fast", "int8")),
    ]


def render_gpu() -> str:
    """End to end against the slower of decoding and the model alone, on a GPU."""
    if not (found := read("throughput-cuda")):
        return "Not measured: there was no GPU. `python benchmarks/throughput.py --device cuda` measures it."
    rows = [
        [
            row["backbone"],
            row["precision"],
            f"{images_per_second(row, 'exact'):,.0f}",
            f"{images_per_second(row, 'inference alone'):,.0f}",
            f"{images_per_second(row, 'decoding alone'):,.0f}",
            spread(row["exact_over_slower"]),
        ]
        for row in found["rows"]
    ]
    header = ["backbone", "precision", "images/s", "model alone", "decoding alone", "wall over the slower of the two"]
    return "\n\n".join([table(header, rows), made_on(found)])
