"""What figures draw of the runs: seeds, means with intervals, curves, and what diverged."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS_AND_IMAGES, for_seeds, widest
from l2study.core.wording import possible, seed_list
from l2study.report.study import Study
from l2study.report.style import (
    RED,
    ZERO_LINE,
    beside,
    figure_key,
    lambda_axis,
    lambda_colours,
    lambda_name,
    lambda_positions,
    seed_and_mean_keys,
    side_step,
    stacked_panels,
)


def draws(*tables: str) -> Callable:
    """Make a function from a study to a matplotlib figure one of the report's figures.

    The figure is called as the function is, and so is the file with its caption. `tables` are the
    names of the tables that it draws; the study that it gets has no others.
    """

    def with_tables(function: Callable[[Study], Figure]) -> Callable[[Study], Figure]:
        function.tables = tables
        return function

    return with_tables


# --- runs -----------------------------------------------------------------------------------------


def lambdas_of(runs: pd.DataFrame) -> list[float]:
    """Return the lambdas of `runs`, ascending."""
    return sorted(runs["l2"].unique().tolist())


def completed(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the completed runs."""
    return runs[runs["status"] == "completed"]


def completed_histories(study: Study) -> pd.DataFrame:
    """Return the rows of the histories that belong to completed runs."""
    runs = completed(study.tables["runs"])
    return study.tables["histories"].merge(runs[["l2", "seed"]], on=["l2", "seed"])


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
    look = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 8, "color": RED}
    for value in sorted(set(runs["l2"]) - set(completed(runs)["l2"])):
        place = positions[value], 0.04
        ax.text(*place, "all diverged", transform=ax.get_xaxis_transform(), **look)


# --- seeds, and means with intervals --------------------------------------------------------------


def by_lambda(
    study: Study, labels: Mapping[str, str], height: float, zero: bool = False, alike: int = 1
) -> Figure:
    """Return a figure with a panel for each measure: seeds as dots, beside them mean and interval.

    `labels` are written beside the panels, each `height` inches high. `zero` draws a line at 0. The
    last panels, so many as `alike`, have the same scale.
    """
    means, runs = study.tables["means"], study.tables["runs"]
    positions = lambda_positions(runs["l2"])
    drawing, axes = stacked_panels(len(labels), height)
    for ax in axes[len(axes) - alike + 1 :]:
        ax.sharey(axes[-alike])
    for ax, (measure, label) in zip(axes, labels.items(), strict=True):
        if zero:
            ax.axhline(0, **ZERO_LINE)
        draw_seeds(ax, runs, measure, positions)
        draw_means_of(ax, means, measure, positions)
        ax.set_ylabel(label)
        mark_diverged(ax, runs, positions)
        lambda_axis(ax, positions, label=ax is axes[-1])
    keys = seed_and_mean_keys(study.config["confidence"], has_wide(means, labels))
    figure_key(drawing, keys)
    return drawing


def has_wide(means: pd.DataFrame, measures: Iterable[str]) -> bool:
    """Return whether a measure has an interval for other images, too."""
    wide = means["scope"] == SEEDS_AND_IMAGES
    return bool(means.loc[wide, "measure"].isin(list(measures)).any())


def draw_seeds(
    ax: Axes,
    runs: pd.DataFrame,
    measure: str,
    positions: Mapping[float, float],
    hollow: bool = False,
    shift: float = -1.2,
) -> None:
    """Draw a measure of every completed run, one dot per seed, each seed at its own offset.

    `shift` says where the dots are centred: so many steps to the right of their lambda.
    """
    runs = completed(runs).dropna(subset=measure)
    seeds = sorted(set(runs["seed"]))
    offsets = side_step(positions) * (shift + np.linspace(-0.9, 0.9, len(seeds)))
    offset = dict(zip(seeds, offsets, strict=True))
    x = [positions[v] + offset[s] for v, s in zip(runs["l2"], runs["seed"], strict=True)]
    colours = lambda_colours(positions)
    shades = [colours[v] for v in runs["l2"]]
    faces, edges = ("none", shades) if hollow else (shades, "none")
    ax.scatter(x, MEASURES[measure].scale * runs[measure], s=11, facecolors=faces,
               edgecolors=edges, alpha=0.7, linewidths=0.8, label=f"seeds:{measure}")  # fmt: skip


def draw_means(
    ax: Axes,
    x: np.ndarray,
    rows: pd.DataFrame,
    scale: float = 1.0,
    colour: str = "0.1",
    marker: str = "D",
    name: str = "",
    hollow: bool = False,
    width: float = 1.5,
) -> None:
    """Draw the column `mean` of `rows` at the places `x`, with `low` to `high` as its interval.

    All three may be missing. The line of the interval is `width` wide.
    """
    mean, low, high = (scale * rows[c].to_numpy(dtype=float) for c in ("mean", "low", "high"))
    has = np.isfinite(mean) & np.isfinite(low) & np.isfinite(high)
    ends = np.array([mean - low, high - mean])[:, has]
    ax.errorbar(x[has], mean[has], ends, fmt="none", ecolor=colour, elinewidth=width, capsize=2.5,
                capthick=1.2, zorder=4, label=f"interval:{name}")  # fmt: skip
    fill = "white" if hollow else colour
    ax.plot(x, mean, ls="none", marker=marker, ms=4, color=colour, mfc=fill, zorder=5,
            label=f"mean:{name}")  # fmt: skip


def draw_means_of(
    ax: Axes,
    means: pd.DataFrame,
    measure: str,
    positions: Mapping[float, float],
    shift: float = 1.0,
    **look: object,
) -> None:
    """Draw the means of `measure`, `shift` steps to the right of their lambdas, see `draw_means`.

    `means` is the table of means. Where it has an interval for other images too, that is a thin
    line, and that for other seeds a thick one without ends. None goes beyond what is possible.
    """
    own = means[means["measure"] == measure]
    ends = [possible(measure, low, high) for low, high in zip(own["low"], own["high"], strict=True)]
    own = own.assign(**pd.DataFrame(ends, own.index, ["low", "high"]))
    rows, scale = widest(own, ["l2"]), MEASURES[measure].scale
    x = beside(positions, rows["l2"], shift)
    both = has_wide(own, [measure])
    draw_means(ax, x, rows, scale, name=measure, width=1.0 if both else 1.5, **look)
    if both:
        narrow = for_seeds(own)
        low, high = scale * narrow["low"], scale * narrow["high"]
        x = beside(positions, narrow["l2"], shift)
        ax.vlines(x, low, high, color=look.get("colour", "0.1"), lw=3.2, label=f"alone:{measure}")


def draw_row(
    ax: Axes, y: float, value: float, low: float, high: float, width: float = 2.0, **mark: object
) -> None:
    """Draw a row of a forest plot: a mark at `value`, and its interval as a line `width` wide.

    `mark` is the look of the mark, for matplotlib; its colour is also the line's.
    """
    if np.isfinite(low):
        ax.hlines(y, low, high, color=mark["color"], lw=width)
    ax.plot(value, y, ls="none", **mark)


def name_rows(ax: Axes, names: list[str]) -> None:
    """Write the names of the rows of a forest plot beside them, the first one on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=True, axis="x")


def note_row(ax: Axes, y: float, text: str) -> None:
    """Write why the row `y` of a forest plot has no mark."""
    where = ax.get_yaxis_transform()
    ax.text(0.02, y, text, color=RED, fontsize=8, va="center", transform=where)


# --- curves ---------------------------------------------------------------------------------------


def curve(
    ax: Axes, rows: pd.DataFrame, column: str, scale: float = 1.0, band: bool = True, **line: object
) -> None:
    """Draw the mean of `column` over seeds by epoch, with a band from the lowest to the highest.

    `rows` are histories of the runs of one lambda. `line` is the look of the line; its colour is
    also the band's. Where epochs are left out, small dots show which ones have a value.
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
    ax.plot(by_epoch.index, by_epoch["mean"], **line)


def curves_by_lambda(ax: Axes, histories: pd.DataFrame, column: str, values: list) -> None:
    """Draw the curve of `column` for every lambda."""
    colours = lambda_colours(values)
    for value, rows in histories.groupby("l2"):
        style = "--" if value == 0 else "-"
        curve(ax, rows, column, color=colours[value], ls=style, label=lambda_name(value))


def end_labels(ax: Axes) -> None:
    """Name the lines of `ax` at their right ends, as near to them as the names' height allows.

    The y axis is linear. Set its limits first.
    """
    low, high = ax.get_ylim()
    ends = [(*line.get_xydata()[-1], line.get_label(), line.get_color()) for line in ax.lines]
    ends = sorted((end for end in ends if np.isfinite(end[1])), key=lambda end: end[1])
    if not ends:
        return
    heights = (np.array([y for _, y, *_ in ends]) - low) / (high - low)
    panel = 0.78 * ax.figure.get_figheight() / ax.get_gridspec().nrows
    steps = 0.15 / panel * np.arange(len(ends))
    # least squares under "at least a step apart" is isotonic regression of heights less steps
    spread = isotonic(np.clip(heights, 0, 1) - steps) + steps
    spread = spread - max(spread[-1] - 1.02, 0)
    for (x, y, text, colour), height in zip(ends, spread, strict=True):
        line = {"arrowstyle": "-", "color": colour, "lw": 1.0, "relpos": (0, 0.5)}
        ax.annotate(text, (x, np.clip(y, low, high)), (1.06, height), textcoords="axes fraction",
                    va="center", fontsize=8, arrowprops=line | {"shrinkA": 1, "shrinkB": 0},
                    )  # fmt: skip


def isotonic(values: np.ndarray) -> np.ndarray:
    """Return the non-decreasing numbers nearest to `values`, by the min-max formula.

    Of few numbers, as here, they are found before scipy.optimize is imported. Robertson, Wright and
    Dykstra, Order Restricted Statistical Inference (1988), theorem 1.4.4.
    """
    count = len(values)
    sums = np.concatenate([[0], np.cumsum(values)])
    means = [[(sums[b] - sums[a]) / (b - a) for b in range(a + 1, count + 1)] for a in range(count)]
    return np.array([max(min(means[a][i - a :]) for a in range(i + 1)) for i in range(count)])
