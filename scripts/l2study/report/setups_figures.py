"""Figures of a study across its set-ups: the verdicts, what they rest on, and what L2 is worth."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from l2study.core.labels import l2_label
from l2study.core.paths import BASE
from l2study.core.wording import MISSING, Form, fixed, interval, lambda_text, percent, unit_of
from l2study.report import plot_helpers as plot
from l2study.report import style
from l2study.report.setup_names import (
    STAR,
    close,
    crossed,
    factors,
    ordered,
    spaced,
    starred,
)
from l2study.report.study import Study

MARKS = {
    "holds": ("o", "#14618c", True),
    "fails": ("X", "#b3470f", True),
    "open": ("o", "#5b6570", False),
    "not judged": ("_", "#5b6570", True),
}
"""The marker of every conclusion, its colour, and whether it is filled."""

RING = {"marker": "o", "ms": 13, "mfc": "none", "mec": "0.35", "mew": 1.0}
"""What is around the mark of a claim whose figure is found."""

OF_THE_SET_UP = ("chosen", "largest")
"""Where the ledger takes a lambda from that each set-up has its own of."""

MOST_COLUMNS = 18
"""With more set-ups than this, they are the rows of the verdict map."""

POINTS = fixed(2, 100)

BLUE = MARKS["holds"][1]

PADS = (0.04167, 0.04167, 0.02)
"""The space around panels that is matplotlib's own."""


def _mark(conclusion: str, size: float) -> dict:
    marker, colour, filled = MARKS[conclusion]
    edge = 1.8 if marker == "_" else 1.2
    fill = colour if filled else "white"
    return {"marker": marker, "ms": size, "color": colour, "mfc": fill, "mew": edge}


def _verdict_keys(found: pd.Series, near: list[str]) -> list[Line2D]:
    """Return the entries of a key for the conclusions that occur, and for the star."""
    keys = [style.dot_key(name, **_mark(name, 7)) for name in MARKS if name in set(found)]
    return keys + _star_key(near)


def _star_key(near: list[str]) -> list[Line2D]:
    """Return the entry of a key for the star of the set-ups that are `near`, if there are any."""
    look = {"marker": "*", "ms": 7, "color": "0.1"}
    return [style.dot_key("close to the exercise's first losses", **look)] if near else []


# --- the verdicts ---------------------------------------------------------------------------------


@plot.draws("setups", "verdicts")
def verdict_map(study: Study) -> Figure:
    """The conclusion of every claim in every set-up, one mark each, the base first.

    A ring around the mark says that the figure of the claim is found.
    """
    setups, verdicts = study.tables["setups"], study.tables["verdicts"]
    if verdicts.empty:
        return style.message("No set-up has a verdict: there is nothing to draw.")
    names, near = setups["setup"].tolist(), close(setups)
    claims = verdicts["id"].unique().tolist()
    labels = [starred(name, near) for name in names]
    across = len(names) <= MOST_COLUMNS
    columns, rows = (labels, claims) if across else (claims, labels)
    turned = [max(columns, key=len)] if across else columns
    head = 0.075 * min(max(map(len, turned)), 34)
    drawing, (ax,) = style.panels(0.27 * len(rows) + head + 0.75, pads=PADS)
    for row in verdicts[verdicts["setup"].isin(names)].itertuples():
        place = names.index(row.setup), claims.index(row.id)
        x, y = place if across else place[::-1]
        ax.plot(x, y, ls="none", label=f"{row.setup} {row.id}", **_mark(row.conclusion, 7))
        if row.figure_found == "yes":
            ax.plot(x, y, ls="none", label=f"figure of {row.id}, {row.setup}", **RING)
    ax.set_xticks(range(len(columns)), [textwrap.fill(c, 34) for c in columns], rotation=90)
    ax.xaxis.tick_top()
    ax.set_xlim(-0.6, len(columns) - 0.4)
    plot.name_rows(ax, rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    size = (1, len(claims)) if across else (len(claims), 1)
    ax.add_patch(Rectangle((-0.5, -0.5), *size, color="0.5", alpha=0.12, lw=0, gid="base"))
    keys = _verdict_keys(verdicts["conclusion"], near)
    if (verdicts["figure_found"] == "yes").any():
        keys.append(style.dot_key("its number is found", **RING))
    drawing.legend(handles=keys, loc="outside lower left", ncols=3)
    return drawing


# --- what L2 is worth -----------------------------------------------------------------------------


@plot.draws("setups", "best")
def benefit(study: Study) -> Figure:
    """What the best lambda adds to test accuracy in every set-up, and which lambda that is.

    A heat map where the set-ups combine all levels of two factors, otherwise a row each.
    """
    setups, best = study.tables["setups"], study.best
    if best["best_l2"].isna().all():
        return style.message("No set-up has a best lambda: there is nothing to draw.")
    best = setups[["setup", *factors(setups)]].merge(best, on="setup", how="left")
    known = best["reference_l2"].dropna()
    reference = style.lambda_name(known.iloc[0]) if len(known) else "the reference"
    if axes := crossed(setups):
        return _benefit_map(best, *axes, reference)
    return _benefit_rows(best, setups, reference, study.config["confidence"])


def _benefit_rows(
    best: pd.DataFrame, setups: pd.DataFrame, reference: str, confidence: float
) -> Figure:
    names, best = setups["setup"].tolist(), best.set_index("setup")
    drawing, (ax,) = style.panels(0.24 * len(names) + 1.25, pads=PADS)
    ax.axvline(0, **style.ZERO_LINE)
    right = {"fontsize": 8.5, "transform": ax.get_yaxis_transform()}
    mark = {"marker": "o", "ms": 6, "color": BLUE}
    for rank, name in enumerate(names):
        row = best.loc[name]
        if pd.isna(row["best_l2"]):
            plot.note_row(ax, rank, "no best lambda")
            continue
        ax.text(1.03, rank, l2_label(row["best_l2"]), va="center_baseline", **right)
        fill = BLUE if row["resolved"] == "yes" else "white"
        plot.draw_row(ax, rank, *_points(row), label=name, mfc=fill, mew=1.3, **mark)
    ax.text(1.03, -0.9, "best λ", va="bottom", color="0.35", **right)
    _name_setups(ax, names, close(setups))
    ax.set_xlabel(f"Test accuracy at the best λ,\nminus that at {reference} (points)")
    resolved = best["resolved"].dropna().eq("yes")
    keys = []
    if resolved.any():
        keys.append(Line2D([], [], lw=2, label=f"{percent(confidence)} interval without 0", **mark))
    if not resolved.all():
        keys.append(Line2D([], [], lw=2, mfc="white", label="not resolved", **mark))
    style.figure_key(drawing, keys + _star_key(close(setups)), 3)
    return drawing


def _benefit_map(best: pd.DataFrame, tall: str, wide: str, reference: str) -> Figure:
    import seaborn as sns  # takes a second, and few studies have this figure

    rows, columns = ordered(best[tall]), ordered(best[wide])
    lambdas = ordered(map(l2_label, best["best_l2"].dropna()))
    best["rank of λ"] = [
        np.nan if pd.isna(l2) else lambdas.index(l2_label(l2)) for l2 in best["best_l2"]
    ]
    best["points"] = 100 * best["test_accuracy_difference"]
    most = np.nan_to_num(best["points"].abs().max())
    shades = ListedColormap(style.CREST(np.linspace(0, 0.75, len(lambdas))))
    drawing, (worth, chosen) = style.panels(2 * (0.5 * len(rows) + 0.55) + 0.45, 2, pads=PADS)
    for ax, shown, look in (
        (worth, "points", {"cmap": "vlag_r", "vmin": -(most or 1), "vmax": most or 1}),
        (chosen, "rank of λ", {"cmap": shades}),
    ):
        cells = best.pivot(index=tall, columns=wide, values=shown).loc[rows, columns]
        sns.heatmap(cells, ax=ax, cbar=False, linewidths=1.5, linecolor="white", **look)
        ax.set(xlabel=spaced(wide).capitalize(), ylabel=spaced(tall).capitalize())
        ax.tick_params(length=0)
        ax.tick_params(axis="y", rotation=0)
        ax.grid(visible=False)
    size = min(9.5, 46 / len(columns) + 1.5)
    for row in best.to_dict("records"):
        place = columns.index(row[wide]), rows.index(row[tall])
        _write_worth(worth, *place, row, size, most)
        dark = row["rank of λ"] > 0.45 * len(lambdas)
        text = lambda_text(row["best_l2"])
        if len(columns) <= 6:
            text = _with_interval(text, row["best_l2_low"], row["best_l2_high"], lambda_text)
        _write(chosen, *place, text, size - 0.5, color="white" if dark else "0.1")
    worth.set_title(f"Test accuracy at the best λ, minus that at {reference} (points)")
    others = "; below: lambdas that other seeds or images could choose"
    chosen.set_title("Best λ" + (others if len(columns) <= 6 else ""))
    if (best["resolved"] != "yes").any():
        hatched = Patch(fc="white", ec="0.6", hatch="////", lw=0, label="interval contains 0")
        style.figure_key(drawing, [hatched])
    return drawing


def _write_worth(ax: Axes, x: int, y: int, row: dict, size: float, most: float) -> None:
    """Write a cell of the upper map; it is hatched where 0 is in the interval."""
    value, low, high = _points(row)
    if np.isnan(value):
        _write(ax, x, y, "no runs", size, color=style.RED)
        return
    text = ("+" if value > 0 else "") + POINTS(value / 100)
    look = {"color": "0.1" if abs(value) < 0.6 * most else "white", "linespacing": 1.3}
    if row["resolved"] != "yes":
        cell = Rectangle((x + 0.01, y + 0.02), 0.98, 0.96, gid=f"open {row['setup']}",
                         fc="white", ec="0.8", hatch="////", lw=0)  # fmt: skip
        ax.add_patch(cell)
        look |= {"color": "0.1", "bbox": {"fc": "white", "ec": "none", "pad": 1.5}}
    _write(ax, x, y, _with_interval(text, low / 100, high / 100, POINTS), size - 0.5, **look)


def _write(ax: Axes, x: int, y: int, text: str, size: float, **look: object) -> None:
    ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=size, **look)


def _with_interval(text: str, low: float, high: float, form: Form) -> str:
    ends = interval(low, high, form)
    return text if ends == MISSING else f"{text}\n{ends}"


def _points(row: pd.Series | dict) -> tuple[float, float, float]:
    names = ("difference", "low", "high")
    return tuple(100 * row[f"test_accuracy_{name}"] for name in names)


# --- the estimates behind the verdicts ------------------------------------------------------------


@plot.draws("setups", "verdicts", "all_claims")
def specification(study: Study) -> Figure:
    """What decided every claim in the base, as it is in every set-up: a specification curve each.

    A row is a set-up, sorted by the estimate. Beside the names of the set-ups, or in a column for
    each of two or three factors whose levels are combined, stands what is set otherwise.
    """
    setups, verdicts = study.tables["setups"], study.tables["verdicts"]
    if verdicts.empty:
        return style.message("No set-up has a verdict: there is nothing to draw.")
    curves = {
        claim: deciding(verdicts, study.tables["all_claims"], claim)
        for claim in verdicts["id"].unique()
    }
    heights = [0.19 * len(setups) + 0.95 if len(rows) else 0.6 for rows in curves.values()]
    pads = (0.06, 0.05, 0.02)
    drawing, axes = style.panels(sum(heights) + 0.5, len(curves), pads=pads, height_ratios=heights)
    for ax, (claim, rows) in zip(axes, curves.items(), strict=True):
        if rows.empty:
            ax.set_axis_off()
            ax.set_title(claim, fontweight="bold")
            ax.text(0, 0.5, "No estimate decided this claim in the base.", va="center")
        else:
            _draw_curve(ax, claim, rows, setups)
    interval_key = f"{percent(study.config['confidence'])} interval"
    keys = [
        *_verdict_keys(verdicts["conclusion"], close(setups)),
        Line2D([], [], color=style.GREY, lw=1.5, label=interval_key),
        Line2D([], [], color="0.1", lw=1.2, ls="--", label="what the claim needs"),
    ]
    style.figure_key(drawing, keys, 3)
    return drawing


def deciding(verdicts: pd.DataFrame, all_claims: pd.DataFrame, claim: str) -> pd.DataFrame:
    """Return the estimate that decided `claim` in the base, in every set-up; empty if none did.

    A row has `setup`, `estimate`, `low`, `high`, the bounds, and the `conclusion` on the whole
    claim in that set-up. Rows are sorted by the estimate. Where it is at the lambda that validation
    chooses, or at the largest, that is each set-up's own.
    """
    rows = all_claims[all_claims["id"] == claim]
    base = rows[(rows["setup"] == BASE) & (rows["decisive"] == "yes") & rows["estimate"].notna()]
    if base.empty:
        return base
    first = base.iloc[0]
    alike = ["statistic", "measure", "at", "against", "epoch", "decides"]
    if first["at"] not in OF_THE_SET_UP:
        alike.append("l2")
    same = rows.merge(base.iloc[:1][alike], on=alike)
    whole = verdicts[verdicts["id"] == claim].set_index("setup")["conclusion"]
    same = same.drop_duplicates("setup").assign(conclusion=lambda rows: rows["setup"].map(whole))
    return same.dropna(subset="estimate").sort_values("estimate", kind="stable")


def _draw_curve(ax: Axes, claim: str, rows: pd.DataFrame, setups: pd.DataFrame) -> None:
    """Draw the specification curve of one claim."""
    first = rows.iloc[0]
    unit = unit_of(first["measure"], first["statistic"])
    there = rows["setup"].tolist()
    names = [*there, *(name for name in setups["setup"] if name not in there)]
    for rank, row in enumerate(rows.itertuples()):
        ends = (unit.scale * end for end in (row.estimate, row.low, row.high))
        mark = _mark(row.conclusion, 5.5)
        plot.draw_row(ax, rank, *ends, width=1.5, label=f"{claim} {row.setup}", **mark)
    for rank in range(len(there), len(names)):
        plot.note_row(ax, rank, "no estimate")
    for side in ("above", "below"):
        if pd.notna(first[side]):
            ax.axvline(unit.scale * first[side], color="0.1", lw=1.2, ls="--", gid=side)
    estimand = first["estimand"]
    if first["at"] in OF_THE_SET_UP:
        estimand = estimand.replace(f", {l2_label(first['l2'])},", ",")
    titled = textwrap.fill(_capital(estimand), 58, break_on_hyphens=False)
    ax.set_title(titled, fontsize=8.5)
    above = {"xytext": (0, 18 + 10.5 * titled.count("\n")), "textcoords": "offset points"}
    ax.annotate(claim, (0, 1), xycoords="axes fraction", fontweight="bold", fontsize=9.5, **above)
    if unit.unit:
        ax.set_xlabel(_capital(unit.unit), fontsize=8.5)
    several = any("," in name for name in setups["setup"])
    if several and len(factors(setups)) <= 3:
        _tabulate_levels(ax, names, setups)
    else:
        _name_setups(ax, names, close(setups))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _name_setups(ax: Axes, names: list[str], near: list[str]) -> None:
    """Write the names of set-ups beside their rows, the base's bold, long ones smaller."""
    plot.name_rows(ax, [textwrap.fill(starred(name, near), 30) for name in names])
    ax.tick_params(axis="y", length=0)
    for label, name in zip(ax.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name == BASE else "normal")
        if "\n" in label.get_text():
            label.set(fontsize=6, linespacing=0.9)


def _tabulate_levels(ax: Axes, names: list[str], setups: pd.DataFrame) -> None:
    """Write beside every row which levels its set-up has; those of the base are grey."""
    near, columns, levels = close(setups), factors(setups), setups.set_index("setup")
    plot.name_rows(ax, [" " * 13 * len(columns)] * len(names))
    ax.tick_params(axis="y", length=0)
    right = {"textcoords": "offset points", "ha": "right"}
    for place, factor in enumerate(columns):
        x = -62 * (len(columns) - place) + 52
        ax.annotate(spaced(factor), (0, 1), (x, 2), xycoords="axes fraction", va="bottom",
                    fontsize=7.5, color="0.35", **right)  # fmt: skip
        for rank, name in enumerate(names):
            label = levels.loc[name, factor]
            usual = name != BASE and label == levels.loc[BASE, factor]
            star = f" {STAR}" if name in near and factor == columns[-1] else ""
            ax.annotate(label + star, (0, rank), (x, 0), xycoords=("axes fraction", "data"),
                        va="center", fontsize=8, color="0.6" if usual else "0.05",
                        fontweight="bold" if name == BASE else "normal", **right)  # fmt: skip
