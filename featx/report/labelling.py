"""Which images to label next, as a table."""

from typing import TYPE_CHECKING

from featx.report.section import Section

if TYPE_CHECKING:
    from featx.transfer import LabelPlan


def label_plan_sections(plan: "LabelPlan") -> list[Section]:
    """One row for each image, in the order in which to label them."""
    rows = tuple((str(one.rank), one.name, one.why) for one in plan.suggestions)
    counts = f"{plan.labelled:,} images have a label, {plan.unlabelled:,} have none; strategy: {plan.strategy}"
    columns = ("rank", "image", "why")
    return [Section(title="images to label next", columns=columns, rows=rows, notes=(counts, *plan.notes))]
