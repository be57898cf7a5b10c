"""results/*.json -> the tables of README.md, between its markers.

python benchmarks/render.py
"""

from pathlib import Path
from typing import Any

import numpy as np
from record import read

README = Path(__file__).parent / "README.md"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def made_on(found: dict[str, Any]) -> str:
    """When, on what, with what."""
    machine = ", ".join(str(value) for value in found["hardware"].values())
    numbers = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{found['measured']}; {machine} cores; {numbers}"


def render_throughput(found: dict[str, Any]) -> str:
    """Images per second, and the ratio to featx."""
    rows = []
    for row in found["rows"]:
        ratios = row["featx_is_faster_by"]
        spread = f"{np.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append([row["name"], f"{row['images_per_second']:.0f}", f"{row['cores_busy']:.0%}", spread])
    header = ["", "images/s (median)", "cores busy", "featx is faster by (median, range)"]
    what = f"{found['images']} images ({found['image_set']}), {found['backbone']}"
    return (
        f"{what}, {len(found['rows'][0]['seconds'])} interleaved repeats.\n\n{table(header, rows)}\n\n{made_on(found)}"
    )


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


def spread(ratios: list[float]) -> str:
    """Median and range of some ratios."""
    return f"{np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


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
        f"inference, against floats that lie ready: CPU {spread(pixels['bound']['cpu'])}."
    )
    return "\n\n".join([table(header, zoo), second, front, made_on(found)])


def main() -> None:
    """Put the tables into README.md."""
    text = README.read_text(encoding="utf-8")
    for name, render in (("throughput", render_throughput), ("graph", render_graph), ("elpv", render_elpv)):
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = before + start + render(read(name)) + "\n" + end + rest.partition(end)[2]
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
