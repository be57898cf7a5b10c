"""Tables of what views and fine-tuning are worth, and of what they cost."""

from statistics import mean
from typing import Any

from tables import made_on, spread, table

RULES = ("first", "mean", "rows")


def render_views(found: dict[str, Any]) -> str:
    """The gain of the chosen rule over view 0, for each set and head."""
    rows = [
        [
            row["part"],
            row["head"],
            " / ".join(str(row["rules"][rule]) for rule in RULES),
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['gain']:+.1f}",
            _points(row["interval"]),
            "" if row["p"] is None else f"{row['p']:.3f}",
        ]
        for row in found["summary"]
    ]
    header = ["set", "head", "first / mean / rows chosen", "accuracy, %", "gain, points", "95 % interval", "p"]
    gains = [row["gain"] for row in found["summary"] if row["part"].startswith("elpv")]
    told = f"On the solar cells, the mean gain over both label rules and all heads is {100 * mean(gains):+.1f} points."
    return f"{table(header, rows)}\n\n{told}\n\n{made_on(found)}"


def render_elpv_views(found: dict[str, Any]) -> str:
    """The accuracy of each candidate on the splits that chose nothing."""
    chosen = [found["chosen"][key] for key in ("recipe", "networks", "views")]
    rows = [
        [
            row["recipe"] + (" (chosen)" if [row[key] for key in ("recipe", "networks", "views")] == chosen else ""),
            " + ".join(row["networks"]),
            "view 0" if row["views"] == "first" else "mean of 8 views",
            f"{row['left_out']:.4f}",
            f"{row['mean']:.4f}",
            _range(row["interval"]),
            _range(row["plain_interval"]),
            f"{row['above_vgg']} of 10",
            f"{row['quarters']:.3f}",
        ]
        for row in found["summary"]
    ]
    header = [
        "recipe",
        "layers of",
        "views",
        "left out, splits 0 to 4",
        "mean, splits 10 to 19",
        "95 %, another split",
        "95 %, splits as if independent",
    ]
    header += [f"above {found['published']}", "quarters"]
    return f"{table(header, rows)}\n\n{made_on(found)}"


def render_finetuning(found: dict[str, Any]) -> str:
    """Accuracies and paired differences for each set and number of images, and how often harm would be written."""
    rows = []
    for row in found["summary"]:
        differences = {(a, b): (difference, interval) for a, b, difference, interval, _ in row["differences"]}
        accuracies = [f"{100 * row[name]:.1f}" for name in ("frozen", "tuned", "layers", "both")]
        gains = [_difference(differences.get(pair)) for pair in (("tuned", "frozen"), ("tuned", "layers"))]
        rows.append([row["part"], str(row["count"]), str(row["splits"]), *accuracies, *gains])
    header = ["set", "images", "splits", "frozen, %", "tuned", "layers", "both", "tuned - frozen", "tuned - layers"]
    harm = found["harm"]
    told = (
        f"Of {harm['runs']} runs, {harm['written']} won on validation images and would be written; {harm['worse']} of "
        f"these are worse on test images, {harm['worse_beyond_chance']} beyond chance (p < .05)."
    )
    return f"{table(header, rows)}\n\n{told}\n\n{made_on(found)}"


def render_views_speed(found: dict[str, Any]) -> str:
    """Seconds of both ways, and their ratio."""
    rows = [
        [
            name,
            str(row["images"]),
            spread(row["took"]["views"]["wall"]),
            spread(row["took"]["extractions"]["wall"]),
            spread(row["ratio"]),
            f"{row['wanted']}",
            f"{row['largest_difference']:.1e}",
        ]
        for name, row in found["backbones"].items()
    ]
    header = ["backbone", "images", "8 views, s", "8 extractions, s", "ratio", "wanted", "largest difference in view 0"]
    return f"{table(header, rows)}\n\n{made_on(found)}"


def render_finetuning_speed(found: dict[str, Any]) -> str:
    """Seconds of an epoch of each way, and how many times those of cached maps."""
    rows = [
        [
            name,
            spread(seconds["wall"]),
            spread(found["ratios"][name]) if name in found["ratios"] else "1",
            f"{found['wanted'][name]:g}" if name in found["wanted"] else "",
        ]
        for name, seconds in found["took"].items()
    ]
    header = ["an epoch", "seconds", "divided by cached maps", "wanted, at least"]
    told = (
        f"{found['images']} images, {found['threads']} threads. The cache of {len(found['views'])} views took "
        f"{found['making']['wall'][0]:.0f} s, once, and {found['bytes'] / 1e6:.0f} MB."
    )
    return f"{table(header, rows)}\n\n{told}\n\n{made_on(found)}"


def _points(interval: list[float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"


def _range(interval: list[float]) -> str:
    return f"{interval[0]:.4f} to {interval[1]:.4f}"


def _difference(found: tuple[float, list[float] | None] | None) -> str:
    if found is None:
        return ""
    difference, interval = found
    return f"{100 * difference:+.1f}" + (f" ({_points(interval)})" if interval else "")
