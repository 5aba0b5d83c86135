"""Figures of the gap between training and validation."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from l2study.core.scope_rows import SEEDS_AND_IMAGES, widest
from l2study.core.wording import percent
from l2study.report import plot_helpers as plot
from l2study.report import style
from l2study.report.study import Study

_OTHERS = {"generalisation": "#0b3c5d", "split": "#e69f00"}
PARTS = {"lag": "#a9c9dd"} | _OTHERS
"""Colours of the parts of the reported gap. They differ in lightness as well as in hue."""

PARTS_WITH_MODE = {"lag_averaging": "#a9c9dd", "lag_mode": "#6f8f3f"} | _OTHERS
"""The same for a model that computes something else while it is trained."""


@plot.draws("means", "runs")
def gap(study: Study) -> Figure:
    """The gaps at the last epoch against lambda: mean, its interval, and every seed as a dot.

    The exchangeable gap is among them where it has a mean.
    """
    labels = {
        "gap_reported": "Reported gap\n(points)",
        "gap_generalisation": "Generalisation gap\n(points)",
        "gap_exchangeable": "Exchangeable gap\n(points)",
        "gap_ce": "Cross-entropy gap\n(nats)",
    }
    there = set(study.tables["means"]["measure"])
    labels = {measure: label for measure, label in labels.items() if measure in there}
    return plot.by_lambda(study, labels, 1.75, zero=True)


@plot.draws("means", "runs")
def decomposition(study: Study) -> Figure:
    """The reported gap at the last epoch as the sum of its parts, stacked, with intervals.

    Parts above zero are stacked upwards, parts below zero downwards. The interval of a part hangs
    at the outer end of its bar. The lag is two parts where the model has a mode of training.
    """
    runs, means = study.tables["runs"], widest(study.tables["means"], ["measure", "l2"])
    last = means.assign(gap=means["measure"].str.removeprefix("gap_")).sort_values("l2")
    values = plot.lambdas_of(runs)
    x = np.arange(len(values), dtype=float)
    drawing, (ax,) = style.stacked_panels(1, 3.5)
    ups, downs = np.zeros(len(values)), np.zeros(len(values))
    parts = PARTS_WITH_MODE if "lag_mode" in set(last["gap"]) else PARTS
    middle = (len(parts) - 1) / 2
    for rank, (kind, colour) in enumerate(parts.items()):
        mean, low, high = (
            (100 * last.loc[last["gap"] == kind, ["mean", "low", "high"]]).to_numpy().T
        )
        height = np.nan_to_num(mean)
        base = np.where(height >= 0, ups, downs)
        ax.bar(x, height, 0.56, base, color=colour, edgecolor="white", linewidth=0.8, label=kind)
        has = np.isfinite(high - low)
        place = (
            (x + 0.16 / middle * (rank - middle))[has],
            (base + height)[has],
            (high - low)[has] / 2,
        )
        for width, shade, order in ((3.2, "white", 3), (1.4, "0.25", 4)):
            ax.errorbar(*place, fmt="none", ecolor=shade, elinewidth=width, zorder=order,
                        label=f"interval:{kind}")  # fmt: skip
        ups, downs = np.maximum(ups, base + height), np.minimum(downs, base + height)
    plot.draw_means(ax, x + 0.38, last[last["gap"] == "reported"], 100.0, name="reported")
    ax.axhline(0, **style.ZERO_LINE)
    ax.set_ylabel("Gap (points of accuracy)")
    plot.mark_diverged(ax, runs, dict(zip(values, x, strict=True)))
    style.category_axis(ax, values)
    keys = [Patch(color=own, label=kind.replace("_", ": ")) for kind, own in parts.items()]
    keys.append(style.mean_key("reported gap, the sum"))
    columns = None if parts is PARTS else 3
    style.figure_key(drawing, keys, columns, columnspacing=1.2, handlelength=1.3)
    images = ", other seeds and images" if (means["scope"] == SEEDS_AND_IMAGES).any() else ""
    intervals = f"Lines: {percent(study.config['confidence'])} intervals{images}"
    ax.set_title(intervals, fontsize=8.5, color="0.35")
    return drawing
