from .figures import reserve_figure as reserve_figure, write_curve as write_curve
from .lists import reserve_list as reserve_list, write_list as write_list
from .markdown import render_results as render_results
from .progress import (
    comparison_progress as comparison_progress,
    extraction_progress as extraction_progress,
    placing_progress as placing_progress,
    suite_progress as suite_progress,
)
from .terminal import (
    err as err,
    out as out,
    print_adaptation as print_adaptation,
    print_checks as print_checks,
    print_clusters as print_clusters,
    print_curve as print_curve,
    print_effects as print_effects,
    print_extraction as print_extraction,
    print_failures as print_failures,
    print_gain as print_gain,
    print_gap as print_gap,
    print_info as print_info,
    print_inspection as print_inspection,
    print_label_plan as print_label_plan,
    print_metrics as print_metrics,
    print_ranking as print_ranking,
    print_results as print_results,
    print_scores as print_scores,
    print_suite as print_suite,
    print_trials as print_trials,
)
