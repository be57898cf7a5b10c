"""results/*.json -> the tables of README.md and docs/scale.md, between their markers.

python benchmarks/render.py
"""

from pathlib import Path
from typing import Any

import numpy as np
from accuracies import render_heads, render_hundred, render_published
from adapt_tables import render_adapt
from adaptation_tables import render_adaptation_speed
from deployed_tables import render_deployed
from figures import find_row
from gain_tables import render_gain
from gap_tables import render_gap
from labelling_tables import render_labelling
from networks import LITE0
from parameter_tables import render_cautious, render_parameters
from record import read
from report_tables import render_report
from score_tables import render_logme, render_scores
from serving_tables import render_serving
from small_tables import render_small_data
from speed import images_per_second, render_figures, render_gpu, render_limits, render_peers, render_prices
from tables import made_on, spread, table
from transfer_tables import render_agreement, render_transfer
from truth import render_validity
from views_tables import (
    render_elpv_views,
    render_finetuning,
    render_finetuning_speed,
    render_views,
    render_views_speed,
)

README = Path(__file__).parent / "README.md"
SCALE = README.parents[1] / "docs" / "scale.md"
SOURCES = README.parents[1] / "docs" / "sources.md"


def render_soak(found: dict[str, Any]) -> str:
    """How much was disturbed, and what broke."""
    count = len(found["violations"])
    told = (
        f"{found['minutes']:.0f} minutes, seed {found['seed']}: {found['kills']} commands ended at random moments, "
        f"{found['commands_completed']} completed; {count} violations"
    )
    return f"{told}\n\n{made_on(found)}"


def render_elpv(found: dict[str, Any]) -> str:
    """Agreement with the plain loop, and the heads' accuracies."""
    same = found["agreement_with_plain_loop"]
    rows = [
        [
            row["head"],
            f"{row['mean']:.3f} ± {row['standard_deviation']:.3f}",
            " ".join(f"{accuracy:.3f}" for accuracy in row["accuracy"]),
            f"{row['seconds']:.1f}",
        ]
        for row in found["heads"]
    ]
    header = ["head", "accuracy, mean ± s.d. of 5 splits", "each split", "seconds to tune and fit"]
    agreement = (
        f"Features against a plain Pillow + ONNX Runtime loop, {found['images']} images: lowest cosine "
        f"{same['lowest_cosine']:.9f}, largest difference {same['largest_difference']:.1e}."
    )
    return f"{agreement}\n\n{table(header, rows)}\n\n{made_on(found)}"


def render_graph(found: dict[str, Any]) -> str:
    """What was found in the zoo graphs, the cost of a second output, and pixels in the graph against numpy."""
    zoo = [
        [
            row["model"],
            f"`{row['feature']}`" + (f", {row['pool']}" if row["pool"] else ""),
            str(row["dim"]),
            "freed" if row["batch_freed"] else "fixed",
            f"{row['batch_difference']:.0e}",
        ]
        for row in found["zoo"]
    ]
    header = ["zoo graph", "penultimate", "numbers", "batch axis", "3 images against 1, largest relative difference"]
    outputs, pixels = found["two_outputs"], found["pixels_inside"]
    alone, names = pixels["ratio_inference_alone"], ", ".join(f"`{name}`" for name in outputs["outputs"])
    second = f"Two outputs ({names}) in one pass, divided by one, wall time: {spread(outputs['ratio']['wall'])}."
    front = (
        f"Normalised by numpy, divided by inside the graph, {pixels['images']} ELPV images: CPU seconds in all "
        f"{spread(pixels['ratio']['cpu'])}, wall {spread(pixels['ratio']['wall'])}; of inference and normalisation "
        f"alone, CPU {spread(alone['cpu'])}, wall {spread(alone['wall'])}. Largest difference of a feature: "
        f"{pixels['largest_difference']:.1e}. The most that any way of normalising could save of "
        f"inference, against floats that are ready: CPU {spread(pixels['bound']['cpu'])}."
    )
    return "\n\n".join([table(header, zoo), second, front, made_on(found)])


def render_memory(found: dict[str, Any]) -> str:
    """Peak memory, and the speed of the flow itself."""
    rows = []
    for key in ("few", "many"):
        runs = found[key]
        count, peak = runs[0]["images"], [run["peak_bytes"] / 2**20 for run in runs]
        speeds = [
            f"{count / float(np.median([run[f'{what}_seconds'] for run in runs])):,.0f}"
            for what in ("list", "extract", "verify")
        ]
        rows.append([f"{count:,}", f"{np.median(peak):.0f} ({min(peak):.0f} to {max(peak):.0f})", *speeds])
    header = [
        "images",
        "peak memory, MiB (median, range)",
        "listed a second",
        "extracted a second",
        "verified a second",
    ]
    ratio = f"Peak memory of the many divided by that of the few: {spread(found['ratio'])}."
    return "\n\n".join([table(header, rows), ratio, made_on(found)])


def render_reading(found: dict[str, Any]) -> str:
    """Opening a cache and summing it, against an .npy file."""
    rows = []
    for row in found["rows"]:
        opened, checked = (float(np.median(row["seconds"][f"featx, {what}"])) for what in ("open", "verify"))
        shape = f"{row['rows']:,} x {found['dim']:,}"
        rows.append([shape, spread(row["featx_over_numpy"]), f"{1000 * opened:.1f}", f"{row['rows'] / checked:,.0f}"])
    header = ["features, float32", "featx / numpy, open and sum", "featx, open alone, ms", "rows verified a second"]
    return "\n\n".join([table(header, rows), made_on(found)])


def render_kills(found: dict[str, Any]) -> str:
    """Where kills fell, and that nothing was lost."""
    phases = list(found["lives"][0]["phases"])
    rows = [
        [
            row["name"],
            f"{row['images']:,}",
            " + ".join(f"{count} {name}" for name, count in row["signals"].items()),
            *(str(row["phases"][phase]) for phase in phases),
            str(row["corrupt_files"]),
            str(row["acknowledged_rows_lost"]),
            "yes" if row["bytes_equal"] else "no",
        ]
        for row in found["lives"]
    ]
    header = ["killed", "images", "kills", *phases, "corrupt files", "acknowledged rows lost", "final bytes equal"]
    return f"{found['image_set']}, {found['backbone']}.\n\n{table(header, rows)}\n\n{made_on(found)}"


def render_listing(found: dict[str, Any]) -> str:
    """Seconds and memory of millions of names."""
    rows = [
        [
            form,
            f"{row['images']:,}",
            f"{row['seconds']:.1f}",
            f"{row['bytes_a_row_at_peak']:.0f}",
            f"{row['bytes_a_row_kept']:.0f}",
        ]
        for form, row in found.items()
        if isinstance(row, dict) and "bytes_a_row_kept" in row
    ]
    header = ["image set", "images", "seconds", "bytes an image at the peak", "bytes an image kept"]
    return "\n\n".join([table(header, rows), made_on(found)])


def render_scale(speed: float) -> str:
    """What 10^8 and 10^10 images take at this speed (images a second), from the sizes that were measured."""
    flow = read("memory")["many"][0]
    most = read("reading")["rows"][-1]
    checks = most["rows"] / float(np.median(most["seconds"]["featx, verify"]))
    overhead = flow["file_bytes"] / flow["images"] - 4 * 64
    rows = []
    for text, count in (("10⁸", 1e8), ("10¹⁰", 1e10)):
        machine_hours = count / speed / 3600
        sizes = [f"{count * (overhead + 1280 * width) / 1e12:.2f} TB" for width in (4, 2)]
        checked = count / checks / 3600
        shards = f"{count / 1e6:,.0f}"
        rows.append([text, f"{machine_hours:,.0f}", f"{machine_hours / 100:,.1f}", *sizes, f"{checked:,.1f}", shards])
    header = [
        "images",
        "hours, 1 machine of 2 cores",
        "hours, 100 such machines",
        "bytes, float32",
        "float16",
        "hours to check all rows, 1 core",
        "shards of 10⁶",
    ]
    note = f"{speed:.0f} images/s on 2 cores; {overhead:.0f} bytes in each row besides its features, its name included."
    return f"{table(header, rows)}\n\n{note}"


def main() -> None:
    """Put the tables into README.md, docs/scale.md and docs/sources.md."""
    for name, render in RENDERERS.items():
        if (found := read(name)) is not None:
            put(README, name, render(found))
    for name, render_speed in SPEED.items():
        put(README, name, render_speed())
    if row := find_row(read("throughput"), LITE0, "elpv"):
        put(SCALE, "scale", render_scale(images_per_second(row, "exact")))
    put(SOURCES, "agreement", render_agreement(read("transfer")))


def put(page: Path, name: str, table: str) -> None:
    """Put a table between its markers."""
    start, end = f"<!-- {name} -->\n", "<!-- end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    if not found:
        raise SystemExit(f"{page}: no marker {start.strip()}; add it where the table belongs")
    page.write_text(before + start + table + "\n" + end + rest.partition(end)[2], encoding="utf-8")


SPEED = {
    "figures": render_figures,
    "peers": render_peers,
    "limits": render_limits,
    "prices": render_prices,
    "gpu": render_gpu,
}
"""Tables that are made of what several benchmarks kept."""

RENDERERS = {
    "graph": render_graph,
    "elpv": render_elpv,
    "memory": render_memory,
    "reading": render_reading,
    "kills": render_kills,
    "soak": render_soak,
    "listing": render_listing,
    "published": render_published,
    "heads": render_heads,
    "hundred": render_hundred,
    "small_data": render_small_data,
    "scores": render_scores,
    "logme": render_logme,
    "transfer": render_transfer,
    "gain": render_gain,
    "gap": render_gap,
    "labelling": render_labelling,
    "parameters": render_parameters,
    "parameters-cautious": render_cautious,
    "adapt": render_adapt,
    "adaptation_speed": render_adaptation_speed,
    "views": render_views,
    "elpv_views": render_elpv_views,
    "views_speed": render_views_speed,
    "kills_views": render_kills,
    "finetuning": render_finetuning,
    "finetuning_speed": render_finetuning_speed,
    "deployed": render_deployed,
    "serving": render_serving,
    "report": render_report,
    "validity": render_validity,
}


if __name__ == "__main__":
    main()
