"""What figures draw of the runs: seeds, means with intervals, curves, and what diverged."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.wording import seed_list
from l2study.report.style import (
    RED,
    lambda_axis,
    lambda_colours,
    lambda_name,
    lambda_positions,
    side_step,
)


def lambdas_of(runs: pd.DataFrame) -> list[float]:
    """Return the lambdas of `runs`, ascending."""
    return sorted(runs["l2"].unique().tolist())


def completed(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the completed runs."""
    return runs[runs["status"] == "completed"]


def of_completed(histories: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `histories` that belong to completed runs."""
    return histories.merge(completed(runs)[["l2", "seed"]], on=["l2", "seed"])


def diverged_text(runs: pd.DataFrame) -> str:
    """Return the line that names the diverged runs, or nothing if there are none."""
    parts = []
    for value, group in runs.groupby("l2"):
        seeds = group.loc[group["status"] == "diverged", "seed"]
        if len(seeds) == len(group):
            parts.append(f"λ = {l2_label(value)} every seed ({seed_list(seeds)})")
        elif len(seeds):
            parts.append(f"λ = {l2_label(value)} {seed_list(seeds)}")
    return f"Diverged and left out: {'; '.join(parts)}." if parts else ""


def mark_diverged(ax: Axes, runs: pd.DataFrame, positions: Mapping[float, float]) -> None:
    """Write at the place of a lambda without a completed run why nothing is drawn there."""
    for value in sorted(set(runs["l2"]) - set(completed(runs)["l2"])):
        ax.text(
            positions[value],
            0.04,
            "all diverged",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=8,
            color=RED,
            transform=ax.get_xaxis_transform(),
        )


def draw_seeds(
    ax: Axes,
    runs: pd.DataFrame,
    column: str,
    positions: Mapping[float, float],
    scale: float = 1.0,
    hollow: bool = False,
    shift: float = -1.2,
) -> None:
    """Draw `column` of every run against lambda, one dot per seed, each seed at its own offset.

    `shift` says where the dots are centred: so many steps to the right of their lambda.
    """
    runs, unit, order = runs[runs[column].notna()], side_step(positions), sorted(set(runs["seed"]))
    offsets = dict(zip(order, unit * (shift + np.linspace(-0.9, 0.9, len(order))), strict=True))
    x = [positions[v] + offsets[s] for v, s in zip(runs["l2"], runs["seed"], strict=True)]
    colours = lambda_colours(positions)
    shades = [colours[v] for v in runs["l2"]]
    ax.scatter(
        x,
        scale * runs[column],
        s=11,
        facecolors="none" if hollow else shades,
        edgecolors=shades if hollow else "none",
        alpha=0.7,
        linewidths=0.8,
        label=f"seeds:{column}",
    )


def draw_means(
    ax: Axes,
    x: np.ndarray,
    rows: pd.DataFrame,
    scale: float = 1.0,
    colour: str = "0.1",
    marker: str = "D",
    name: str = "",
    hollow: bool = False,
) -> None:
    """Draw the column `mean` of `rows` at the places `x`, with `low` to `high` as its interval.

    All three may be missing.
    """
    mean, low, high = (scale * rows[c].to_numpy(dtype=float) for c in ("mean", "low", "high"))
    has = np.isfinite(mean) & np.isfinite(low) & np.isfinite(high)
    ax.errorbar(
        x[has],
        mean[has],
        [(mean - low)[has], (high - mean)[has]],
        fmt="none",
        ecolor=colour,
        elinewidth=1.5,
        capsize=2.5,
        capthick=1.2,
        zorder=4,
        label=f"interval:{name}",
    )
    ax.plot(
        x,
        mean,
        ls="none",
        marker=marker,
        ms=4,
        color=colour,
        mfc="white" if hollow else colour,
        zorder=5,
        label=f"mean:{name}",
    )


def means_of(
    ax: Axes,
    means: pd.DataFrame,
    measure: str,
    positions: Mapping[float, float],
    shift: float = 1.0,
    **look: object,
) -> None:
    """Draw the means of `measure` against lambda, `shift` steps to the right of their lambdas.

    Args:
        ax: where to draw.
        means: the table of means.
        measure: one of its measures.
        positions: the place of every lambda.
        shift: in units of `side_step`.
        look: see `draw_means`.
    """
    rows = means[means["measure"] == measure]
    x = np.array([positions[v] + shift * side_step(positions) for v in rows["l2"]])
    draw_means(ax, x, rows, name=measure, **look)


def draw_by_lambda(
    ax: Axes,
    runs: pd.DataFrame,
    means: pd.DataFrame,
    measure: str,
    label: str,
    axis_label: bool = True,
) -> None:
    """Draw a measure against lambda: the seeds as dots, and beside them their mean and interval."""
    positions, scale = lambda_positions(runs["l2"]), MEASURES[measure].scale
    draw_seeds(ax, completed(runs), measure, positions, scale)
    means_of(ax, means, measure, positions, scale=scale)
    ax.set_ylabel(label)
    mark_diverged(ax, runs, positions)
    lambda_axis(ax, positions, label=axis_label)


def curve(
    ax: Axes, rows: pd.DataFrame, column: str, scale: float = 1.0, band: bool = True, **line: object
) -> Line2D:
    """Draw the mean of `column` over seeds by epoch, with a band from the lowest to the highest.

    Where epochs are left out, small dots show which ones have a value.

    Args:
        ax: where to draw.
        rows: histories of the runs of one lambda.
        column: what to draw.
        scale: what its numbers are multiplied by.
        band: whether to draw the band.
        line: the look of the line, for matplotlib; its colour is also the band's.
    """
    # seaborn.lineplot draws the same pixels, and takes seven times as long
    by_epoch = scale * rows.dropna(subset=column).groupby("epoch")[column].agg(
        ["mean", "min", "max"]
    )
    if (np.diff(by_epoch.index) > 1).any():
        line = {"marker": "o", "ms": 2.0} | line
    if band:
        low, high, colour = by_epoch["min"], by_epoch["max"], line["color"]
        ax.fill_between(by_epoch.index, low, high, color=colour, alpha=0.15, lw=0)
    return ax.plot(by_epoch.index, by_epoch["mean"], **line)[0]


def curves_by_lambda(ax: Axes, histories: pd.DataFrame, column: str, values: list) -> None:
    """Draw the curve of `column` for every lambda."""
    colours = lambda_colours(values)
    for value, rows in histories.groupby("l2"):
        style = "--" if value == 0 else "-"
        curve(ax, rows, column, color=colours[value], ls=style, label=lambda_name(value))


def end_labels(ax: Axes) -> None:
    """Name the lines of `ax` at their right ends, as near to them as the names' height allows.

    Set the limits of the y axis first.
    """
    low, high = ax.get_ylim()
    ends = [(line.get_xydata()[-1], line.get_label(), line.get_color()) for line in ax.lines]
    places = [(x, y, text, colour) for (x, y), text, colour in ends if np.isfinite(y)]
    if not places:
        return
    unit = ax.transScale.transform
    bottom, top = unit((1, low))[1], unit((1, high))[1]
    heights = np.array([(unit((1, y))[1] - bottom) / (top - bottom) for _, y, _, _ in places])
    order = np.argsort(heights, kind="stable")
    panel = ax.get_gridspec().nrows
    gap = 0.15 / (0.78 * ax.figure.get_figheight() / panel)
    steps = gap * np.arange(len(places))
    # least squares under "at least `gap` apart" is isotonic regression of the heights less steps
    spread = isotonic(np.clip(heights[order], 0, 1) - steps) + steps
    spread = spread - max(spread[-1] - 1.02, 0)
    for rank, index in enumerate(order):
        x, y, text, colour = places[index]
        ax.annotate(
            text,
            xy=(x, np.clip(y, min(low, high), max(low, high))),
            xycoords="data",
            xytext=(1.06, spread[rank]),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "lw": 1.0,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )


def isotonic(values: np.ndarray) -> np.ndarray:
    """Return the non-decreasing numbers nearest to `values`, by the min-max formula.

    Of few numbers, as here, they are found before scipy.optimize is imported. Robertson, Wright and
    Dykstra, Order Restricted Statistical Inference (1988), theorem 1.4.4.
    """
    count = len(values)
    sums = np.concatenate([[0], np.cumsum(values)])
    means = [[(sums[b] - sums[a]) / (b - a) for b in range(a + 1, count + 1)] for a in range(count)]
    return np.array([max(min(means[a][i - a :]) for a in range(i + 1)) for i in range(count)])
