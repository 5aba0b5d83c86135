"""Figures of the gap between training and validation."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from l2study.core.wording import percent
from l2study.report.marks import draw_by_lambda, draw_means, lambdas_of, mark_diverged
from l2study.report.style import (
    category_axis,
    figure_key,
    lambda_axis,
    lambda_positions,
    log_axis,
    mean_key,
    plain_log_ticks,
    seed_and_mean_keys,
    side_step,
    stacked_panels,
)

PARTS = {"lag": "#a9c9dd", "generalisation": "#0b3c5d", "split": "#e69f00"}
"""Colours of the parts of the reported gap. They differ in lightness as well as in hue."""


def gap(means: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """The gaps at the last epoch against lambda: mean, its interval, and every seed as a dot.

    The exchangeable gap is among them where `means` has it.
    """
    panels = {
        "gap_reported": "Reported gap\n(points)",
        "gap_generalisation": "Generalisation gap\n(points)",
        "gap_exchangeable": "Exchangeable gap\n(points)",
        "gap_ce": "Cross-entropy gap\n(nats)",
    }
    panels = {measure: panels[measure] for measure in panels if measure in set(means["measure"])}
    drawing, axes = stacked_panels(len(panels), 1.75)
    for ax, (measure, label) in zip(axes, panels.items(), strict=True):
        ax.axhline(0, color="0.35", lw=0.9)
        draw_by_lambda(ax, runs, means, measure, label, axis_label=ax is axes[-1])
    figure_key(drawing, seed_and_mean_keys(confidence))
    return drawing


def _at_end(gap: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return the rows of the last epoch, by lambda, with these columns as mean, low and high."""
    rows = gap.loc[gap["epoch"] == gap["epoch"].max(), ["gap", "l2", *columns]].sort_values("l2")
    return rows.set_axis(["gap", "l2", "mean", "low", "high"], axis=1)


def gap_variance(gap: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """Variance over seeds of two gaps at the last epoch against lambda, with its interval."""
    positions = lambda_positions(runs["l2"])
    drawing, (ax,) = stacked_panels(1, 3.0)
    last = _at_end(gap, "variance", "variance_low", "variance_high")
    series = {"reported": ("0.1", "D", -0.9), "generalisation": ("#3b83b0", "o", 0.9)}
    handles = []
    for kind, (colour, marker, shift) in series.items():
        rows = last[last["gap"] == kind]
        # a variance of exactly 0 has no place on a logarithmic axis
        rows = rows.assign(mean=rows["mean"].where(rows["mean"] > 0))
        x = np.array([positions[v] + shift * side_step(positions) for v in rows["l2"]])
        draw_means(ax, x, rows, 1e4, colour, marker, kind)
        handles.append(mean_key(f"{kind} gap", marker, colour))
    ax.set_ylabel("Variance over seeds (points²)")
    log_axis(ax.yaxis)
    deviation = ax.secondary_yaxis("right", functions=(np.sqrt, np.square))
    deviation.set_ylabel("Standard deviation (points)")
    low, high = ax.get_ylim()
    plain_log_ticks(deviation.yaxis, (high / low) ** 0.5)
    mark_diverged(ax, runs, positions)
    lambda_axis(ax, positions, share=0.66)
    drawing.legend(
        handles=handles,
        loc="outside upper left",
        ncols=2,
        title=f"{percent(confidence)} intervals",
        alignment="left",
        title_fontsize=8.5,
    )
    return drawing


def decomposition(gap: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """The reported gap at the last epoch as the sum of its parts, stacked, with intervals.

    Parts above zero are stacked upwards, parts below zero downwards. The interval of a part hangs
    at the outer end of its bar.
    """
    values = lambdas_of(runs)
    drawing, (ax,) = stacked_panels(1, 3.5)
    ups, downs = np.zeros(len(values)), np.zeros(len(values))
    x = np.arange(len(values), dtype=float)
    handles = []
    last = _at_end(gap, "mean", "mean_low", "mean_high")
    for rank, (kind, colour) in enumerate(PARTS.items()):
        rows = last[last["gap"] == kind]
        mean = 100 * rows["mean"].to_numpy(dtype=float)
        height = np.nan_to_num(mean)
        base = np.where(height >= 0, ups, downs)
        ax.bar(x, height, 0.56, base, color=colour, edgecolor="white", linewidth=0.8, label=kind)
        half = 50 * (rows["high"] - rows["low"]).to_numpy(dtype=float)
        has = np.isfinite(half)
        for width, shade, order in ((3.2, "white", 3), (1.4, "0.25", 4)):
            ax.errorbar(
                (x + 0.16 * (rank - 1))[has],
                (base + height)[has],
                half[has],
                fmt="none",
                ecolor=shade,
                elinewidth=width,
                zorder=order,
                label=f"interval:{kind}",
            )
        ups, downs = np.maximum(ups, base + height), np.minimum(downs, base + height)
        handles.append(Patch(color=colour, label=kind))
    draw_means(ax, x + 0.38, last[last["gap"] == "reported"], 100.0, name="reported")
    handles.append(mean_key("reported gap, the sum"))
    ax.axhline(0, color="0.35", lw=0.9)
    ax.set_ylabel("Gap (points of accuracy)")
    mark_diverged(ax, runs, dict(zip(values, x, strict=True)))
    category_axis(ax, values)
    drawing.legend(
        handles=handles, loc="outside upper left", ncols=4, columnspacing=1.2, handlelength=1.3
    )
    ax.set_title(f"Lines: {percent(confidence)} intervals", fontsize=8.5, color="0.35")
    return drawing
