"""Figures of what lambda does to the trained network."""

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.wording import labelled, percent
from l2study.report import plot_helpers as plot
from l2study.report import style
from l2study.report.study import Study

CONTRASTS = (
    "gap_reported",
    "gap_generalisation",
    "test_accuracy",
    "test_ce",
    "val_ce_rise",
    "softmax_jacobian_norm",
)
"""The measures of contrasts.csv that are drawn, in this order."""

_NO_DERIVATIVES = "This model has no derivatives by its input: there is nothing to draw."


@plot.draws("contrasts", "runs")
def contrasts(study: Study) -> Figure:
    """Differences from the reference lambda, paired by seed, with their intervals.

    A filled mark is a difference whose p value, adjusted over the lambdas after Holm, is below
    1 minus the confidence level.
    """
    contrasts, alpha = study.tables["contrasts"], 1 - study.config["confidence"]
    if contrasts.empty:
        return style.message("No contrasts: this study has no second lambda.")
    values, there = plot.lambdas_of(contrasts), set(contrasts["measure"])
    rows = -(-len(CONTRASTS) // 2)
    height = rows * (0.19 * len(values) + 0.85) + 0.5
    drawing, axes = style.panels(height, rows, 2, (0.06, 0.04, 0.04), sharey=True)
    colours = style.lambda_colours(study.tables["runs"]["l2"])
    for ax, measure in zip(axes.flat, CONTRASTS, strict=True):
        shown = MEASURES[measure]
        ax.axvline(0, **style.ZERO_LINE)
        for row in contrasts[contrasts["measure"] == measure].itertuples():
            y = values.index(row.l2)
            if row.n == 0:
                plot.note_row(ax, y, "no pair has a value")
                continue
            colour = colours[row.l2]
            mark = {"marker": "o", "ms": 5.5, "color": colour, "mew": 1.3}
            mark["mfc"] = colour if row.p_holm < alpha else "white"
            ends = (shown.scale * end for end in (row.mean_difference, row.low, row.high))
            plot.draw_row(ax, y, *ends, label=f"{measure} {l2_label(row.l2)}", **mark)
        if measure not in there:
            plot.note_row(ax, 0, "this model has none")
        ax.set_title(textwrap.fill(labelled(shown), 27))
        plot.name_rows(ax, [l2_label(v) for v in values])
        ax.xaxis.set_major_locator(MaxNLocator(4))
    for ax in axes[:, 0]:
        ax.set_ylabel("λ")
    look = {"marker": "o", "ms": 5.5, "color": "0.3"}
    sure = Line2D([], [], label=f"Holm-adjusted p < {alpha:.2g}", **look)
    style.figure_key(drawing, [sure, Line2D([], [], mfc="white", label="not so", **look)])
    return drawing


@plot.draws("runs")
def sensitivity(study: Study) -> Figure:
    """Sensitivity to the input against the weight norm, a dot per run, shaded by lambda.

    The panels show the Jacobians of the probabilities and of the logits, and the points of test
    accuracy lost to the strongest noise that the runs were tested with.
    """
    runs = study.tables["runs"]
    complete, colours = plot.completed(runs), style.lambda_colours(runs["l2"])
    looks = {
        v: {"marker": "s" if v == 0 else "o", "color": colours[v], "label": style.lambda_name(v)}
        for v in plot.lambdas_of(runs)
    }
    labels = {
        "softmax_jacobian_norm": "Jacobian norm,\nprobabilities",
        "jacobian_norm": "Jacobian norm,\nlogits",
        "accuracy_lost_0.3": "Accuracy lost to noise\nof sd 0.3 (points)",
    }
    labels = {name: label for name, label in labels.items() if complete[name].notna().any()}
    if not labels:
        return style.message(_NO_DERIVATIVES)
    drawing, axes = style.stacked_panels(len(labels), 1.8)
    for ax, (measure, label) in zip(axes, labels.items(), strict=True):
        for value, look in looks.items():
            rows = complete[complete["l2"] == value]
            ax.plot(rows["weight_norm"], MEASURES[measure].scale * rows[measure], ls="none", ms=4.5,
                    mec="white", mew=0.4, alpha=0.85, **look)  # fmt: skip
        ax.set_ylabel(label)
        ax.grid(visible=True, axis="both")
    if complete["weight_norm"].min() > 0:
        style.log_axis(axes[-1].xaxis)
    axes[-1].set_xlabel("Norm of the regularised weights at the last epoch (logarithmic)")
    keys = [style.dot_key(ms=5, **looks[value]) for value in plot.lambdas_of(complete)]
    style.figure_key(drawing, keys, 4)
    return drawing


@plot.draws("means", "runs")
def robustness(study: Study) -> Figure:
    """Distance to the decision boundary and accuracy under attack against lambda, seeds as dots.

    The attacks are those of the largest radius. Both panels of accuracy have the same scale.
    """
    labels = {
        "boundary_distance": "Distance to boundary\n(units of input)",
        "test_accuracy_fgsm_0.05": "Test accuracy (%),\nFGSM of 0.05",
        "test_accuracy_pgd_0.05": "Test accuracy (%),\nPGD of 0.05",
    }
    there = set(study.tables["means"]["measure"])
    if not there & set(labels):
        return style.message(_NO_DERIVATIVES)
    labels = {name: label for name, label in labels.items() if name in there}
    return plot.by_lambda(study, labels, 1.8, alike=2)


@plot.draws("histories", "runs", "means")
def creep(study: Study) -> Figure:
    """How far validation has risen above its minimum: cross-entropy, and the loss beside it.

    The upper panels show both over epochs, each run less its own minimum. The lowest shows against
    lambda the rise of each after its minimum, see `val_ce_rise`.
    """
    runs, complete = study.tables["runs"], plot.completed_histories(study)
    values = plot.lambdas_of(runs)
    titles = {"val_ce": "Validation cross-entropy", "val_loss": "Validation loss, penalty included"}
    both = list(titles)
    minima = complete.groupby(["l2", "seed"])[both].transform("min")
    risen = complete.assign(**(complete[both] - minima))
    last = risen[risen["epoch"] == risen["epoch"].max()]
    # the axis spans at least a fifth of the minimum, so that trifles do not look large
    span = 0.2 * runs["val_ce_min"].median()
    top = max(1.3 * last[both].to_numpy().max(), span)
    drawing, axes = style.stacked_panels(3, 2.1, share=False)
    for ax, (column, title) in zip(axes[:2], titles.items(), strict=True):
        plot.curves_by_lambda(ax, risen, column, values)
        ax.set_ylim(-0.03 * top, top)
        ax.set_title(title)
        ax.set_ylabel("Above its\nminimum (nats)")
        style.epoch_axis(ax, complete, label=ax is axes[1])
        plot.end_labels(ax)
    _draw_rises(axes[2], study, 0.05 * span)
    return drawing


def _draw_rises(ax: Axes, study: Study, least: float) -> None:
    """Draw the rises against lambda; the axis reaches `least` to both sides of 0 or further."""
    means, runs = study.tables["means"], study.tables["runs"]
    positions = style.lambda_positions(runs["l2"])
    rises = {"val_ce_rise": -1, "val_loss_rise": 1}
    for measure, side in rises.items():
        plot.draw_seeds(ax, runs, measure, positions, hollow=side > 0, shift=2.4 * side)
        plot.draw_means_of(ax, means, measure, positions, 0.9 * side, hollow=side > 0)
    ax.axhline(0, **style.ZERO_LINE)
    # Rounding alone is not to fill the panel.
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -least), max(high, least))
    ax.set_ylabel("Rise after\nminimum (nats)")
    if runs[list(rises)].isna().to_numpy().all():
        ax.text(0.5, 0.5, "too few epochs", ha="center", va="center", transform=ax.transAxes)
    keys = [style.mean_key("cross-entropy"), style.mean_key("loss", hollow=True)]
    title = f"mean and {percent(study.config['confidence'])} interval of"
    where = {"loc": "lower left", "bbox_to_anchor": (-0.03, 1.0), "alignment": "left"}
    ax.legend(handles=keys, title=title, ncols=2, **where)
    plot.mark_diverged(ax, runs, positions)
    style.lambda_axis(ax, positions, share=0.66)


@plot.draws("means", "runs")
def calibration(study: Study) -> Figure:
    """Expected calibration error and Brier score on the test set against lambda, seeds as dots."""
    labels = {"ece": "Expected calibration\nerror (points)", "brier": "Brier score"}
    drawing = plot.by_lambda(study, labels, 1.9)
    for ax in drawing.axes:
        ax.set_ylim(bottom=0)
    return drawing
