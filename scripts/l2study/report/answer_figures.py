"""The picture beside the answer: how accurate the network is at every lambda, and its gap."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from l2study.core.scope_rows import widest
from l2study.core.wording import percent
from l2study.report import dose_figures, style
from l2study.report import plot_helpers as plot
from l2study.report.dose_text import as_good
from l2study.report.study import Study

PANELS = {
    "Accuracy (%)": {
        "test_accuracy": ("test", "D", False),
        "val_accuracy": ("validation", "o", True),
    },
    "Gap (points)": {
        "gap_reported": ("reported gap", "s", True),
        "gap_generalisation": ("generalisation gap", "D", False),
    },
}
"""What each panel shows: the name, the marker and whether that is hollow, by measure."""

COLOURS = {"test_accuracy": "0.1", "val_accuracy": "#3b83b0", "gap_reported": "#b0540b",
           "gap_generalisation": "0.1"}  # fmt: skip


@plot.draws("means", "equivalence", "best", "runs")
def accuracy_and_gap(study: Study) -> Figure:
    """Accuracies and gaps at the last epoch against lambda, with the intervals of the tables.

    The lambda that validation chooses has a line, and the range that is as good a band.
    """
    runs, means = study.tables["runs"], widest(study.tables["means"], ["measure", "l2"])
    positions = style.lambda_positions(runs["l2"])
    drawing, axes = style.stacked_panels(len(PANELS), 1.45)
    chosen = study.best.set_index("setup")["best_l2"].get(study.setup)
    good = as_good(study).get(study.design.choose_by)
    band = good and good["low"] < good["high"]
    for ax, (label, series) in zip(axes, PANELS.items(), strict=True):
        if band:
            ends = dose_figures.places([good["low"], good["high"]], positions)
            ax.axvspan(*ends, color=style.ZERO_COLOUR, alpha=0.13, lw=0, label="as good")
        if chosen in positions:
            ax.axvline(positions[chosen], color="0.35", ls="--", lw=1, label="use")
        for rank, (measure, (_, marker, hollow)) in enumerate(series.items()):
            look = {"colour": COLOURS[measure], "marker": marker, "hollow": hollow}
            plot.draw_means_of(ax, means, measure, positions, 1.2 * rank - 0.6, **look)
        ax.set_ylabel(label)
        keys = [
            style.mean_key(name, marker, COLOURS[measure], hollow)
            for measure, (name, marker, hollow) in series.items()
        ]
        ax.legend(handles=keys, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2, borderpad=0)
        plot.mark_diverged(ax, runs, positions)
        style.lambda_axis(ax, positions, label=ax is axes[-1])
    axes[-1].axhline(0, **style.ZERO_LINE)
    keys = []
    if chosen in positions:
        keys.append(Line2D([], [], color="0.35", ls="--", lw=1, label="chosen by validation"))
    if band:
        keys.append(Patch(color=style.ZERO_COLOUR, alpha=0.13, lw=0, label="as good as that"))
    if keys:
        style.figure_key(drawing, keys)
    level = percent(study.design.confidence)
    axes[0].set_title(f"{level} intervals", fontsize=8.5, color="0.35", loc="right")
    return drawing
