"""Figures of what training does: learning curves, weights and loss."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from l2study.core.scope_rows import widest
from l2study.report import plot_helpers as plot
from l2study.report import style
from l2study.report.study import Study


@plot.draws("histories", "runs")
def learning_curves(study: Study) -> Figure:
    """Loss, cross-entropy and accuracy over epochs, training against validation, a row per lambda.

    Lines are means over completed runs, bands reach from the lowest to the highest seed. A diverged
    run is a thin grey line that ends in a cross.
    """
    histories, runs = study.tables["histories"], study.tables["runs"]
    values, complete = plot.lambdas_of(runs), plot.completed_histories(study)
    diverged = histories.merge(runs.loc[runs["status"] == "diverged", ["l2", "seed"]])
    colours = style.lambda_colours(values)
    kinds = {"Loss (nats)": "loss", "Cross-entropy (nats)": "ce", "Accuracy (%)": "accuracy"}
    drawing, axes = style.panels(
        1.1 * len(values) + 1.0, len(values), 3, (0.03, 0.03, 0.02), sharex=True, sharey="col"
    )
    for column, (title, kind) in enumerate(kinds.items()):
        train, val, running = f"train_{kind}", f"val_{kind}", f"train_{kind}_running"
        scale = 100.0 if kind == "accuracy" else 1.0
        axes[0, column].set_title(title, fontsize=9)
        _limit(axes[0, column], complete, train, val, scale)
        for ax, value in zip(axes[:, column], values, strict=True):
            rows, look = complete[complete["l2"] == value], {"color": colours[value], "lw": 1.4}
            plot.curve(ax, rows, train, scale, ls="-", label=train, **look)
            plot.curve(ax, rows, val, scale, ls="--", label=val, **look)
            if running in histories:
                look = {"color": style.GREY, "lw": 1.1, "marker": ""}
                plot.curve(ax, rows, running, scale, band=False, ls=":", label=running, **look)
            for _, run in diverged[diverged["l2"] == value].groupby("seed"):
                _draw_diverged(ax, run["epoch"], scale * run[train])
    for ax, value in zip(axes[:, 0], values, strict=True):
        ax.set_ylabel(style.lambda_name(value))
    for ax in axes[-1]:
        style.epoch_axis(ax, histories, label=ax is axes[-1, 1])
    keys = [
        Line2D([], [], color="0.2", label="training"),
        Line2D([], [], color="0.2", ls="--", label="validation"),
        Line2D([], [], color=style.GREY, ls=":", lw=1.1, label="training, running mean"),
    ]
    if len(diverged):
        keys.append(Line2D([], [], color=style.GREY, lw=0.7, marker="x", mec=style.RED,
                           label="diverged"))  # fmt: skip
    style.figure_key(drawing, keys, loc="outside upper center")
    return drawing


def _draw_diverged(ax: Axes, epochs: pd.Series, values: pd.Series) -> None:
    """Draw a run that diverged as a thin line with a cross at its end."""
    ax.plot(epochs, values, color=style.GREY, lw=0.7, label="diverged")
    end = np.clip(values.iloc[-1:], *ax.get_ylim())
    ax.plot(epochs.iloc[-1:], end, "x", color=style.RED, ms=5, clip_on=False, label="end")


def _limit(ax: Axes, histories: pd.DataFrame, train: str, val: str, scale: float) -> None:
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
        style.log_axis(ax.yaxis)


@plot.draws("histories", "runs", "means")
def weight_norm(study: Study) -> Figure:
    """Frobenius norm of the regularised weights: over epochs, and at the end against lambda.

    At the end there is also the norm of two parts of the first kernel, if it has both: the rows
    that are fed by inputs lit in the training data, and those fed by inputs that never are.
    """
    means, runs = study.tables["means"], study.tables["runs"]
    values, complete = plot.lambdas_of(runs), plot.completed_histories(study)
    positions = style.lambda_positions(values)
    drawing, (top, bottom) = style.stacked_panels(2, 2.6, share=False)
    plot.curves_by_lambda(top, complete, "weight_norm", values)
    top.set_ylabel("Norm of the\nregularised weights")
    style.epoch_axis(top, complete)
    top.set_ylim(bottom=0)
    plot.end_labels(top)
    plot.draw_seeds(bottom, runs, "weight_norm", positions)
    series = {
        "weight_norm": ("0.1", "D", "all regularised weights"),
        "weight_norm_lit": ("#3b83b0", "o", "first layer, inputs lit in training"),
        "weight_norm_never_lit": (style.ZERO_COLOUR, "v", "first layer, inputs never lit"),
    }
    series = {name: look for name, look in series.items() if name in study.measured}
    for rank, (measure, (colour, marker, _)) in enumerate(series.items()):
        look = {"colour": colour, "marker": marker}
        plot.draw_means_of(bottom, means, measure, positions, 0.5 + rank, **look)
    bottom.set_ylabel("Norm at the\nlast epoch")
    bottom.set_ylim(bottom=0)
    keys = [style.mean_key(text, marker, colour) for colour, marker, text in series.values()]
    bottom.legend(handles=keys, loc="lower left", bbox_to_anchor=(-0.03, 1.0))
    plot.mark_diverged(bottom, runs, positions)
    style.lambda_axis(bottom, positions, share=0.66)
    return drawing


@plot.draws("weight_histogram", "runs")
def weight_histogram(study: Study) -> Figure:
    """The share of the regularised weights in every bin, on a logarithmic axis, a line per lambda.

    The shares are of the weights of all completed runs of a lambda together. The outermost bins
    count what lies beyond them, too.
    """
    table = study.tables["weight_histogram"]
    counts = table.pivot_table(index="low", columns="l2", values="count", aggfunc="sum")
    shares, values = 100 * counts / counts.sum(), plot.lambdas_of(table)
    edges = np.append(shares.index, table["high"].max())
    drawing, (ax,) = style.stacked_panels(1, 3.2)
    colours = style.lambda_colours(plot.lambdas_of(study.tables["runs"]))
    for value in values:
        look = {"color": colours[value], "ls": "--" if value == 0 else "-"}
        ax.stairs(shares[value], edges, lw=1.4, label=style.lambda_name(value), **look)
    ax.set_yscale("log")
    ax.set_ylim(shares.to_numpy()[shares > 0].min() / 1.5, 130)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    used = edges[:-1][(shares > 0).any(axis=1)], edges[1:][(shares > 0).any(axis=1)]
    reach = max(-used[0].min(), used[1].max())
    ax.set_xlim(-1.03 * reach, 1.03 * reach)
    ax.set_ylabel("Share of the weights\nin a bin (%, logarithmic)")
    ax.set_xlabel("Weight at the last epoch")
    style.figure_key(drawing, ax.get_legend_handles_labels()[0], min(4, len(values)))
    return drawing


@plot.draws("means", "runs")
def loss_parts(study: Study) -> Figure:
    """The loss as cross-entropy plus penalty, before training and after the last epoch, by lambda.

    Bars are of training, means over completed runs. Diamonds before training are what Keras prints
    for epoch 1, the running mean. Circles after the last epoch are the validation loss.
    """
    runs = study.tables["runs"]
    values = plot.lambdas_of(runs)
    x = np.arange(len(values), dtype=float)
    means = widest(study.tables["means"], ["measure", "l2"])
    mean = means.pivot(index="l2", columns="measure", values="mean")
    shown = [
        ("Before any step", "start_loss", "start_penalty", "first_running_loss"),
        (f"After epoch {runs['epochs'].max()}", "train_loss", "penalty", "val_loss"),
    ]
    parts = {"cross-entropy": "#a9c9dd", "penalty": "#0b3c5d"}
    dot = {"color": style.ZERO_COLOUR, "mec": "white", "ms": 6.5}
    keys = [Patch(color=colour, label=part) for part, colour in parts.items()]
    keys.append(style.dot_key("running mean of epoch 1", marker="D", **dot))
    keys.append(style.dot_key("validation loss", marker="o", **dot))
    drawing, axes = style.stacked_panels(2, 2.3)
    for ax, (title, loss, penalty, other), key in zip(axes, shown, keys[2:], strict=True):
        height = {"penalty": mean[penalty].fillna(0)}
        height["cross-entropy"] = mean[loss].fillna(0) - height["penalty"]
        bottom = 0.0
        for part, colour in parts.items():
            ax.bar(x, height[part], 0.56, bottom, color=colour, edgecolor="white", label=part)
            bottom = height[part]
        look = {"marker": key.get_marker(), "label": key.get_label()}
        ax.plot(x, mean[other], ls="none", **look, **dot)
        ax.set_title(title)
        ax.set_ylabel("Loss (nats)")
        ax.set_ylim(0, ax.get_ylim()[1] * 1.02)
        plot.mark_diverged(ax, runs, dict(zip(values, x, strict=True)))
        style.category_axis(ax, values, label=ax is axes[-1])
    style.figure_key(drawing, keys, 2)
    return drawing
