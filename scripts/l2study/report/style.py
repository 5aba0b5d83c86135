"""How every figure looks: colours, axes, panels and keys."""

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

CREST = LinearSegmentedColormap.from_list(
    "crest",
    ["#a5cd90", "#92c491", "#7fbb91", "#6db290", "#5da890", "#509e90", "#44948f", "#398a8e",
     "#2e808d", "#24768b", "#1d6c8a", "#1d6187", "#215584", "#26497e", "#2a3d78", "#2c3172"],
)  # fmt: skip
"""Seaborn's colours `crest`. Importing seaborn itself takes as long as drawing five figures."""


def lambda_colours(values: Iterable[float]) -> dict[float, tuple[float, float, float]]:
    """Return a colour for every lambda: darker for a larger one, and orange for 0.

    The shades are seaborn's `crest`. Its lightness falls steadily, so their order survives print in
    greyscale and colour blindness.
    """
    positive = sorted({v for v in values if v > 0})
    shades = CREST(np.linspace(0.2, 1.0, max(len(positive), 2)))
    shades = shades[-len(positive) :] if positive else []
    colours = {v: tuple(shade[:3]) for v, shade in zip(positive, shades, strict=True)}
    return {0.0: mpl.colors.to_rgb(ZERO_COLOUR), **colours}


def lambda_name(value: float) -> str:
    """Return a lambda as it is named beside its line."""
    return f"λ = {l2_label(value)}"


def lambda_positions(values: Iterable[float]) -> dict[float, float]:
    """Return the place of every lambda on a logarithmic axis: log10, and 0 a step to the left."""
    values = sorted({float(v) for v in values})
    positions = {v: float(np.log10(v)) for v in values if v > 0}
    if 0.0 in values:
        places = sorted(positions.values())
        span = places[-1] - places[0] if places else 0.0
        positions[0.0] = (places[0] if places else 0.0) - max(0.2 * span, 0.5)
    return dict(sorted(positions.items()))


def side_step(positions: Mapping[float, float]) -> float:
    """Return the distance between marks that stand side by side at one lambda."""
    places = np.array(list(positions.values()))
    return min(0.12 * np.diff(places).min(), 0.016 * np.ptp(places)) if len(places) > 1 else 0.007


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
        _turn_labels(ax)
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


def stacked_panels(rows: int, height: float, share: bool = True, extra: float = 0.5) -> tuple:
    """Return a figure of `rows` panels below each other, each `height` inches high, and its axes.

    `extra` inches are for what the panels share: the axis label, a key, a note.
    """
    drawing = Figure(figsize=(WIDTH, rows * height + extra), layout="constrained")
    drawing.get_layout_engine().set(h_pad=0.06, w_pad=0.05, hspace=0.03)
    return drawing, drawing.subplots(rows, 1, sharex=share, squeeze=False)[:, 0]


def message(text: str) -> Figure:
    """Return a low figure with the sentence `text`, in place of one that cannot be drawn."""
    drawing, (ax,) = stacked_panels(1, 0.9, extra=0)
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    return drawing


def mean_key(text: str, marker: str = "D", colour: str = "0.1", hollow: bool = False) -> Line2D:
    """Return the entry of a key for means drawn with `marker`, filled or not."""
    fill = "white" if hollow else colour
    return Line2D([], [], marker=marker, ms=4.5, color=colour, mfc=fill, lw=1.5, label=text)


def seed_and_mean_keys(confidence: float) -> list[Line2D]:
    """Return the entries of a key for seeds as dots beside means with their intervals."""
    seed = Line2D([], [], ls="none", marker="o", ms=3.8, color="0.55", label="one seed")
    return [seed, mean_key(f"mean and {percent(confidence)} interval")]


def lambda_keys(values: Iterable[float]) -> list[Line2D]:
    """Return the entries of a key for dots in the colours of the lambdas."""
    colours = lambda_colours(values)
    return [
        Line2D(
            [],
            [],
            ls="none",
            marker="s" if v == 0 else "o",
            ms=5,
            color=colours[v],
            label=lambda_name(v),
        )
        for v in values
    ]


def figure_key(drawing: Figure, handles: list, columns: int | None = None) -> None:
    """Put the entries `handles` into a key above `drawing`, in one row or in `columns`."""
    drawing.legend(handles=handles, loc="outside upper left", ncols=columns or len(handles))
