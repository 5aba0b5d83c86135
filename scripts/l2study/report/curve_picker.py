"""Learning curves that a reader of the page picks: the numbers, the empty plot and its controls.

Bokeh draws what the script reports/page/explorer.js takes from `curves`. Where there is no script,
in the notebook or on paper, one sentence stands in its place.
"""

import json
import math

import numpy as np
import pandas as pd
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, HoverTool, Range1d, SaveTool
from bokeh.plotting import figure
from bokeh.resources import Resources
from matplotlib.colors import to_hex

from l2study.core.labels import l2_label
from l2study.core.measures import GAPS, MEASURES, OPTIONAL, names
from l2study.report.navigation import tables_folder
from l2study.report.plot_helpers import completed_histories, diverged_text
from l2study.report.study import Study
from l2study.report.style import lambda_colours
from l2study.report.templates import TEMPLATES

_FIRST = [
    *(f"{part}_{kind}" for part in ("val", "train", "test") for kind in ("ce", "accuracy")),
    *(f"gap_{kind}" for kind in GAPS if kind != "endpoint"),
]

SHOWN = [*_FIRST, *(name for name in names("history") if name not in _FIRST)]
"""What can be picked: columns of histories.csv, and gaps as differences of two of them."""

MARKERS = {
    "square": "■",
    "circle": "●",
    "triangle": "▲",
    "diamond": "◆",
    "inverted_triangle": "▼",
}
"""Bokeh's markers for lambda 0 and, in turn, for those above it; and the sign that looks like each.
"""

MOST_EPOCHS = 200
"""Longer histories are thinned to about so many epochs on the page, the last one among them."""

MOST_NUMBERS = 150_000
"""Single runs are on the page up to so many numbers (runs x epochs x measures), about 1 MB."""

DIGITS = 5
"""Significant digits of the numbers on the page."""


def scripts() -> list[str]:
    """Return BokehJS as the scripts that a page needs to draw the plot."""
    return Resources(mode="inline", components=["bokeh"], log_level="warn").js_raw


def curves(study: Study) -> dict:
    """Return the learning curves of all completed runs, ready for JSON.

    Returns:
        epochs: the evaluated epochs, at most about MOST_EPOCHS.
        lambdas: of every lambda with a completed run, ascending, its label, colour, darker `ink`
            for text, and marker.
        measures: of every measure its name and title, and `mean`, `low` and `high` over the seeds
            as lists [lambda][epoch], accuracies and their gaps in per cent or points; and `runs`,
            [lambda][run][epoch], unless they are more than MOST_NUMBERS in all.
        left_out: how many numbers that would have been, 0 if they are there.
    """
    runs, rows = study.tables["runs"], completed_histories(study)
    rows = rows[rows["epoch"].isin(_thinned(rows["epoch"]))]
    there = {kind: pair for kind, pair in GAPS.items() if set(pair) <= set(rows)}
    rows = rows.assign(**{f"gap_{kind}": rows[a] - rows[b] for kind, (a, b) in there.items()})
    # One has no value where validation images were not drawn at random, others for some models.
    perhaps = runs.reindex(columns=["gap_exchangeable", *OPTIONAL])
    absent = set(perhaps.columns[perhaps.isna().all()])
    shown = [name for name in SHOWN if name in rows.columns and name not in absent]
    count = len(rows) * len(shown)
    return {
        "epochs": sorted(rows["epoch"].unique().tolist()),
        "lambdas": _lambdas(sorted(rows["l2"].unique().tolist()), lambda_colours(runs["l2"])),
        "measures": [_measure(name, rows, count <= MOST_NUMBERS) for name in shown],
        "left_out": 0 if count <= MOST_NUMBERS else count,
    }


def _thinned(epochs: pd.Series) -> set[int]:
    """Return which of `epochs` to show: all, or every so many counted back from the last, and 0."""
    there = sorted(set(epochs), reverse=True)
    return {0, *there[:: max(1, math.ceil(len(there) / MOST_EPOCHS))]}


def _lambdas(values: list[float], colours: dict) -> list[dict]:
    zero, *others = MARKERS
    return [
        {
            "label": l2_label(value),
            "colour": to_hex(colours[value]),
            "ink": to_hex(_legible(colours[value])),
            "marker": others[rank % len(others)] if value else zero,
        }
        for rank, value in enumerate(values)
    ]


def _legible(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return `colour` dark enough to be read on white, with a contrast of 4.5 as in WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    if 1.05 / (luminance + 0.05) >= 4.5:
        return colour
    return _legible(tuple(0.95 * c for c in colour))


def _measure(name: str, rows: pd.DataFrame, with_runs: bool) -> dict:
    shown = MEASURES[name]
    accuracy = shown.unit == "points" and not name.startswith("gap_")
    unit = "%" if accuracy else shown.unit
    by_run = shown.scale * rows.pivot(index=["l2", "seed"], columns="epoch", values=name)
    per_run = [table for _, table in by_run.groupby("l2")]
    found = {
        "name": name,
        "title": f"{shown.label} ({unit})" if unit else shown.label,
        "mean": [_short(table.mean()) for table in per_run],
        "low": [_short(table.min()) for table in per_run],
        "high": [_short(table.max()) for table in per_run],
    }
    if with_runs:
        found["runs"] = [[_short(run) for run in table.to_numpy()] for table in per_run]
    return found


def _short(numbers: np.ndarray | pd.Series) -> list[float | None]:
    """Return numbers with DIGITS significant digits, None for those that are missing."""
    return [float(f"{x:.{DIGITS}g}") if math.isfinite(x) else None for x in numbers]


def plot() -> dict:
    """Return an empty plot as the JSON that Bokeh embeds: its sources are filled by the script.

    The sources are called `bands`, `runs`, `means`, `marks` and `ends`.
    """
    drawing = figure(
        height=380,
        min_width=200,
        sizing_mode="stretch_width",
        tools="box_zoom,reset",
        active_drag=None,
        toolbar_location="above",
        x_range=Range1d(0, 1),
        y_range=Range1d(0, 1),
        x_axis_label="Epoch",
        name="explorer",
    )
    lines, points = {"xs": "xs", "ys": "ys"}, {"x": "x", "y": "y"}
    bands = _source("bands", "xs", "ys", "colour")
    drawing.patches(**lines, source=bands, color="colour", fill_alpha=0.15, line_color=None)
    runs = _source("runs", "xs", "ys", "colour")
    drawing.multi_line(**lines, source=runs, color="colour", line_alpha=0.6, line_width=0.8)
    means = _source("means", "xs", "ys", "colour", "dash")
    drawing.multi_line(**lines, source=means, color="colour", line_width=2, line_dash="dash")
    marks = _source("marks", "x", "y", "colour", "marker", "label", "low", "high")
    dots = drawing.scatter(**points, source=marks, color="colour", size=6, marker="marker")
    ends = _source("ends", "x", "y", "colour", "text")
    look = {"text_font_size": "12px", "text_baseline": "middle", "x_offset": 8}
    drawing.text(**points, source=ends, text="text", text_color="colour", **look)
    shown = {"mean": "@y{%.4g}", "lowest": "@low{%.4g}", "highest": "@high{%.4g}"}
    hover = HoverTool(
        renderers=[dots],
        tooltips=[("λ", "@label"), ("epoch", "@x"), *shown.items()],
        formatters=dict.fromkeys(("@y", "@low", "@high"), "printf"),
    )
    drawing.add_tools(SaveTool(filename="learning_curves"), hover)
    drawing.toolbar.logo = None
    drawing.xaxis.ticker.min_interval = 1  # epochs are whole
    drawing.axis.axis_label_text_font_style = "normal"
    drawing.axis.axis_label_text_font_size = drawing.axis.major_label_text_font_size = "12px"
    drawing.axis.minor_tick_line_color = None
    drawing.xgrid.grid_line_color = None
    drawing.outline_line_color = None
    return json_item(drawing)


def _source(name: str, *columns: str) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns}, name=name)


def explorer(study: Study) -> str:
    """Return the controls, the place of the plot, and the data as HTML."""
    found = curves(study)
    if not found["lambdas"]:
        return "<p>No run of this study completed: there are no curves to pick from.</p>"
    content = json.dumps({"plot": plot(), "curves": found}, separators=(",", ":"))
    return TEMPLATES.get_template("page/explorer.html.j2").render(
        curves=found,
        signs=MARKERS,
        most=MOST_NUMBERS,
        diverged=diverged_text(study.tables["runs"]),
        folder=tables_folder(study),
        # a script ends at the first </, wherever it stands
        data=content.replace("</", "<\\/"),
    )
