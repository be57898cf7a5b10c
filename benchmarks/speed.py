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
    made_of = f"The JPEGs are made of {found['photographs']} photographs."
    return "\n\n".join([table(header, rows), *_skipped(found), memory, made_of, made_on(found)])


def _skipped(found: dict[str, Any]) -> list[str]:
    return [f"{name}: not measured ({reason})." for name, reason in found["skipped"].items()]


def _peers_row(row: dict[str, Any], peers: list[str]) -> list[str]:
    ratios = [
        spread(row["peer_over_featx"][peer]) if peer in row["peer_over_featx"] else "not installed" for peer in peers
    ]
    speed = images_per_second(row, "featx")
    return [row["backbone"], f"{row['compared']:,}: {row['title']}", f"{speed:.0f}", *ratios]


def render_limits() -> str:
    """How near the machine's limit each lane is, and what its stages took."""
    if not (found := read("throughput")):
        return NOT_MEASURED
    rows = [_limits_row(row, lane) for row in found["rows"] for lane in row["lanes"]]
    header = [
        *("backbone", "images", "lane", "images/s", "decoding alone", "inference alone"),
        *("wall over ideal", "CPU over ideal", "read / decode / infer / write", "bound by"),
    ]
    return "\n\n".join([table(header, rows), made_on(found)])


def _limits_row(row: dict[str, Any], name: str) -> list[str]:
    lane = row["lanes"][name]
    work = sum(lane["stages"].values())
    return [
        row["backbone"],
        f"{row['images']:,}: {row['title']}",
        name,
        f"{images_per_second(row, name):.0f} ({_pace(lane['pace'])})",
        f"{images_per_second(row, lane['decoding']):.0f}",
        f"{images_per_second(row, lane['inference']):.0f} ({_pace(lane['inferred'])})",
        spread(lane["over_ideal"]),
        spread(lane["cpu_over_ideal"]),
        " / ".join(f"{seconds / work:.0%}" for seconds in lane["stages"].values()),
        lane["bound_by"],
    ]


def _pace(of: dict[str, Any]) -> str:
    return f"{of['streams']} x {of['threads']}, batch {of['batch_size']}"


def render_prices() -> str:
    """What the faster lanes gain, and what they cost."""
    if not (found := read("throughput")):
        return NOT_MEASURED
    rows = [_prices_row(row, lane) for row in found["rows"] for lane in row["prices"]]
    header = [
        "lane",
        "backbone",
        "images",
        "× exact, whole",
        "× exact, inference",
        "cosine, mean (lowest)",
        "points lost",
    ]
    return table(header, rows)


def _prices_row(row: dict[str, Any], name: str) -> list[str]:
    lane, price = row["lanes"][name], row["prices"][name]
    lost = price.get("points_lost")
    return [
        name,
        row["backbone"],
        f"{row['images']:,}: {row['title']}",
        spread(lane["faster_than_exact"]),
        spread(lane["inference_faster_than_exact"]) if lane["inference"] != "inference alone" else "",
        f"{price['mean_cosine']:.4f} ({price['lowest_cosine']:.4f})",
        f"{np.mean(lost):.2f} ± {np.std(lost, ddof=1):.2f}" if lost else "no labels",
    ]


def render_gpu() -> str:
    """End to end against the slower of decoding and the model alone, on a GPU."""
    if not (found := read("throughput-cuda")):
        return "Not measured: there was no GPU. `python benchmarks/throughput.py --device cuda` measures it."
    rows = [_gpu_row(row, name) for row in found["rows"] for name in row["lanes"]]
    header = ["backbone", "precision", "images/s", "model alone", "decoding alone", "wall over the slower of the two"]
    return "\n\n".join([table(header, rows), *_skipped(found), "; ".join(found["gpus"]), made_on(found)])


def _gpu_row(row: dict[str, Any], name: str) -> list[str]:
    lane = row["lanes"][name]
    speeds = (images_per_second(row, what) for what in (name, lane["inference"], lane["decoding"]))
    precision = "float32" if name == "exact" else name
    return [row["backbone"], precision, *(f"{speed:,.0f}" for speed in speeds), spread(lane["over_slower"])]
