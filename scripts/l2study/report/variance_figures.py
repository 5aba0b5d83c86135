"""The figure of where the variance over runs comes from, for studies whose sources are crossed."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2study.core.measures import MEASURES
from l2study.core.seeds import TOTAL
from l2study.report import plot_helpers as plot
from l2study.report import style
from l2study.report.study import Study

SHOWN = ("gap_reported", "gap_generalisation", "gap_endpoint", "test_accuracy")
"""The measures that are drawn and that the report speaks of, in this order."""

_MARKERS = "soD^vP*X"


@plot.draws("variance", "runs")
def variance(study: Study) -> Figure:
    """The share of each source in the variance, by lambda, with intervals.

    A hollow mark is an estimate below zero that is set to zero. The shape of a mark tells its
    lambda, too.
    """
    table = study.tables["variance"]
    shown = table[table["source"] != TOTAL]
    sources = shown["source"].drop_duplicates().tolist()
    colours = style.lambda_colours(plot.lambdas_of(study.tables["runs"]))
    marks = {
        value: {"marker": _MARKERS[rank % len(_MARKERS)], "ms": 4.5, "color": colours[value]}
        for rank, value in enumerate(plot.lambdas_of(study.tables["runs"]))
    }
    height = len(sources) * (0.12 * len(marks) + 0.1) + 0.55
    shared = {"sharex": True, "sharey": True}
    drawing, axes = style.panels(2 * height + 0.6, 2, 2, (0.06, 0.04, 0.04), **shared)
    for ax, measure in zip(axes.flat, SHOWN, strict=True):
        _draw_shares(ax, shown[shown["measure"] == measure], sources, marks)
        ax.set_title(textwrap.fill(MEASURES[measure].label, 27))
    for ax in axes[-1]:
        ax.set_xlabel("Share of the variance (%)")
    keys = [style.dot_key(style.lambda_name(value), **look) for value, look in marks.items()]
    if (shown["negative"] == "yes").any():
        keys.append(
            style.dot_key("below 0, set to 0", marker="o", ms=4.5, mfc="white", color="0.3")
        )
    style.figure_key(drawing, keys, min(4, len(keys)))
    return drawing


def _draw_shares(ax: Axes, rows: pd.DataFrame, sources: list[str], marks: dict) -> None:
    """Draw the shares of one measure: a band per source, the first on top, a line per lambda."""
    found = rows.set_index(["source", "l2"])
    for place, source in enumerate(sources):
        if place % 2:
            ax.axhspan(place - 0.5, place + 0.5, color="0.96", lw=0, zorder=0)
        for rank, (value, look) in enumerate(marks.items()):
            if (source, value) not in found.index:
                continue
            row = found.loc[(source, value)]
            y = place + 0.8 * ((rank + 0.5) / len(marks) - 0.5)
            ends = 100 * row[["share", "share_low", "share_high"]].to_numpy(float)
            mark = look | {"mfc": "white" if row["negative"] == "yes" else look["color"]}
            plot.draw_row(ax, y, *ends, width=1.5, label=f"{source} {value:g}", **mark)
    names = [source.replace(" x ", " ×\u00a0") for source in sources]
    ax.set_yticks(range(len(sources)), [textwrap.fill(name, 16) for name in names])
    ax.set_ylim(len(sources) - 0.5, -0.5)
    ax.set_xlim(-4, 104)
    ax.set_xticks(range(0, 101, 25))
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
