"""The command `demo`."""

from dataclasses import asdict
from pathlib import Path

import click

from featx.cli.options import as_json, examples, with_settings
from featx.cli.output import Verbosity, print_json, say
from featx.settings import Settings

NEXT = """
{folder} contains the cache, the five heads, results.jsonl and report.md. Open report.html in a browser to see it all.
The same on a folder of your own, with one sub-folder per class:

  featx extract FOLDER --backbone efficientnet-lite0 --into my.h5
  featx train my.h5 --head logreg --into my.featx
  featx predict my.featx NEW_IMAGES > predictions.csv
"""


@click.command(epilog=examples("featx demo", "featx demo --noise 0.8 --into noisy"))
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=Path("featx-demo"),
    show_default=True,
    metavar="DIR",
    help="The folder for everything that the demo writes.",
)
@click.option(
    "--noise",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Draw shapes, with this share of noise in each pixel: 0 is clear, 1 leaves nothing to see.",
)
@with_settings
@as_json
@click.pass_obj
def demo(output: Verbosity, /, *, into: Path, noise: float | None, settings: Settings, json_: bool) -> None:
    """Run the main job from end to end.

    It extracts features, trains five heads, prints their accuracies and makes a page of them, report.html. The images
    are shapes that featx draws, or 2,624 photographs of solar cells if they are installed (pip install 'featx[demo]';
    CC BY-NC-SA 4.0, for non-commercial use).
    """
    from featx.demo import run_demo
    from featx.report import err, extraction_progress, extraction_sections, out, print_sections, results_sections

    def _announce(text: str) -> None:
        if not output.quiet:
            err().print(text, markup=False)

    with extraction_progress(quiet=output.quiet) as report:
        summary = run_demo(into, noise=noise, settings=settings, report=report, announce=_announce)
    if json_:
        return print_json(asdict(summary))
    if not output.quiet:
        print_sections(extraction_sections(summary.extraction), to=out())
        print_sections(results_sections(summary.results), to=out())
        for line in NEXT.format(folder=into).splitlines():
            say(line)
    return None
