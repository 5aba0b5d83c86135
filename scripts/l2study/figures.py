"""Figures of a study: each takes tables as data frames and returns a matplotlib figure.

A figure is a function decorated with `figure`. Its name is the figure's name, its parameters are
the names of the tables it draws (and `confidence`, where it says how wide an interval is). Files
are the same bytes for the same tables, see `render`.
"""

import inspect
import io
import textwrap
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy.optimize import isotonic_regression

from l2study.files import replacing
from l2study.labels import l2_label
from l2study.statistics import SMOOTHING, mean_interval, smoothed_rise
from l2study.wording import MEASURES, percent, seed_list

WIDTH = 5.2
"""Width of every figure in inches: its text is as large as the page's on a desk, and still legible
when the figure is shrunk to the width of a phone."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.35",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "0.91",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "l2study",
    "path.simplify": True,
}

ZERO_COLOUR = "#d55e00"
GREY = "0.45"
RED = "#8c2d04"
PARTS = {"lag": "#a9c9dd", "generalisation": "#0b3c5d", "split": "#e69f00"}
"""Colours of the parts of the reported gap; they differ in lightness as well as in hue."""

FIGURES: dict[str, Callable[..., Figure]] = {}
"""Every figure by its name."""

MEAN = ("mean", "mean_low", "mean_high")
VARIANCE = ("variance", "variance_low", "variance_high")

Place = tuple[float, float, str, object]
"""x and y in data coordinates, a label, a colour."""


def figure(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Register a plotting function under its name and draw it in the project's style.

    Where no run of the table `runs` completed, the figure says so instead.
    """

    @wraps(function)
    def styled(runs: pd.DataFrame, **tables: object) -> Figure:
        with mpl.rc_context(STYLE):
            if (runs["status"] == "completed").any():
                drawing = function(runs=runs, **tables)
            else:
                drawing = _message("No run of this study completed: there is nothing to draw.")
            if text := diverged_text(runs):
                lines = textwrap.fill(text, 85, break_long_words=False)
                drawing.supxlabel(lines, fontsize=8, x=0.01, ha="left", color=RED)
            return drawing

    FIGURES[function.__name__] = styled
    return styled


def _message(text: str) -> Figure:
    """Return a low figure that says why nothing is drawn."""
    drawing, (ax,) = stacked_panels(1, 0.9, extra=0)
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    return drawing


def tables_of(name: str) -> list[str]:
    """Return the names of the tables that the figure `name` draws."""
    return [p for p in inspect.signature(FIGURES[name]).parameters if p != "confidence"]


def draw(name: str, tables: Mapping[str, pd.DataFrame], confidence: float) -> Figure:
    """Return the figure `name` drawn from `tables`, whose intervals have level `confidence`.

    Raises:
        KeyError: there is no figure `name`, or a table it needs is missing.
    """
    function = FIGURES[name]
    arguments = {table: tables[table] for table in tables_of(name)}
    if "confidence" in inspect.signature(function).parameters:
        arguments["confidence"] = confidence
    return function(**arguments)


def render(drawing: Figure) -> dict[str, bytes]:
    """Return `drawing` as the bytes of a `png` (192 dots per inch) and an `svg` (text as paths).

    They do not say when or with what they were made: equal drawings give equal bytes.
    """
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    files = {kind: io.BytesIO() for kind in metadata}
    with mpl.rc_context(STYLE):
        for kind, file in files.items():
            drawing.savefig(file, format=kind, dpi=192, metadata=metadata[kind])
    return {kind: file.getvalue() for kind, file in files.items()}


def save(files: Mapping[str, bytes], folder: Path, name: str) -> None:
    """Write what `render` returned to `folder`/`name`.png and .svg, each whole or not at all."""
    for kind, content in files.items():
        with replacing(Path(folder) / f"{name}.{kind}") as path:
            path.write_bytes(content)


# --- lambdas: colours, places on an axis ----------------------------------------------------------


def lambda_colours(values: Iterable[float]) -> dict[float, tuple[float, float, float]]:
    """Return a colour for every lambda: darker for a larger one, and orange for 0.

    The shades are seaborn's `crest`, whose lightness falls steadily, so that their order survives
    print in greyscale and colour blindness.
    """
    positive = sorted({v for v in values if v > 0})
    shades = sns.color_palette("crest", as_cmap=True)(np.linspace(0.2, 1.0, max(len(positive), 2)))
    shades = shades[-len(positive) :] if positive else []
    colours = {v: tuple(shade[:3]) for v, shade in zip(positive, shades, strict=True)}
    return {0.0: mpl.colors.to_rgb(ZERO_COLOUR), **colours}


def lambda_positions(values: Iterable[float]) -> dict[float, float]:
    """Return the place of every lambda on a logarithmic axis: log10, and 0 a step to the left."""
    values = sorted({float(v) for v in values})
    positions = {v: float(np.log10(v)) for v in values if v > 0}
    if 0.0 in values:
        places = sorted(positions.values())
        span = places[-1] - places[0] if places else 0.0
        positions[0.0] = (places[0] if places else 0.0) - max(0.2 * span, 0.5)
    return dict(sorted(positions.items()))


def lambda_axis(
    ax: Axes, positions: Mapping[float, float], label: bool = True, share: float = 0.77
) -> None:
    """Turn the x axis of `ax` into one of lambda, with a mark where it breaks before 0.

    `share` of the figure's width is about what the axis takes; it decides which labels fit.
    """
    places = np.array(list(positions.values()))
    span = max(np.ptp(places), 0.5)
    ax.set_xlim(places.min() - 0.07 * span, places.max() + 0.07 * span)
    inches = share * WIDTH * np.diff(places) / (1.14 * span)
    longest = max(len(l2_label(v)) for v in positions)
    crowded = len(inches) > 0 and inches.min() < 0.07 * longest + 0.04
    shown, last = [], -np.inf
    for value, place in positions.items():
        room = share * WIDTH * (place - last) / (1.14 * span)
        shown.append(l2_label(value) if room >= 0.15 else "")
        last = place if shown[-1] else last
    ax.set_xticks(places, shown)
    if crowded:
        ax.tick_params(axis="x", labelrotation=45, pad=1)
        for tick in ax.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    if 0.0 in positions and len(positions) > 1:
        middle = (positions[0.0] + min(p for v, p in positions.items() if v > 0)) / 2
        ax.plot(
            [middle - 0.008 * span, middle + 0.008 * span],
            [0, 0],
            color="white",
            lw=3,
            transform=ax.get_xaxis_transform(),
            clip_on=False,
            zorder=9,
            gid="break",
        )
        for shift in (-0.008, 0.008):
            ax.plot(
                middle + shift * span,
                0,
                marker=[(-0.5, -1), (0.5, 1)],
                ms=8,
                color="0.35",
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                zorder=10,
                gid="break",
            )
    if label:
        apart = ", 0 set apart" if 0.0 in positions else ""
        ax.set_xlabel(f"λ (logarithmic{apart})" if len(positions) > 1 else "λ")


def side_step(positions: Mapping[float, float]) -> float:
    """Return the step in which marks are set beside each other at the place of one lambda."""
    places = np.array(list(positions.values()))
    return min(0.12 * np.diff(places).min(), 0.016 * np.ptp(places)) if len(places) > 1 else 0.007


def _dots(
    ax: Axes,
    runs: pd.DataFrame,
    column: str,
    positions: Mapping[float, float],
    scale: float = 1.0,
    hollow: bool = False,
    shift: float = -1.2,
) -> None:
    """Draw `column` of every run against lambda, one dot per seed, each seed at its own offset.

    `shift` is where they are centred beside the place of their lambda, in `_unit`s.
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
    table: pd.DataFrame,
    columns: tuple[str, str, str],
    scale: float = 1.0,
    colour: str = "0.1",
    marker: str = "D",
    name: str = "",
    hollow: bool = False,
) -> None:
    """Draw means with their intervals; `columns` are mean, low and high, which may be missing."""
    mean, low, high = (scale * table[c].to_numpy(dtype=float) for c in columns)
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


def _run_means(runs: pd.DataFrame, column: str, confidence: float) -> pd.DataFrame:
    """Return l2, mean, low and high of `column` over the runs of every lambda."""
    rows = [(v, *mean_interval(group[column], confidence)[:3]) for v, group in runs.groupby("l2")]
    return pd.DataFrame(rows, columns=["l2", "mean", "low", "high"])


# --- runs: which there are, and which diverged ----------------------------------------------------


def _completed(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["status"] == "completed"]


def _of_completed(histories: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `histories` that belong to completed runs."""
    return histories.merge(_completed(runs)[["l2", "seed"]], on=["l2", "seed"])


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


def _mark_diverged(ax: Axes, runs: pd.DataFrame, positions: Mapping[float, float]) -> None:
    """Write at the place of a lambda without a completed run why nothing is drawn there."""
    for value in sorted(set(runs["l2"]) - set(_completed(runs)["l2"])):
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


# --- parts of drawings ----------------------------------------------------------------------------


def stacked_panels(rows: int, height: float, share: bool = True, extra: float = 0.5) -> tuple:
    """Return a figure of `rows` panels below each other, each `height` inches high, and its axes.

    `extra` inches are for what they have in common: the axis label, a key, a note.
    """
    drawing = Figure(figsize=(WIDTH, rows * height + extra), layout="constrained")
    drawing.get_layout_engine().set(h_pad=0.06, w_pad=0.05, hspace=0.03)
    return drawing, drawing.subplots(rows, 1, sharex=share, squeeze=False)[:, 0]


def _band(histories: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return mean, smallest and largest value of `column` over seeds, per lambda and epoch."""
    rows = histories[histories[column].notna()]
    return rows.groupby(["l2", "epoch"])[column].agg(["mean", "min", "max"]).reset_index()


def _end_labels(ax: Axes, places: Iterable[Place]) -> None:
    """Name lines at their right ends, the names as near their lines as their height allows."""
    low, high = ax.get_ylim()
    places = [p for p in places if np.isfinite(p[1])]
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
    spread = isotonic_regression(np.clip(heights[order], 0, 1) - steps).x + steps
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


def _lambda_name(value: float) -> str:
    return f"λ = {l2_label(value)}"


def _epoch_axis(ax: Axes, histories: pd.DataFrame, label: bool = True) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlim(0, max(float(histories["epoch"].max()), 1.0))
    if label:
        ax.set_xlabel("Epoch (0: before any step)")


def _log_axis(axis: Axis) -> None:
    """Make `axis` logarithmic, with plain numbers as labels also where it spans under a decade."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    _plain_log_ticks(axis, high / low)


def _plain_log_ticks(axis: Axis, ratio: float) -> None:
    """Label 1, 2, 5 and so on of every decade: the more, the smaller the `ratio` of the limits."""
    subs = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 5 else (1, 2, 5) if ratio < 100 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda number, _: l2_label(f"{number:g}")))
    axis.set_minor_formatter(NullFormatter())


def _lines_by_lambda(ax: Axes, histories: pd.DataFrame, column: str, values: list) -> list[Place]:
    """Draw mean and band of `column` over epochs for every lambda; return the lines' ends."""
    band, colours, ends = _band(histories, column), lambda_colours(values), []
    for value, rows in band.groupby("l2"):
        colour = colours[value]
        ax.fill_between(rows["epoch"], rows["min"], rows["max"], color=colour, alpha=0.15, lw=0)
        (line,) = ax.plot(
            rows["epoch"],
            rows["mean"],
            color=colour,
            ls="--" if value == 0 else "-",
            label=_lambda_name(value),
        )
        x, y = line.get_xdata()[-1], line.get_ydata()[-1]
        ends.append((x, y, _lambda_name(value), colour))
    return ends


def _lambdas(runs: pd.DataFrame) -> list[float]:
    return sorted(runs["l2"].unique().tolist())


def _last(gap: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the rows of `gap` for one kind at the last epoch, by lambda."""
    return gap[(gap["gap"] == kind) & (gap["epoch"] == gap["epoch"].max())].sort_values("l2")


# --- the figures ----------------------------------------------------------------------------------


@figure
def gap(gap: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """Three gaps at the last epoch against lambda: mean, its interval, and every seed as a dot."""
    panels = {
        "reported": "Reported gap\n(points)",
        "generalisation": "Generalisation gap\n(points)",
        "ce": "Cross-entropy gap\n(nats)",
    }
    positions = lambda_positions(_lambdas(runs))
    drawing, axes = stacked_panels(len(panels), 1.75)
    for ax, (kind, label) in zip(axes, panels.items(), strict=True):
        scale = 1.0 if kind == "ce" else 100.0
        rows = _last(gap, kind)
        ax.axhline(0, color="0.35", lw=0.9)
        _dots(ax, _completed(runs), f"gap_{kind}", positions, scale)
        x = np.array([positions[v] + side_step(positions) for v in rows["l2"]])
        draw_means(ax, x, rows, MEAN, scale, name=kind)
        ax.set_ylabel(label)
        _mark_diverged(ax, runs, positions)
        lambda_axis(ax, positions, label=ax is axes[-1])
    figure_key(drawing, [*_dot_key(), mean_key(f"mean and {percent(confidence)} interval")])
    return drawing


def _dot_key() -> list[Line2D]:
    return [Line2D([], [], ls="none", marker="o", ms=3.8, color="0.55", label="one seed")]


def mean_key(text: str, marker: str = "D", colour: str = "0.1", hollow: bool = False) -> Line2D:
    """Return the entry of a key for means drawn with `marker`, filled or not."""
    fill = "white" if hollow else colour
    return Line2D([], [], marker=marker, ms=4.5, color=colour, mfc=fill, lw=1.5, label=text)


def figure_key(drawing: Figure, handles: list, columns: int | None = None) -> None:
    """Put the entries `handles` into a key above `drawing`, in one row or in `columns`."""
    drawing.legend(handles=handles, loc="outside upper left", ncols=columns or len(handles))


@figure
def gap_variance(gap: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """Variance over seeds of two gaps at the last epoch against lambda, with its interval."""
    positions = lambda_positions(_lambdas(runs))
    drawing, (ax,) = stacked_panels(1, 3.0)
    unit = 0.9 * side_step(positions)
    series = {"reported": ("0.1", "D", -unit), "generalisation": ("#3b83b0", "o", unit)}
    handles = []
    for kind, (colour, marker, offset) in series.items():
        rows = _last(gap, kind)
        # a variance of exactly 0 has no place on a logarithmic axis
        rows = rows.assign(variance=rows["variance"].where(rows["variance"] > 0))
        x = np.array([positions[v] + offset for v in rows["l2"]])
        draw_means(ax, x, rows, VARIANCE, 1e4, colour, marker, kind)
        handles.append(mean_key(f"{kind} gap", marker, colour))
    ax.set_ylabel("Variance over seeds (points²)")
    _log_axis(ax.yaxis)
    deviation = ax.secondary_yaxis("right", functions=(np.sqrt, np.square))
    deviation.set_ylabel("Standard deviation (points)")
    low, high = ax.get_ylim()
    _plain_log_ticks(deviation.yaxis, (high / low) ** 0.5)
    _mark_diverged(ax, runs, positions)
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


@figure
def decomposition(gap: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """The reported gap at the last epoch as the sum of its parts, stacked, with intervals.

    Parts above zero are stacked upwards, parts below zero downwards. The interval of a part hangs
    at the outer end of its bar.
    """
    values = _lambdas(runs)
    drawing, (ax,) = stacked_panels(1, 3.5)
    ups, downs = np.zeros(len(values)), np.zeros(len(values))
    x = np.arange(len(values), dtype=float)
    handles = []
    for rank, (kind, colour) in enumerate(PARTS.items()):
        rows = _last(gap, kind).set_index("l2").reindex(values)
        mean = 100 * rows["mean"].to_numpy(dtype=float)
        height = np.nan_to_num(mean)
        base = np.where(height >= 0, ups, downs)
        ax.bar(x, height, 0.56, base, color=colour, edgecolor="white", linewidth=0.8, label=kind)
        half = 50 * (rows["mean_high"] - rows["mean_low"]).to_numpy(dtype=float)
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
    rows = _last(gap, "reported").set_index("l2").reindex(values)
    draw_means(ax, x + 0.38, rows, MEAN, 100.0, name="reported")
    handles.append(mean_key("reported gap, the sum"))
    ax.axhline(0, color="0.35", lw=0.9)
    ax.set_ylabel("Gap (points of accuracy)")
    _mark_diverged(ax, runs, dict(zip(values, x, strict=True)))
    _category_axis(ax, values)
    drawing.legend(
        handles=handles, loc="outside upper left", ncols=4, columnspacing=1.2, handlelength=1.3
    )
    ax.set_title(f"Lines: {percent(confidence)} intervals", fontsize=8.5, color="0.35")
    return drawing


def _category_axis(ax: Axes, values: list[float], label: bool = True) -> None:
    """Name evenly spaced lambdas on the x axis of `ax`, with room at the sides if they are few."""
    spare = max(0.0, (4 - len(values)) / 2)
    ax.set_xlim(-0.6 - spare, len(values) - 0.3 + spare)
    ax.set_xticks(range(len(values)), [l2_label(v) for v in values])
    if len(values) > 8:
        ax.tick_params(axis="x", labelrotation=45, pad=1)
        for tick in ax.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    if label:
        ax.set_xlabel("λ (evenly spaced)" if len(values) > 1 else "λ")


@figure
def learning_curves(histories: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Loss, cross-entropy and accuracy over epochs, training against validation, a row per lambda.

    Lines are means over completed runs, bands reach from the lowest to the highest seed. A diverged
    run is a thin grey line that ends in a cross.
    """
    values = _lambdas(runs)
    curves = {
        "Loss (nats)": ("train_loss", "val_loss", "train_loss_running"),
        "Cross-entropy (nats)": ("train_ce", "val_ce", None),
        "Accuracy (%)": ("train_accuracy", "val_accuracy", "train_accuracy_running"),
    }
    drawing = Figure(figsize=(WIDTH, 1.1 * len(values) + 1.0), layout="constrained")
    drawing.get_layout_engine().set(h_pad=0.03, w_pad=0.03, hspace=0.02, wspace=0.02)
    axes = drawing.subplots(len(values), 3, sharex=True, sharey="col", squeeze=False)
    complete = _of_completed(histories, runs)
    partial = histories.merge(runs.loc[runs["status"] == "diverged", ["l2", "seed"]])
    colours = lambda_colours(values)
    for column, (title, (train, val, running)) in enumerate(curves.items()):
        scale = 100.0 if "accuracy" in train else 1.0
        _curve_limits(axes[0, column], complete, train, val, scale)
        bands = {c: _band(complete, c) for c in (train, val, running) if c}
        for row, value in enumerate(values):
            ax = axes[row, column]
            for name, style in ((train, "-"), (val, "--"), (running, ":")):
                if name is None:
                    continue
                rows = bands[name][bands[name]["l2"] == value]
                shade = GREY if style == ":" else colours[value]
                if style != ":":
                    ax.fill_between(
                        rows["epoch"],
                        scale * rows["min"],
                        scale * rows["max"],
                        color=shade,
                        alpha=0.15,
                        lw=0,
                    )
                ax.plot(
                    rows["epoch"],
                    scale * rows["mean"],
                    ls=style,
                    color=shade,
                    label=name,
                    lw=1.1 if style == ":" else 1.4,
                )
            for _, run in partial[partial["l2"] == value].groupby("seed"):
                ax.plot(run["epoch"], scale * run[train], color=GREY, lw=0.7, label="diverged")
                end = np.clip(scale * run[train].iloc[-1:], *ax.get_ylim())
                ax.plot(
                    run["epoch"].iloc[-1:], end, "x", color=RED, ms=5, clip_on=False, label="end"
                )
            if row == 0:
                ax.set_title(title, fontsize=9)
            if column == 0:
                ax.set_ylabel(_lambda_name(value))
    for ax in axes[-1]:
        _epoch_axis(ax, histories, label=False)
    axes[-1, 1].set_xlabel("Epoch (0: before any step)")
    keys = [
        Line2D([], [], color="0.2", label="training"),
        Line2D([], [], color="0.2", ls="--", label="validation"),
        Line2D([], [], color=GREY, ls=":", lw=1.1, label="training, running mean"),
    ]
    drawing.legend(handles=keys, loc="outside upper center", ncols=3)
    return drawing


def _curve_limits(ax: Axes, histories: pd.DataFrame, train: str, val: str, scale: float) -> None:
    """Set the y axis: accuracies from epoch 1 on (epoch 0 is far below), the rest logarithmic."""
    accuracy = "accuracy" in train
    rows = histories[histories["epoch"] >= 1] if accuracy else histories
    numbers = scale * rows[[train, val]].to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = numbers.min(), numbers.max()
    if accuracy:
        margin = 0.05 * max(high - low, 1.0)
        ax.set_ylim(low - margin, min(high + margin, 100.5))
    else:
        low = max(low, 1e-6)
        ax.set_ylim(low / 1.2, max(high, low) * 1.2)
        _log_axis(ax.yaxis)


@figure
def weight_norm(histories: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """Frobenius norm of the regularised weights: over epochs, and at the end against lambda.

    At the end also that of the rows of the first kernel fed by inputs that are lit in training data
    and by inputs that never are.
    """
    values = _lambdas(runs)
    positions = lambda_positions(values)
    drawing, (top, bottom) = stacked_panels(2, 2.6, share=False)
    complete = _of_completed(histories, runs)
    ends = _lines_by_lambda(top, complete, "weight_norm", values)
    top.set_ylabel("Norm of the\nregularised weights")
    _epoch_axis(top, complete)
    top.set_ylim(bottom=0)
    _end_labels(top, ends)
    _dots(bottom, _completed(runs), "weight_norm", positions)
    series = {
        "weight_norm": ("0.1", "D", "all regularised weights"),
        "weight_norm_lit": ("#3b83b0", "o", "first layer, inputs lit in training"),
        "weight_norm_never_lit": (ZERO_COLOUR, "v", "first layer, inputs never lit"),
    }
    for rank, (column, (colour, marker, _)) in enumerate(series.items()):
        means = _run_means(_completed(runs), column, confidence)
        x = np.array([positions[v] + (0.5 + rank) * side_step(positions) for v in means["l2"]])
        draw_means(bottom, x, means, ("mean", "low", "high"), 1.0, colour, marker, column)
    handles = [mean_key(text, marker, colour) for colour, marker, text in series.values()]
    bottom.set_ylabel("Norm at the\nlast epoch")
    bottom.set_ylim(bottom=0)
    bottom.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.03, 1.0))
    _mark_diverged(bottom, runs, positions)
    lambda_axis(bottom, positions, share=0.66)
    return drawing


@figure
def loss_parts(histories: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """The loss as cross-entropy plus penalty, before training and after the last epoch, by lambda.

    Bars are training's, means over completed runs. Diamonds before training are what Keras prints
    for epoch 1, the running mean; circles after the last epoch are the validation loss.
    """
    values = _lambdas(runs)
    complete = _of_completed(histories, runs)
    drawing, axes = stacked_panels(2, 2.3)
    x = np.arange(len(values), dtype=float)
    last = complete["epoch"].max()
    panels = (
        (0, "Before any step", 1, "train_loss_running", "D", "running mean of epoch 1"),
        (last, f"After epoch {last}", last, "val_loss", "o", "validation loss"),
    )
    for ax, (epoch, title, other_epoch, other, marker, text) in zip(axes, panels, strict=True):
        rows = complete[complete["epoch"] == epoch].groupby("l2").mean().reindex(values)
        ce, penalty = (np.nan_to_num(rows[c].to_numpy(float)) for c in ("train_ce", "penalty"))
        ax.bar(x, ce, 0.56, color="#a9c9dd", edgecolor="white", label="cross-entropy")
        ax.bar(x, penalty, 0.56, ce, color="#0b3c5d", edgecolor="white", label="penalty")
        single = complete[complete["epoch"] == other_epoch].groupby("l2")[other].mean()
        ax.plot(
            x,
            single.reindex(values),
            ls="none",
            marker=marker,
            color=ZERO_COLOUR,
            mec="white",
            ms=6.5,
            label=text,
        )
        ax.set_title(title)
        ax.set_ylabel("Loss (nats)")
        ax.set_ylim(0, ax.get_ylim()[1] * 1.02)
        _mark_diverged(ax, runs, dict(zip(values, x, strict=True)))
        _category_axis(ax, values, label=ax is axes[-1])
    handles = [
        Patch(color="#a9c9dd", label="cross-entropy"),
        Patch(color="#0b3c5d", label="penalty"),
        *(
            Line2D([], [], ls="none", marker=m, color=ZERO_COLOUR, mec="white", ms=6.5, label=t)
            for *_, m, t in panels
        ),
    ]
    figure_key(drawing, handles, 2)
    return drawing


CONTRASTS = (
    "gap_reported",
    "gap_generalisation",
    "test_accuracy",
    "test_ce",
    "val_ce_creep_smoothed",
    "softmax_jacobian_norm",
)
"""The measures of contrasts.csv that are drawn, in this order, where the table has them."""


@figure
def contrasts(contrasts: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """Differences from the reference lambda, paired by seed, with their intervals.

    A filled mark is a difference whose p value, adjusted over the lambdas after Holm, is below
    1 - `confidence`.
    """
    measures = [m for m in CONTRASTS if m in set(contrasts["measure"])]
    if not measures:
        return _message("No contrasts: the reference lambda has no partner in this study.")
    values = sorted(contrasts["l2"].unique().tolist())
    y = {v: len(values) - 1 - rank for rank, v in enumerate(values)}
    rows_of_panels = -(-len(measures) // 2)
    height = rows_of_panels * (0.19 * len(values) + 0.85) + 0.5
    drawing = Figure(figsize=(WIDTH, height), layout="constrained")
    drawing.get_layout_engine().set(h_pad=0.06, w_pad=0.04, hspace=0.04, wspace=0.02)
    axes = drawing.subplots(rows_of_panels, 2, sharey=True, squeeze=False)
    colours = lambda_colours(runs["l2"])
    for ax in axes.flat[len(measures) :]:
        ax.set_axis_off()
    for ax, measure in zip(axes.flat, measures, strict=False):
        shown = MEASURES[measure]
        ax.axvline(0, color="0.35", lw=0.9)
        for row in contrasts[contrasts["measure"] == measure].itertuples():
            if row.n == 0:
                ax.text(
                    0.02,
                    y[row.l2],
                    "no pair has a value",
                    color=RED,
                    fontsize=8,
                    va="center",
                    transform=ax.get_yaxis_transform(),
                )
                continue
            colour, place = colours[row.l2], y[row.l2]
            ax.hlines(place, shown.scale * row.low, shown.scale * row.high, color=colour, lw=2)
            sure = pd.notna(row.p_holm) and row.p_holm < 1 - confidence
            ax.plot(
                shown.scale * row.mean_difference,
                place,
                "o",
                ms=5.5,
                mec=colour,
                mew=1.3,
                mfc=colour if sure else "white",
                label=f"{measure} {l2_label(row.l2)}",
            )
        title = f"{shown.label} ({shown.unit})" if shown.unit else shown.label
        ax.set_title(textwrap.fill(title, 27))
        ax.set_yticks(list(y.values()), [l2_label(v) for v in y])
        ax.set_ylim(-0.6, len(values) - 0.4)
        ax.grid(visible=True, axis="x")
        ax.xaxis.set_major_locator(MaxNLocator(4))
    for ax in axes[:, 0]:
        ax.set_ylabel("λ")
    alpha = 1 - confidence
    handles = [
        Line2D([], [], marker="o", ms=5.5, color="0.3", label=f"Holm-adjusted p < {alpha:.2g}"),
        Line2D([], [], marker="o", ms=5.5, color="0.3", mfc="white", label="not so"),
    ]
    figure_key(drawing, handles)
    return drawing


def _lambda_handles(values: list[float]) -> list[Line2D]:
    colours = lambda_colours(values)
    return [
        Line2D(
            [],
            [],
            ls="none",
            marker="s" if v == 0 else "o",
            ms=5,
            color=colours[v],
            label=_lambda_name(v),
        )
        for v in values
    ]


@figure
def sensitivity(runs: pd.DataFrame) -> Figure:
    """Sensitivity to the input against the weight norm, a dot per run, shaded by lambda.

    Above the Jacobians of the probabilities and of the logits, below the points of test accuracy
    lost to the strongest noise that the runs were tested with.
    """
    values = _lambdas(runs)
    complete = _completed(runs)
    noises = [c for c in runs.columns if c.startswith("test_accuracy_noise_")]
    strongest = max(noises, key=lambda c: float(c.rsplit("_", 1)[1]))
    lost = 100 * (complete["test_accuracy"] - complete[strongest])
    deviation = strongest.rsplit("_", 1)[1]
    drawing, axes = stacked_panels(3, 1.8)
    colours = lambda_colours(values)
    panels = (
        (complete["softmax_jacobian_norm"], "Jacobian norm,\nprobabilities"),
        (complete["jacobian_norm"], "Jacobian norm,\nlogits"),
        (lost, f"Accuracy lost to noise\nof sd {deviation} (points)"),
    )
    for ax, (numbers, label) in zip(axes, panels, strict=True):
        for value in values:
            at = complete["l2"] == value
            ax.plot(
                complete.loc[at, "weight_norm"],
                numbers[at],
                ls="none",
                color=colours[value],
                marker="s" if value == 0 else "o",
                ms=4.5,
                mec="white",
                mew=0.4,
                alpha=0.85,
                label=_lambda_name(value),
            )
        ax.set_ylabel(label)
        ax.grid(visible=True, axis="both")
    if complete["weight_norm"].min() > 0:
        _log_axis(axes[-1].xaxis)
    axes[-1].set_xlabel("Norm of the regularised weights at the last epoch (logarithmic)")
    figure_key(drawing, _lambda_handles(_lambdas(complete)), 4)
    return drawing


@figure
def creep(histories: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """How far validation has risen above its minimum: cross-entropy, and the loss beside it.

    Above over epochs for both, each run less its own minimum; below against lambda the mean of the
    last epochs less the lowest such mean, see `statistics.smoothed_rise`.
    """
    values = _lambdas(runs)
    positions = lambda_positions(values)
    complete = _of_completed(histories, runs)
    by_run = complete.groupby(["l2", "seed"])
    risen = complete.assign(
        ce=complete["val_ce"] - by_run["val_ce"].transform("min"),
        loss=complete["val_loss"] - by_run["val_loss"].transform("min"),
    )
    trained = complete[complete["epoch"] > 0].groupby(["l2", "seed"])[["val_ce", "val_loss"]]
    smoothed = trained.agg(smoothed_rise).reset_index()
    smoothed = smoothed.rename(columns={"val_ce": "ce", "val_loss": "loss"})
    drawing, axes = stacked_panels(3, 2.1, share=False)
    last = risen[risen["epoch"] == risen["epoch"].max()]
    # where nothing creeps the axis still spans a fifth of the minimum, lest trifles look large
    span = 0.2 * by_run["val_ce"].min().median()
    top = max(1.3 * last[["ce", "loss"]].to_numpy().max(), span)
    names = {"ce": "Validation cross-entropy", "loss": "Validation loss, penalty included"}
    for ax, (column, title) in zip(axes[:2], names.items(), strict=True):
        ends = _lines_by_lambda(ax, risen, column, values)
        ax.set_ylim(-0.03 * top, top)
        ax.set_title(title)
        ax.set_ylabel("Above its\nminimum (nats)")
        _epoch_axis(ax, complete, label=ax is axes[1])
        _end_labels(ax, ends)
    ax = axes[2]
    for column, hollow, side in (("ce", False, -1), ("loss", True, 1)):
        _dots(ax, smoothed, column, positions, hollow=hollow, shift=2.4 * side)
        means = _run_means(smoothed, column, confidence)
        x = np.array([positions[v] + side * 0.9 * side_step(positions) for v in means["l2"]])
        draw_means(ax, x, means, ("mean", "low", "high"), name=column, hollow=hollow)
    ax.axhline(0, color="0.35", lw=0.9)
    ax.set_ylabel(f"Creep, means of\n{SMOOTHING} epochs (nats)")
    if smoothed[["ce", "loss"]].isna().to_numpy().all():
        ax.text(0.5, 0.5, "too few epochs", ha="center", va="center", transform=ax.transAxes)
    keys = [mean_key("cross-entropy"), mean_key("loss", hollow=True)]
    title = f"mean and {percent(confidence)} interval of"
    ax.legend(
        handles=keys,
        title=title,
        title_fontsize=8.5,
        alignment="left",
        ncols=2,
        loc="lower left",
        bbox_to_anchor=(-0.03, 1.0),
    )
    _mark_diverged(ax, runs, positions)
    lambda_axis(ax, positions, share=0.66)
    return drawing


@figure
def calibration(runs: pd.DataFrame, confidence: float) -> Figure:
    """Expected calibration error and Brier score on the test set against lambda, seeds as dots."""
    positions = lambda_positions(_lambdas(runs))
    drawing, axes = stacked_panels(2, 1.9)
    labels = {"ece": "Expected calibration\nerror (points)", "brier": "Brier score"}
    for ax, (column, label) in zip(axes, labels.items(), strict=True):
        scale = 100.0 if column == "ece" else 1.0
        complete = _completed(runs)
        _dots(ax, complete, column, positions, scale)
        means = _run_means(complete, column, confidence)
        x = np.array([positions[v] + side_step(positions) for v in means["l2"]])
        draw_means(ax, x, means, ("mean", "low", "high"), scale, name=column)
        ax.set_ylim(bottom=0)
        ax.set_ylabel(label)
        _mark_diverged(ax, runs, positions)
        lambda_axis(ax, positions, label=ax is axes[-1])
    figure_key(drawing, [*_dot_key(), mean_key(f"mean and {percent(confidence)} interval")])
    return drawing
