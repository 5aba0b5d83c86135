"""How every figure looks: matplotlib's settings, colours, panels, axes and keys."""

from collections.abc import Iterable, Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from l2study.core.labels import l2_label
from l2study.core.wording import percent

WIDTH = 5.2
"""Width of every figure in inches. On a desk its text is as large as the page's. On a phone, where
the figure shrinks, it is still legible."""

# Matplotlib's own defaults first, whatever a matplotlibrc says.
STYLE = {key: value for key, value in mpl.rcParamsDefault.items() if "backend" not in key}
STYLE |= {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
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

CREST = LinearSegmentedColormap.from_list(
    "crest",
    ["#a5cd90", "#92c491", "#7fbb91", "#6db290", "#5da890", "#509e90", "#44948f", "#398a8e",
     "#2e808d", "#24768b", "#1d6c8a", "#1d6187", "#215584", "#26497e", "#2a3d78", "#2c3172"],
)  # fmt: skip
"""Seaborn's colours `crest`. Importing seaborn itself takes as long as drawing five figures."""

ZERO_LINE = {"color": "0.35", "lw": 0.9}
"""The look of the line where a difference is zero."""


def lambda_colours(values: Iterable[float]) -> dict[float, tuple[float, float, float]]:
    """Return a colour for every lambda: darker for a larger one, and orange for 0.

    The shades are seaborn's `crest`. Its lightness falls steadily, so their order survives print in
    greyscale and colour blindness.
    """
    falling = sorted({v for v in values if v > 0}, reverse=True)
    shades = CREST(np.linspace(0.2, 1.0, max(len(falling), 2)))[::-1]
    colours = {v: tuple(shade[:3]) for v, shade in zip(falling, shades, strict=False)}
    return {0.0: mpl.colors.to_rgb(ZERO_COLOUR), **colours}


def lambda_name(value: float) -> str:
    """Return a lambda as it is named beside its line."""
    return f"λ = {l2_label(value)}"


# --- panels ---------------------------------------------------------------------------------------


def panels(
    height: float, rows: int = 1, columns: int = 1, pads: tuple = (0.06, 0.05, 0.03), **shared
) -> tuple[Figure, np.ndarray]:
    """Return a figure of small multiples and its axes, as a list if there is one column.

    `height` is that of the whole figure, in inches. `pads` are the inches above and beside every
    panel, and the share of its height between two; `shared` is for `Figure.subplots`.
    """
    drawing = Figure(figsize=(WIDTH, height), layout="constrained")
    drawing.get_layout_engine().set(h_pad=pads[0], w_pad=pads[1], hspace=pads[2])
    axes = drawing.subplots(rows, columns, squeeze=False, **shared)
    return drawing, axes[:, 0] if columns == 1 else axes


def stacked_panels(rows: int, height: float, share: bool = True) -> tuple[Figure, np.ndarray]:
    """Return a figure of `rows` panels below each other, each `height` inches high, and its axes.

    Half an inch is for what the panels share: the axis label, a key, a note.
    """
    return panels(rows * height + 0.5, rows, sharex=share)


def message(text: str) -> Figure:
    """Return a low figure with the sentence `text`, in place of one that cannot be drawn."""
    drawing, (ax,) = panels(0.9)
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    return drawing


# --- axes -----------------------------------------------------------------------------------------


def lambda_positions(values: Iterable[float]) -> dict[float, float]:
    """Return the place of every lambda on a logarithmic axis: log10, and 0 a step to the left."""
    values = sorted(set(map(float, values)))
    positions = {v: float(np.log10(v)) for v in values if v > 0}
    if 0.0 in values:
        places = list(positions.values()) or [0.0]
        step = max(0.2 * (places[-1] - places[0]), 0.5)
        positions = {0.0: places[0] - step, **positions}
    return positions


def side_step(positions: Mapping[float, float]) -> float:
    """Return the distance between marks that stand side by side at one lambda."""
    places = np.array(list(positions.values()))
    return min(0.12 * np.diff(places).min(), 0.016 * np.ptp(places)) if len(places) > 1 else 0.007


def beside(positions: Mapping[float, float], values: Iterable[float], shift: float) -> np.ndarray:
    """Return the places `shift` steps to the right of the lambdas `values`, see `side_step`."""
    return np.array([positions[v] + shift * side_step(positions) for v in values])


def lambda_axis(
    ax: Axes, positions: Mapping[float, float], label: bool = True, share: float = 0.77
) -> None:
    """Turn the x axis of `ax` into one of lambda, with a mark where it breaks before 0.

    `share` is roughly the part of the figure's width that the axis takes. Which labels fit depends
    on it.
    """
    places = np.array(list(positions.values()))
    span = max(np.ptp(places), 0.5)
    ax.set_xlim(places.min() - 0.07 * span, places.max() + 0.07 * span)
    inch = 1.14 * span / (share * WIDTH)
    longest = max(len(l2_label(v)) for v in positions)
    shown, last = [], -np.inf
    for value, place in positions.items():
        fits = place - last >= 0.15 * inch
        shown.append(l2_label(value) if fits else "")
        last = place if fits else last
    ax.set_xticks(places, shown)
    if len(places) > 1 and np.diff(places).min() < (0.07 * longest + 0.04) * inch:
        _turn_labels(ax)
    if 0.0 in positions and len(positions) > 1:
        _break_axis(ax, places[:2].mean(), 0.008 * span)
    if label:
        apart = ", 0 set apart" if 0.0 in positions else ""
        ax.set_xlabel(f"λ (logarithmic{apart})" if len(positions) > 1 else "λ")


def _break_axis(ax: Axes, x: float, half: float) -> None:
    look = {"transform": ax.get_xaxis_transform(), "clip_on": False, "gid": "break"}
    ax.plot([x - half, x + half], [0, 0], color="white", lw=3, zorder=9, **look)
    for end in (x - half, x + half):
        ax.plot(end, 0, marker=[(-0.5, -1), (0.5, 1)], ms=8, color="0.35", zorder=10, **look)


def _turn_labels(ax: Axes) -> None:
    ax.tick_params(axis="x", labelrotation=45, pad=1)
    for tick in ax.get_xticklabels():
        tick.set(ha="right", rotation_mode="anchor")


def category_axis(ax: Axes, values: list[float], label: bool = True) -> None:
    """Name evenly spaced lambdas on the x axis of `ax`, with room at the sides if they are few."""
    spare = max(0.0, (4 - len(values)) / 2)
    ax.set_xlim(-0.6 - spare, len(values) - 0.3 + spare)
    ax.set_xticks(range(len(values)), [l2_label(v) for v in values])
    if len(values) > 8:
        _turn_labels(ax)
    if label:
        ax.set_xlabel("λ (evenly spaced)" if len(values) > 1 else "λ")


def epoch_axis(ax: Axes, histories: pd.DataFrame, label: bool = True) -> None:
    """Turn the x axis of `ax` into one of the epochs of `histories`."""
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlim(0, max(float(histories["epoch"].max()), 1.0))
    if label:
        ax.set_xlabel("Epoch (0: before any step)")


def log_axis(axis: Axis) -> None:
    """Make `axis` logarithmic, with plain numbers as labels also where it spans under a decade."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    plain_log_ticks(axis, high / low)


def plain_log_ticks(axis: Axis, ratio: float) -> None:
    """Label 1, 2, 5 and so on of every decade: the more, the smaller the `ratio` of the limits."""
    subs = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 5 else (1, 2, 5) if ratio < 100 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda number, _: l2_label(f"{number:g}")))
    axis.set_minor_formatter(NullFormatter())


# --- keys -----------------------------------------------------------------------------------------


def dot_key(label: str, **look: object) -> Line2D:
    """Return the entry of a key for a mark without a line."""
    return Line2D([], [], ls="none", label=label, **look)


def mean_key(text: str, marker: str = "D", colour: str = "0.1", hollow: bool = False) -> Line2D:
    """Return the entry of a key for means drawn with `marker`, filled or not."""
    fill = "white" if hollow else colour
    return Line2D([], [], marker=marker, ms=4.5, color=colour, mfc=fill, lw=1.5, label=text)


def seed_and_mean_keys(confidence: float, both: bool) -> list[Line2D]:
    """Return the entries of a key for seeds as dots beside means with their intervals.

    `both` says whether some have one for other seeds, and one for other images too.
    """
    keys = [dot_key("one seed", marker="o", ms=3.8, color="0.55")]
    keys.append(mean_key(f"mean, {percent(confidence)} interval"))
    if both:
        keys.append(Line2D([], [], color="0.1", lw=3.2, label="thick: seeds alone"))
    return keys


def figure_key(drawing: Figure, handles: list, columns: int | None = None, **look: object) -> None:
    """Put the entries `handles` into a key above `drawing`, in one row or in `columns`."""
    where = {"loc": "outside upper left", "alignment": "left"} | look
    drawing.legend(handles=handles, ncols=columns or len(handles), **where)
