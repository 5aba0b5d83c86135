"""The figure of where the variance over runs comes from, for studies whose sources are crossed."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from l2study.core.measures import MEASURES
from l2study.core.seeds import TOTAL
from l2study.report.marks import lambdas_of
from l2study.report.style import WIDTH, figure_key, lambda_colours, lambda_name

SHOWN = ("gap_reported", "gap_generalisation", "gap_endpoint", "test_accuracy")
"""The measures that are drawn and that the report speaks of, in this order."""

_MARKERS = "soD^vP*X"


def variance(variance: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """The share of each source in the variance, by lambda, with `confidence` intervals.

    A hollow mark is an estimate below zero that is set to zero.
    """
    shown = variance[variance["source"] != TOTAL]
    sources = shown["source"].drop_duplicates().tolist()
    lambdas = lambdas_of(runs)
    height = len(sources) * (0.12 * len(lambdas) + 0.1) + 0.55
    drawing = Figure(figsize=(WIDTH, 2 * height + 0.6), layout="constrained")
    drawing.get_layout_engine().set(h_pad=0.06, w_pad=0.04, hspace=0.04, wspace=0.02)
    axes = drawing.subplots(2, 2, sharex=True, sharey=True)
    for ax, measure in zip(axes.flat, SHOWN, strict=True):
        _panel(ax, shown[shown["measure"] == measure], sources, lambdas)
        ax.set_title(textwrap.fill(MEASURES[measure].label, 27))
    for ax in axes[-1]:
        ax.set_xlabel("Share of the variance (%)")
    handles = [_mark(value, lambdas) for value in lambdas]
    if (shown["negative"] == "yes").any():
        hollow = {"marker": "o", "ms": 4.5, "mfc": "white", "color": "0.3", "ls": "none"}
        handles.append(Line2D([], [], **hollow, label="below 0, set to 0"))
    figure_key(drawing, handles, min(4, len(handles)))
    return drawing


def _panel(ax: Axes, rows: pd.DataFrame, sources: list[str], lambdas: list[float]) -> None:
    """Draw the shares of one measure: a band per source, the first on top, a line per lambda."""
    found = rows.set_index(["source", "l2"])
    for place, source in enumerate(sources):
        if place % 2:
            ax.axhspan(place - 0.5, place + 0.5, color="0.96", lw=0, zorder=0)
        for rank, value in enumerate(lambdas):
            if (source, value) not in found.index:
                continue
            row = found.loc[(source, value)]
            y = place + 0.8 * ((rank + 0.5) / len(lambdas) - 0.5)
            mark = _mark(value, lambdas, hollow=row["negative"] == "yes")
            mark.set_data([100 * row["share"]], [y])
            mark.set_label(f"{source} {value:g}")
            ends = 100 * row[["share_low", "share_high"]].to_numpy(float)
            ax.hlines(y, *ends, color=mark.get_color(), lw=1.5)
            ax.add_line(mark)
    ax.set_yticks(range(len(sources)), [_in_lines(source) for source in sources])
    ax.set_ylim(len(sources) - 0.5, -0.5)
    ax.set_xlim(-4, 104)
    ax.set_xticks(range(0, 101, 25))
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")


def _in_lines(source: str) -> str:
    return textwrap.fill(source.replace(" x ", " ×\u00a0"), 16)


def _mark(value: float, lambdas: list[float], hollow: bool = False) -> Line2D:
    """Return the mark of a lambda, which its shape tells too, as an entry of a key."""
    colour = lambda_colours(lambdas)[value]
    return Line2D(
        [],
        [],
        ls="none",
        marker=_MARKERS[lambdas.index(value) % len(_MARKERS)],
        ms=4.5,
        color=colour,
        mfc="white" if hollow else colour,
        label=lambda_name(value),
    )
