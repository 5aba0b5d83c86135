"""The figure of results as curves over lambda."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from l2study.core.measures import MEASURES
from l2study.core.scope_rows import widest
from l2study.core.wording import percent
from l2study.report import plot_helpers as plot
from l2study.report import style
from l2study.report.study import Study

BLUE = "#3b83b0"

_LABELS = {
    "val_ce": "Validation\ncross-entropy (nats)",
    "val_accuracy": "Validation accuracy (%)",
    "test_accuracy": "Test accuracy (%)",
}


@plot.draws("dose_response", "equivalence", "means", "runs")
def dose_response(study: Study) -> Figure:
    """Results over lambda: means, and where it holds a curve with its band and the range as good.

    Lambdas between 0 and the next one have no place, and the curve is dashed there.
    """
    runs, means = study.tables["runs"], study.tables["means"]
    positions = style.lambda_positions(runs["l2"])
    drawing, axes = style.stacked_panels(len(_LABELS), 1.9)
    for ax, (measure, label) in zip(axes, _LABELS.items(), strict=True):
        curve = _of(study.tables["dose_response"], measure)
        rows = widest(means[means["measure"] == measure], ["l2"])
        scale = MEASURES[measure].scale
        if curve.empty:
            plot.draw_means_of(ax, means, measure, positions, 0)
            look = {"transform": ax.transAxes, "color": style.RED, "fontsize": 8, "ha": "right"}
            ax.text(0.99, 0.95, "the curve does not hold: points alone", va="top", **look)
        else:
            _draw_curve(ax, curve, positions, scale)
            x = [positions[value] for value in rows["l2"]]
            look = {"marker": "D", "ms": 4, "color": "0.1", "zorder": 5}
            ax.plot(x, scale * rows["mean"], ls="none", label=f"mean:{measure}", **look)
            for row in _of(study.tables["equivalence"], measure).dropna().itertuples():
                ends = places([row.low_l2, row.high_l2], positions)
                where = {"transform": ax.get_xaxis_transform(), "solid_capstyle": "butt"}
                ax.plot(ends, [0.03, 0.03], color=style.ZERO_COLOUR, lw=4, label="as good", **where)
        ax.set_ylabel(label)
        plot.mark_diverged(ax, runs, positions)
        style.lambda_axis(ax, positions, label=ax is axes[-1])
    level = percent(study.config["confidence"])
    keys = [style.dot_key("mean", marker="D", ms=4, color="0.1")]
    drawn = {line.get_label() for ax in axes for line in ax.lines}
    if "curve" in drawn:
        keys.append(Patch(color=BLUE, alpha=0.25, label=f"curve, {level} band"))
    if "as good" in drawn:
        keys.append(Patch(color=style.ZERO_COLOUR, label="as good as the best"))
    style.figure_key(drawing, keys)
    return drawing


def _of(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the rows of a measure; a table may be empty, without columns."""
    return table[table["measure"] == measure] if len(table) else table


def _draw_curve(ax: Axes, curve: pd.DataFrame, positions: dict, scale: float) -> None:
    curve = curve.sort_values("l2")
    x = places(curve["l2"], positions)
    value, low, high = (scale * curve[name].to_numpy() for name in ("value", "low", "high"))
    ax.fill_between(x, low, high, color=BLUE, alpha=0.25, lw=0, label="band")
    smallest = min(positions[value] for value in positions if value > 0)
    for part, look in ((x >= smallest, "-"), (x <= smallest, "--")):
        ax.plot(x[part], value[part], ls=look, color=BLUE, label="curve")


def places(lambdas: Sequence[float], positions: dict) -> np.ndarray:
    """Return the places of lambdas on the axis; between 0 and the next one evenly by logarithm.

    The table has 0 a decade below the next one, and the axis some other step.
    """
    first = min(value for value in positions if value > 0)
    step = positions[first] - positions.get(0.0, positions[first])
    above = np.log10(np.maximum(lambdas, first / 10) / first)
    return positions[first] + np.where(above < 0, step * above, above)
