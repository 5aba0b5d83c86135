"""Figures of what lambda does to the trained network."""

import textwrap

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.wording import labelled
from l2study.report.marks import completed, draw_by_lambda, lambdas_of
from l2study.report.style import (
    RED,
    WIDTH,
    figure_key,
    lambda_colours,
    lambda_keys,
    lambda_name,
    log_axis,
    message,
    seed_and_mean_keys,
    stacked_panels,
)

CONTRASTS = (
    "gap_reported",
    "gap_generalisation",
    "test_accuracy",
    "test_ce",
    "val_ce_rise",
    "softmax_jacobian_norm",
)
"""The measures of contrasts.csv that are drawn, in this order."""


def contrasts(contrasts: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """Differences from the reference lambda, paired by seed, with their intervals.

    A filled mark is a difference whose p value, adjusted over the lambdas after Holm, is below
    1 - `confidence`.
    """
    if contrasts.empty:
        return message("No contrasts: the reference lambda has no partner in this study.")
    values = sorted(contrasts["l2"].unique().tolist())
    y = {v: len(values) - 1 - rank for rank, v in enumerate(values)}
    rows_of_panels = -(-len(CONTRASTS) // 2)
    height = rows_of_panels * (0.19 * len(values) + 0.85) + 0.5
    drawing = Figure(figsize=(WIDTH, height), layout="constrained")
    drawing.get_layout_engine().set(h_pad=0.06, w_pad=0.04, hspace=0.04, wspace=0.02)
    axes = drawing.subplots(rows_of_panels, 2, sharey=True, squeeze=False)
    colours = lambda_colours(runs["l2"])
    for ax, measure in zip(axes.flat, CONTRASTS, strict=True):
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
        ax.set_title(textwrap.fill(labelled(shown), 27))
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


def sensitivity(runs: pd.DataFrame) -> Figure:
    """Sensitivity to the input against the weight norm, a dot per run, shaded by lambda.

    The panels show the Jacobians of the probabilities and of the logits, and the points of test
    accuracy lost to the strongest noise that the runs were tested with.
    """
    complete = completed(runs)
    panels = {
        "softmax_jacobian_norm": "Jacobian norm,\nprobabilities",
        "jacobian_norm": "Jacobian norm,\nlogits",
        "accuracy_lost_0.3": "Accuracy lost to noise\nof sd 0.3 (points)",
    }
    drawing, axes = stacked_panels(3, 1.8)
    colours = lambda_colours(runs["l2"])
    for ax, (measure, label) in zip(axes, panels.items(), strict=True):
        for value in lambdas_of(runs):
            at = complete[complete["l2"] == value]
            ax.plot(
                at["weight_norm"],
                MEASURES[measure].scale * at[measure],
                ls="none",
                color=colours[value],
                marker="s" if value == 0 else "o",
                ms=4.5,
                mec="white",
                mew=0.4,
                alpha=0.85,
                label=lambda_name(value),
            )
        ax.set_ylabel(label)
        ax.grid(visible=True, axis="both")
    if complete["weight_norm"].min() > 0:
        log_axis(axes[-1].xaxis)
    axes[-1].set_xlabel("Norm of the regularised weights at the last epoch (logarithmic)")
    figure_key(drawing, lambda_keys(lambdas_of(complete)), 4)
    return drawing


def robustness(means: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """Distance to the decision boundary and accuracy under attack against lambda, seeds as dots.

    The attacks are those of the largest radius. Both panels of accuracy have the same scale.
    """
    drawing, axes = stacked_panels(3, 1.8)
    labels = {
        "boundary_distance": "Distance to boundary\n(units of input)",
        "test_accuracy_fgsm_0.05": "Test accuracy (%),\nFGSM of 0.05",
        "test_accuracy_pgd_0.05": "Test accuracy (%),\nPGD of 0.05",
    }
    axes[2].sharey(axes[1])
    for ax, (measure, label) in zip(axes, labels.items(), strict=True):
        draw_by_lambda(ax, runs, means, measure, label, axis_label=ax is axes[-1])
    figure_key(drawing, seed_and_mean_keys(confidence))
    return drawing


def calibration(means: pd.DataFrame, runs: pd.DataFrame, confidence: float) -> Figure:
    """Expected calibration error and Brier score on the test set against lambda, seeds as dots."""
    drawing, axes = stacked_panels(2, 1.9)
    labels = {"ece": "Expected calibration\nerror (points)", "brier": "Brier score"}
    for ax, (measure, label) in zip(axes, labels.items(), strict=True):
        draw_by_lambda(ax, runs, means, measure, label, axis_label=ax is axes[-1])
        ax.set_ylim(bottom=0)
    figure_key(drawing, seed_and_mean_keys(confidence))
    return drawing
