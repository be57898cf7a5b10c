from .markdown import render_results as render_results
from .terminal import (
    err as err,
    out as out,
    print_checks as print_checks,
    print_effects as print_effects,
    print_extraction as print_extraction,
    print_failures as print_failures,
    print_info as print_info,
    print_inspection as print_inspection,
    print_metrics as print_metrics,
    print_results as print_results,
    print_standings as print_standings,
    progress_bar as progress_bar,
    tally_bar as tally_bar,
)
