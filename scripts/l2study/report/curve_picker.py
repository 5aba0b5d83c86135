"""Learning curves that a reader of the page picks: the numbers, the empty plot and its controls.

Bokeh draws what the script reports/page/explorer.js takes from `curves`. Where there is no script,
in the notebook or on paper, one sentence stands in its place.
"""

import html
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
from l2study.core.measures import GAPS, MEASURES
from l2study.report.navigation import tables_folder
from l2study.report.plot_helpers import diverged_text
from l2study.report.study import Study
from l2study.report.style import lambda_colours

SHOWN = (
    "val_ce",
    "val_accuracy",
    "train_ce",
    "train_accuracy",
    "test_ce",
    "test_accuracy",
    "gap_reported",
    "gap_lag",
    "gap_generalisation",
    "gap_split",
    "gap_exchangeable",
    "gap_ce",
    "train_loss",
    "val_loss",
    "train_loss_running",
    "train_accuracy_running",
    "penalty",
    "weight_norm",
    "weight_max_abs",
    "spectral_norm",
)
"""What can be picked: columns of histories.csv, and gaps as differences of two of them."""

MARKERS = {
    "circle": "●",
    "triangle": "▲",
    "diamond": "◆",
    "inverted_triangle": "▼",
}
"""Bokeh's markers for the lambdas above 0, in turn, and the character that looks like each."""

ZERO_MARKER = {"square": "■"}

MOST_EPOCHS = 200
"""Longer histories are thinned to about so many epochs on the page, the last one among them."""

MOST_NUMBERS = 150_000
"""Single runs are on the page up to so many numbers (runs x epochs x measures), about 1 MB."""

DIGITS = 5
"""Significant digits of the numbers on the page."""


def scripts() -> list[str]:
    """Return BokehJS as the scripts that a page needs to draw the plot."""
    return Resources(mode="inline", components=["bokeh"], log_level="warn").js_raw


def curves(histories: pd.DataFrame, runs: pd.DataFrame) -> dict:
    """Return the learning curves of all completed runs, ready for JSON.

    Returns:
        epochs: the evaluated epochs, at most about MOST_EPOCHS.
        lambdas: of every lambda with a completed run, ascending, its label, colour, darker `ink`
            for text, and marker.
        measures: of every measure its name, label and unit, and `mean`, `low` and `high` over the
            seeds as lists [lambda][epoch], accuracies and their gaps in per cent or points.
        seeds: the seeds of the completed runs as lists [lambda][run], and in every measure's
            `runs` their values, [lambda][run][epoch]; left out beyond MOST_NUMBERS.
        left_out: how many numbers that would have been, 0 if they are there.
    """
    complete = runs.loc[runs["status"] == "completed", ["l2", "seed"]]
    rows = histories.merge(complete, on=["l2", "seed"]).sort_values(["l2", "seed", "epoch"])
    rows = rows[rows["epoch"].isin(_thinned(rows["epoch"]))]
    rows = rows.assign(**{f"gap_{kind}": rows[a] - rows[b] for kind, (a, b) in GAPS.items()})
    values = sorted(rows["l2"].unique().tolist())
    # It has no value where validation images were not drawn at random.
    absent = {"gap_exchangeable"} if runs["gap_exchangeable"].isna().all() else set()
    names = [name for name in SHOWN if name in rows.columns and name not in absent]
    count = len(rows) * len(names)
    single = count <= MOST_NUMBERS
    return {
        "epochs": sorted(rows["epoch"].unique().tolist()),
        "lambdas": _lambdas(values, lambda_colours(runs["l2"])),
        "measures": [_measure(name, rows, values, single) for name in names],
        "seeds": [rows.loc[rows["l2"] == v, "seed"].unique().tolist() for v in values]
        if single
        else [],
        "left_out": 0 if single else count,
    }


def _thinned(epochs: pd.Series) -> set[int]:
    """Return which of `epochs` to show: all, or every so many counted back from the last, and 0."""
    there = sorted(set(epochs), reverse=True)
    return {0, *there[:: max(1, math.ceil(len(there) / MOST_EPOCHS))]}


def _lambdas(values: list[float], colours: dict) -> list[dict]:
    markers, shown = list(MARKERS), []
    for value in values:
        marker = next(iter(ZERO_MARKER)) if value == 0 else markers[len(shown) % len(markers)]
        shown.append(
            {
                "label": l2_label(value),
                "colour": to_hex(colours[value]),
                "ink": to_hex(_legible(colours[value])),
                "marker": marker,
            }
        )
    return shown


def _legible(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return `colour` dark enough to be read on white, with a contrast of 4.5 as in WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    if 1.05 / (luminance + 0.05) >= 4.5:
        return colour
    return _legible(tuple(0.95 * c for c in colour))


def _measure(name: str, rows: pd.DataFrame, values: list[float], single: bool) -> dict:
    shown = MEASURES[name]
    accuracy = shown.unit == "points" and not name.startswith("gap_")
    unit = "%" if accuracy else shown.unit
    per_run = [
        shown.scale * rows[rows["l2"] == v].pivot(index="seed", columns="epoch", values=name)
        for v in values
    ]
    found = {
        "name": name,
        "label": shown.label,
        "unit": unit,
        "title": f"{shown.label} ({unit})" if unit else shown.label,
        "mean": [_short(table.mean().to_numpy()) for table in per_run],
        "low": [_short(table.min().to_numpy()) for table in per_run],
        "high": [_short(table.max().to_numpy()) for table in per_run],
    }
    if single:
        found["runs"] = [[_short(run) for run in table.to_numpy()] for table in per_run]
    return found


def _short(numbers: np.ndarray) -> list[float | None]:
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
    drawing.toolbar.logo = None
    drawing.xaxis.ticker.min_interval = 1  # epochs are whole
    shade = {"color": "colour"}
    bands = _source("bands", "xs", "ys", "colour")
    drawing.patches("xs", "ys", fill_color="colour", fill_alpha=0.15, line_color=None, source=bands)
    runs = _source("runs", "xs", "ys", "colour")
    drawing.multi_line("xs", "ys", line_alpha=0.6, line_width=0.8, source=runs, **shade)
    means = _source("means", "xs", "ys", "colour", "dash")
    drawing.multi_line("xs", "ys", line_width=2, line_dash={"field": "dash"}, source=means, **shade)
    marks = _source("marks", "x", "y", "colour", "marker", "label", "low", "high")
    dots = drawing.scatter("x", "y", size=6, marker="marker", source=marks, **shade)
    ends = _source("ends", "x", "y", "colour", "text")
    drawing.text(
        "x",
        "y",
        text="text",
        text_color="colour",
        text_font_size="12px",
        text_baseline="middle",
        x_offset=8,
        source=ends,
    )
    hover = HoverTool(
        renderers=[dots],
        tooltips=[
            ("λ", "@label"),
            ("epoch", "@x"),
            ("mean", "@y{%.4g}"),
            ("lowest", "@low{%.4g}"),
            ("highest", "@high{%.4g}"),
        ],
        formatters={f"@{column}": "printf" for column in ("y", "low", "high")},
    )
    drawing.add_tools(SaveTool(filename="learning_curves"), hover)
    for axis in (drawing.xaxis, drawing.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.minor_tick_line_color = None
    drawing.xgrid.grid_line_color = None
    drawing.outline_line_color = None
    return json_item(drawing)


def _source(name: str, *columns: str) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns}, name=name)


def explorer(study: Study) -> str:
    """Return the controls, the place of the plot, and the data as HTML.

    All but one sentence is hidden until the page's script has drawn the plot.
    """
    data = curves(study.tables["histories"], study.tables["runs"])
    if not data["lambdas"]:
        return "<p>No run of this study completed: there are no curves to pick from.</p>"
    marks = MARKERS | ZERO_MARKER
    boxes = "".join(
        f'<label><input type="checkbox" name="l2" value="{rank}" checked> '
        f'<span aria-hidden="true" style="color:{shown["colour"]}">{marks[shown["marker"]]}</span> '
        f"{shown['label']}</label>"
        for rank, shown in enumerate(data["lambdas"])
    )
    options = "".join(
        f'<option value="{shown["name"]}">{html.escape(shown["title"])}</option>'
        for shown in data["measures"]
    )
    if data["left_out"]:
        single = (
            f"<p>Single runs would be {data['left_out']:,} numbers, too many for this page, which "
            f"has them up to {MOST_NUMBERS:,}: see histories.csv.</p>"
        )
    else:
        single = '<label><input type="checkbox" name="runs"> Single seeds</label>'
    lost = diverged_text(study.tables["runs"])
    content = json.dumps({"plot": plot(), "curves": data}, separators=(",", ":"))
    # a script ends at the first </, wherever it stands
    content = content.replace("</", "<\\/")
    return (
        '<div class="explorer">'
        '<p class="instead">In a browser with JavaScript, <a href="report.html">report.html</a> '
        "has a plot here in which lambdas and measures can be picked.</p>"
        '<form id="explorer" autocomplete="off" hidden>'
        f'<fieldset><legend>Lambdas (λ)</legend>{boxes}<span class="both">'
        '<button type="button" name="all">All</button>'
        '<button type="button" name="none">None</button></span></fieldset>'
        '<div class="choices"><label for="measure">Measure</label> '
        f'<select id="measure" name="measure">{options}</select></div>'
        f'<div class="choices">{single}'
        '<label><input type="checkbox" name="start"> Epoch 0, before any step</label></div>'
        '<div id="explorer-plot" role="img"></div>'
        f"<p>Lines are means over the completed runs, bands reach from the lowest to the highest. "
        f"{html.escape(lost)}</p>"
        '<div class="scroll" role="region" tabindex="0" aria-label="Values at the last epoch">'
        '<table><caption aria-live="polite"></caption><thead><tr><th scope="col">λ</th>'
        '<th scope="col">Mean</th><th scope="col">Lowest</th><th scope="col">Highest</th></tr>'
        "</thead><tbody></tbody></table></div></form>"
        f'<p class="data">Data: <a href="{tables_folder(study)}/histories.csv">histories.csv</a>.'
        "</p>"
        f'<script type="application/json" id="explorer-data">{content}</script></div>'
    )
