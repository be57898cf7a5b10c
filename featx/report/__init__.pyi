from .adaptations import adaptation_sections as adaptation_sections
from .caches import extraction_sections as extraction_sections, info_sections as info_sections
from .clusters import cluster_sections as cluster_sections
from .curves import curve_sections as curve_sections
from .documents import reserve_documents as reserve_documents, write_tables as write_tables
from .gains import gain_sections as gain_sections
from .galleries import label_errors_page as label_errors_page, mistakes_page as mistakes_page
from .gaps import gap_sections as gap_sections
from .heads import head_sections as head_sections
from .html import render_page as render_page, reserve_page as reserve_page, write_page as write_page
from .labelling import label_plan_sections as label_plan_sections
from .latex import render_latex as render_latex
from .least_sure import LeastSure as LeastSure
from .lists import MISTAKE_COLUMNS as MISTAKE_COLUMNS, reserve_list as reserve_list, write_list as write_list
from .markdown import render_markdown as render_markdown, render_results as render_results
from .metrics import metrics_sections as metrics_sections
from .models import (
    checks_sections as checks_sections,
    effects_sections as effects_sections,
    inspection_sections as inspection_sections,
)
from .notebooks import render_shown as render_shown
from .pages.writing import build_report as build_report, write_report as write_report
from .predictions import (
    PredictionColumns as PredictionColumns,
    WritePrediction as WritePrediction,
    open_predictions as open_predictions,
)
from .progress import (
    comparison_progress as comparison_progress,
    extraction_progress as extraction_progress,
    placing_progress as placing_progress,
    suite_progress as suite_progress,
    tuning_progress as tuning_progress,
)
from .ranking import ranking_sections as ranking_sections
from .results import results_sections as results_sections
from .scores import scores_sections as scores_sections
from .section import Page as Page, Picture as Picture, Section as Section
from .spreadsheets import render_csv as render_csv
from .suites import suite_sections as suite_sections
from .terminal import err as err, out as out, print_failures as print_failures, print_sections as print_sections
from .trials import trials_sections as trials_sections
from .tunings import tuning_sections as tuning_sections
