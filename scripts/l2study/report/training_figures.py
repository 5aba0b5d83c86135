"""Figures of what training does: learning curves, weights, loss and creep."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from l2study.core.wording import percent
from l2study.report.marks import (
    completed,
    curve,
    curves_by_lambda,
    draw_seeds,
    end_labels,
    lambdas_of,
    mark_diverged,
    means_of,
    of_completed,
)
from l2study.report.style import (
    GREY,
    RED,
    WIDTH,
    ZERO_COLOUR,
    category_axis,
    epoch_axis,
    figure_key,
    lambda_axis,
    lambda_colours,
    lambda_name,
    lambda_positions,
    log_axis,
    mean_key,
    stacked_panels,
)


def learning_curves(histories: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Loss, cross-entropy and accuracy over epochs, training against validation, a row per lambda.

    Lines are means over completed runs, bands reach from the lowest to the highest seed. A diverged
    run is a thin grey line that ends in a cross.
    """
    values = lambdas_of(runs)
    curves = {
        "Loss (nats)": ("train_loss", "val_loss", "train_loss_running"),
        "Cross-entropy (nats)": ("train_ce", "val_ce", None),
        "Accuracy (%)": ("train_accuracy", "val_accuracy", "train_accuracy_running"),
    }
    drawing = Figure(figsize=(WIDTH, 1.1 * len(values) + 1.0), layout="constrained")
    drawing.get_layout_engine().set(h_pad=0.03, w_pad=0.03, hspace=0.02, wspace=0.02)
    axes = drawing.subplots(len(values), 3, sharex=True, sharey="col", squeeze=False)
    complete = of_completed(histories, runs)
    partial = histories.merge(runs.loc[runs["status"] == "diverged", ["l2", "seed"]])
    colours = lambda_colours(values)
    for column, (title, (train, val, running)) in enumerate(curves.items()):
        scale = 100.0 if "accuracy" in train else 1.0
        _curve_limits(axes[0, column], complete, train, val, scale)
        for row, value in enumerate(values):
            ax, rows = axes[row, column], complete[complete["l2"] == value]
            for name, style in ((train, "-"), (val, "--"), (running, ":")):
                look = {"color": colours[value], "lw": 1.4}
                if style == ":":
                    look = {"color": GREY, "lw": 1.1, "band": False, "marker": ""}
                if name:
                    curve(ax, rows, name, scale, ls=style, label=name, **look)
            for _, run in partial[partial["l2"] == value].groupby("seed"):
                ax.plot(run["epoch"], scale * run[train], color=GREY, lw=0.7, label="diverged")
                end = np.clip(scale * run[train].iloc[-1:], *ax.get_ylim())
                ax.plot(
                    run["epoch"].iloc[-1:], end, "x", color=RED, ms=5, clip_on=False, label="end"
                )
            if row == 0:
                ax.set_title(title, fontsize=9)
            if column == 0:
                ax.set_ylabel(lambda_name(value))
    for ax in axes[-1]:
        epoch_axis(ax, histories, label=False)
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
        log_axis(ax.yaxis)


def weight_norm(histories: pd.DataFrame, runs: pd.DataFrame, means: pd.DataFrame) -> Figure:
    """Frobenius norm of the regularised weights: over epochs, and at the end against lambda.

    At the end there is also the norm of two parts of the first kernel: the rows that are fed by
    inputs lit in the training data, and those fed by inputs that never are.
    """
    values = lambdas_of(runs)
    positions = lambda_positions(values)
    drawing, (top, bottom) = stacked_panels(2, 2.6, share=False)
    complete = of_completed(histories, runs)
    curves_by_lambda(top, complete, "weight_norm", values)
    top.set_ylabel("Norm of the\nregularised weights")
    epoch_axis(top, complete)
    top.set_ylim(bottom=0)
    end_labels(top)
    draw_seeds(bottom, completed(runs), "weight_norm", positions)
    series = {
        "weight_norm": ("0.1", "D", "all regularised weights"),
        "weight_norm_lit": ("#3b83b0", "o", "first layer, inputs lit in training"),
        "weight_norm_never_lit": (ZERO_COLOUR, "v", "first layer, inputs never lit"),
    }
    for rank, (column, (colour, marker, _)) in enumerate(series.items()):
        means_of(bottom, means, column, positions, 0.5 + rank, colour=colour, marker=marker)
    handles = [mean_key(text, marker, colour) for colour, marker, text in series.values()]
    bottom.set_ylabel("Norm at the\nlast epoch")
    bottom.set_ylim(bottom=0)
    bottom.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.03, 1.0))
    mark_diverged(bottom, runs, positions)
    lambda_axis(bottom, positions, share=0.66)
    return drawing


def loss_parts(means: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """The loss as cross-entropy plus penalty, before training and after the last epoch, by lambda.

    Bars are of training, means over completed runs. Diamonds before training are what Keras prints
    for epoch 1, the running mean. Circles after the last epoch are the validation loss.
    """
    values = lambdas_of(runs)
    drawing, axes = stacked_panels(2, 2.3)
    x = np.arange(len(values), dtype=float)
    mean = means.pivot(index="l2", columns="measure", values="mean")
    panels = (
        ("Before any step", "start_loss", "start_penalty")
        + ("first_running_loss", "D", "running mean of epoch 1"),
        (f"After epoch {runs['epochs'].max()}", "train_loss", "penalty")
        + ("val_loss", "o", "validation loss"),
    )
    for ax, (title, loss, part, other, marker, text) in zip(axes, panels, strict=True):
        penalty = mean[part].fillna(0)
        ce = mean[loss].fillna(0) - penalty
        ax.bar(x, ce, 0.56, color="#a9c9dd", edgecolor="white", label="cross-entropy")
        ax.bar(x, penalty, 0.56, ce, color="#0b3c5d", edgecolor="white", label="penalty")
        ax.plot(
            x,
            mean[other],
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
        mark_diverged(ax, runs, dict(zip(values, x, strict=True)))
        category_axis(ax, values, label=ax is axes[-1])
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


def creep(
    histories: pd.DataFrame, runs: pd.DataFrame, means: pd.DataFrame, confidence: float
) -> Figure:
    """How far validation has risen above its minimum: cross-entropy, and the loss beside it.

    The upper panels show both over epochs, each run less its own minimum. The lowest shows against
    lambda the rise of each after its minimum, see `val_ce_rise`.
    """
    values = lambdas_of(runs)
    positions = lambda_positions(values)
    complete = of_completed(histories, runs)
    by_run = complete.groupby(["l2", "seed"])
    risen = complete.assign(
        ce=complete["val_ce"] - by_run["val_ce"].transform("min"),
        loss=complete["val_loss"] - by_run["val_loss"].transform("min"),
    )
    drawing, axes = stacked_panels(3, 2.1, share=False)
    last = risen[risen["epoch"] == risen["epoch"].max()]
    # the axis spans at least a fifth of the minimum, so that trifles do not look large
    span = 0.2 * runs["val_ce_min"].median()
    top = max(1.3 * last[["ce", "loss"]].to_numpy().max(), span)
    names = {"ce": "Validation cross-entropy", "loss": "Validation loss, penalty included"}
    for ax, (column, title) in zip(axes[:2], names.items(), strict=True):
        curves_by_lambda(ax, risen, column, values)
        ax.set_ylim(-0.03 * top, top)
        ax.set_title(title)
        ax.set_ylabel("Above its\nminimum (nats)")
        epoch_axis(ax, complete, label=ax is axes[1])
        end_labels(ax)
    ax = axes[2]
    rises = ["val_ce_rise", "val_loss_rise"]
    for measure, side in zip(rises, (-1, 1), strict=True):
        hollow = side > 0
        draw_seeds(ax, completed(runs), measure, positions, hollow=hollow, shift=2.4 * side)
        means_of(ax, means, measure, positions, 0.9 * side, hollow=hollow)
    ax.axhline(0, color="0.35", lw=0.9)
    # Rounding alone is not to fill the panel.
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -0.05 * span), max(high, 0.05 * span))
    ax.set_ylabel("Rise after\nminimum (nats)")
    if runs[rises].isna().to_numpy().all():
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
    mark_diverged(ax, runs, positions)
    lambda_axis(ax, positions, share=0.66)
    return drawing
