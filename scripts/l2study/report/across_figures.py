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
from l2study.core.wording import MISSING, fixed, interval, percent, unit_of
from l2study.report.setup_names import close, crossed, factors, in_order, ordered, spaced, starred
from l2study.report.style import CREST, GREY, RED, WIDTH, figure_key, message

MARKS = {
    "supported": ("o", "#14618c", True),
    "contradicted": ("X", "#b3470f", True),
    "artefact": ("D", "#a87800", True),
    "not resolved": ("o", "#5b6570", False),
    "not judged": ("_", "#5b6570", True),
}
"""The marker of every verdict, its colour, and whether it is filled."""

OTHER = ("s", "#5b6570", False)
"""The mark of a verdict of another name."""

MOST_COLUMNS = 18
"""With more set-ups than this, they are the rows of the verdict map."""

POINTS = fixed(2, 100)
ROW = 0.19
"""Inches between two set-ups that stand below each other."""


def _mark(verdict: str, size: float = 7) -> dict:
    marker, colour, filled = MARKS.get(verdict, OTHER)
    return {
        "marker": marker,
        "ms": size,
        "mec": colour,
        "mfc": colour if filled else "white",
        "mew": 1.8 if marker == "_" else 1.2,
        "ls": "none",
    }


def _verdict_key(found: pd.Series) -> list[Line2D]:
    """Return the entries of a key for the verdicts that occur."""
    there = set(found)
    names = [*(v for v in MARKS if v in there), *sorted(there - set(MARKS))]
    return [Line2D([], [], label=name, **_mark(name)) for name in names]


def verdict_map(setups: pd.DataFrame, verdicts: pd.DataFrame) -> Figure:
    """The verdict on every claim in every set-up, one mark each, the base first."""
    if verdicts.empty:
        return message("No set-up has a verdict: there is nothing to draw.")
    names, near = in_order(setups), close(setups)
    claims = verdicts["id"].unique().tolist()
    labels = [starred(name, near) for name in names]
    across = len(names) <= MOST_COLUMNS
    columns, rows = (labels, claims) if across else (claims, labels)
    turned = "\n".join(columns) if not across else max(columns, key=len)
    head = 0.075 * min(max(map(len, turned.split("\n"))), 34)
    drawing = Figure(figsize=(WIDTH, 0.27 * len(rows) + head + 0.75), layout="constrained")
    ax = drawing.subplots()
    for row in verdicts.itertuples():
        if row.setup not in names:
            continue
        place = names.index(row.setup), claims.index(row.id)
        x, y = place if across else place[::-1]
        ax.plot(x, y, label=f"{row.setup} {row.id}", **_mark(row.verdict))
    ax.set_xticks(range(len(columns)), [textwrap.fill(c, 34) for c in columns], rotation=90)
    ax.set_yticks(range(len(rows)), rows)
    ax.xaxis.tick_top()
    ax.set_xlim(-0.6, len(columns) - 0.4)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(length=0)
    ax.grid(visible=True, axis="both")
    ax.spines[:].set_visible(False)
    base = (-0.5, -0.5, 1, len(claims)) if across else (-0.5, -0.5, len(claims), 1)
    ax.add_patch(Rectangle(base[:2], *base[2:], color="0.5", alpha=0.12, lw=0, gid="base"))
    drawing.legend(handles=_verdict_key(verdicts["verdict"]), loc="outside lower left", ncols=3)
    return drawing


# --- the estimates behind the verdicts ------------------------------------------------------------


def deciding(verdicts: pd.DataFrame, all_claims: pd.DataFrame, claim: str) -> pd.DataFrame:
    """Return the estimate that decided `claim` in the base, in every set-up; empty if none did.

    A row has `setup`, `estimate`, `low`, `high`, the bounds, and the `verdict` on the whole claim
    in that set-up. Rows are sorted by the estimate.
    """
    rows = all_claims[all_claims["id"] == claim]
    base = rows[(rows["setup"] == BASE) & (rows["decisive"] == "yes") & rows["estimate"].notna()]
    if base.empty:
        return base
    first = base.iloc[0]
    same = rows[rows["estimand"] == first["estimand"]]
    same = same[same["l2"].isna() if pd.isna(first["l2"]) else same["l2"] == first["l2"]]
    whole = verdicts[verdicts["id"] == claim].set_index("setup")["verdict"]
    same = same.drop_duplicates("setup").assign(verdict=lambda rows: rows["setup"].map(whole))
    return same.dropna(subset="estimate").sort_values("estimate", kind="stable")


def specification(
    setups: pd.DataFrame, verdicts: pd.DataFrame, all_claims: pd.DataFrame, confidence: float
) -> Figure:
    """What decided every claim in the base, as it is in every set-up: a specification curve each.

    A row is a set-up, sorted by the estimate. Beside the names of the set-ups, or in a column for
    each of two or three factors whose levels are combined, stands what is set otherwise.
    """
    claims = verdicts["id"].unique().tolist()
    curves = {claim: deciding(verdicts, all_claims, claim) for claim in claims}
    high = ROW * len(setups) + 0.95
    heights = [high if len(rows) else 0.6 for rows in curves.values()]
    if not claims:
        return message("No set-up has a verdict: there is nothing to draw.")
    drawing = Figure(figsize=(WIDTH, sum(heights) + 0.5), layout="constrained")
    drawing.get_layout_engine().set(h_pad=0.06, w_pad=0.05, hspace=0.02)
    axes = drawing.subplots(len(claims), 1, height_ratios=heights, squeeze=False)[:, 0]
    for ax, (claim, rows) in zip(axes, curves.items(), strict=True):
        if rows.empty:
            ax.set_axis_off()
            ax.set_title(claim, fontweight="bold")
            ax.text(0, 0.5, "No estimate decided this claim in the base.", va="center")
        else:
            _curve(ax, claim, rows, setups)
    handles = [
        *_verdict_key(verdicts["verdict"]),
        Line2D([], [], color=GREY, lw=1.5, label=f"{percent(confidence)} interval"),
        Line2D([], [], color="0.1", lw=1.2, ls="--", label="what the claim needs"),
    ]
    figure_key(drawing, handles, 3)
    return drawing


def _curve(ax: Axes, claim: str, rows: pd.DataFrame, setups: pd.DataFrame) -> None:
    """Draw the specification curve of one claim."""
    first = rows.iloc[0]
    unit = unit_of(first["measure"], first["statistic"])
    there = rows["setup"].tolist()
    names = [*there, *(name for name in in_order(setups) if name not in there)]
    for rank, row in enumerate(rows.itertuples()):
        look = _mark(row.verdict, 5.5)
        if pd.notna(row.low):
            ax.hlines(rank, unit.scale * row.low, unit.scale * row.high, color=look["mec"], lw=1.5)
        ax.plot(unit.scale * row.estimate, rank, label=f"{claim} {row.setup}", **look)
    for rank in range(len(there), len(names)):
        ax.text(0.02, rank, "no estimate", color=RED, fontsize=8, va="center",
                transform=ax.get_yaxis_transform())  # fmt: skip
    for side in ("above", "below"):
        if pd.notna(first[side]):
            ax.axvline(unit.scale * first[side], color="0.1", lw=1.2, ls="--", gid=side)
    titled = textwrap.fill(
        f"{first['estimand'][0].upper()}{first['estimand'][1:]}", 58, break_on_hyphens=False
    )
    ax.set_title(titled, fontsize=8.5)
    ax.annotate(claim, (0, 1), xycoords="axes fraction", xytext=(0, 18 + 10.5 * titled.count("\n")),
                textcoords="offset points", fontweight="bold", fontsize=9.5)  # fmt: skip
    if unit.unit:
        ax.set_xlabel(f"{unit.unit[0].upper()}{unit.unit[1:]}", fontsize=8.5)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(visible=True, axis="both")
    ax.tick_params(axis="y", length=0)
    _grid(ax, names, setups)


def _name_rows(ax: Axes, names: list[str], near: list[str]) -> None:
    """Write the names of set-ups beside their rows, the base's bold, long ones smaller."""
    texts = [textwrap.fill(starred(name, near), 30) for name in names]
    ax.set_yticks(range(len(names)), texts)
    for label, name in zip(ax.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name == BASE else "normal")
        if "\n" in label.get_text():
            label.set(fontsize=6, linespacing=0.9)


def _grid(ax: Axes, names: list[str], setups: pd.DataFrame) -> None:
    """Write beside every row which levels its set-up has; those of the base are grey."""
    near, columns = close(setups), factors(setups)
    levels = setups.set_index("setup")
    several = any(name.count(",") for name in levels.index)
    if not several or len(columns) > 3:
        _name_rows(ax, names, near)
        return
    ax.set_yticks(range(len(names)), [" " * 13 * len(columns)] * len(names))
    own = levels.loc[BASE]
    for place, factor in enumerate(columns):
        x = -62 * (len(columns) - place) + 52
        ax.annotate(spaced(factor), (0, 1), (x, 2), xycoords="axes fraction",
                    textcoords="offset points", ha="right", va="bottom", fontsize=7.5,
                    color="0.35")  # fmt: skip
        for rank, name in enumerate(names):
            label = levels.loc[name, factor]
            star = " ★" if name in near and place == len(columns) - 1 else ""
            ax.annotate(label + star, (0, rank), (x, 0), xycoords=("axes fraction", "data"),
                        textcoords="offset points", ha="right", va="center", fontsize=8,
                        color="0.6" if name != BASE and label == own[factor] else "0.05",
                        fontweight="bold" if name == BASE else "normal")  # fmt: skip


# --- what L2 is worth -----------------------------------------------------------------------------


def benefit(setups: pd.DataFrame, best: pd.DataFrame, confidence: float) -> Figure:
    """What the best lambda adds to test accuracy in every set-up, and which lambda that is.

    A heat map where the set-ups combine all levels of two factors, otherwise a row each.
    """
    if best["best_l2"].isna().all():
        return message("No set-up has a best lambda: there is nothing to draw.")
    axes = crossed(setups)
    if axes is None:
        return _benefit_rows(setups, best, confidence)
    return _benefit_map(setups, best, *axes)


def _benefit_rows(setups: pd.DataFrame, best: pd.DataFrame, confidence: float) -> Figure:
    names, near, found = in_order(setups), close(setups), best.set_index("setup")
    drawing = Figure(figsize=(WIDTH, 0.24 * len(names) + 1.25), layout="constrained")
    ax = drawing.subplots()
    ax.axvline(0, color="0.35", lw=0.9)
    for rank, name in enumerate(names):
        row = found.loc[name] if name in found.index else None
        if row is None or pd.isna(row["best_l2"]):
            ax.text(0.02, rank, "no best lambda", color=RED, fontsize=8, va="center",
                    transform=ax.get_yaxis_transform())  # fmt: skip
            continue
        ax.text(1.03, rank, _label(row["best_l2"]), fontsize=8.5, va="center_baseline",
                transform=ax.get_yaxis_transform())  # fmt: skip
        value, low, high = _points(row)
        ax.hlines(rank, low, high, color="#14618c", lw=2)
        ax.plot(value, rank, "o", ms=6, mec="#14618c", mew=1.3, label=name,
                mfc="#14618c" if row["resolved"] == "yes" else "white")  # fmt: skip
    ax.text(1.03, -0.9, "best λ", fontsize=8.5, va="bottom", color="0.35",
            transform=ax.get_yaxis_transform())  # fmt: skip
    _name_rows(ax, names, near)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=True, axis="x")
    ax.set_xlabel(f"Test accuracy at the best λ,\nminus that at {_reference(best)} (points)")
    handles = [
        Line2D([], [], marker="o", ms=6, color="#14618c", lw=2,
               label=f"{percent(confidence)} interval without 0"),
        Line2D([], [], marker="o", ms=6, color="#14618c", lw=2, mfc="white", label="not resolved"),
    ]  # fmt: skip
    figure_key(drawing, handles)
    return drawing


def _benefit_map(setups: pd.DataFrame, best: pd.DataFrame, tall: str, wide: str) -> Figure:
    import seaborn as sns  # takes a second, and few studies have this figure

    rows, columns = ordered(setups[tall]), ordered(setups[wide])
    there = setups[["setup", tall, wide]].merge(best, on="setup", how="left")
    height = 2 * (0.5 * len(rows) + 0.55) + 0.45
    drawing = Figure(figsize=(WIDTH, height), layout="constrained")
    worth, chosen = drawing.subplots(2, 1)
    values = 100 * there.pivot(index=tall, columns=wide, values="test_accuracy_difference")
    most = float(np.nanmax(np.abs(values))) if values.notna().any(axis=None) else 0.0
    lambdas = ordered(l2_label(v) for v in there["best_l2"].dropna())
    ranks = there["best_l2"].map(lambda v: lambdas.index(l2_label(v)) if pd.notna(v) else np.nan)
    shades = there.assign(rank=ranks.astype(float)).pivot(index=tall, columns=wide, values="rank")
    for ax, cells, look in (
        (worth, values, {"cmap": "vlag_r", "vmin": -(most or 1), "vmax": most or 1}),
        (chosen, shades, {"cmap": ListedColormap(CREST(np.linspace(0, 0.75, len(lambdas))))}),
    ):
        sns.heatmap(
            cells.loc[rows, columns], ax=ax, cbar=False, linewidths=1.5, linecolor="white", **look
        )
        ax.set(xlabel=spaced(wide).capitalize(), ylabel=spaced(tall).capitalize())
        ax.tick_params(length=0)
        ax.tick_params(axis="y", rotation=0)
        ax.grid(visible=False)
    size = min(9.5, 46 / len(columns) + 1.5)
    for row in there.to_dict("records"):
        x, y = columns.index(row[wide]), rows.index(row[tall])
        _write_cell(worth, x, y, row, size, most)
        ends = interval(row["best_l2_low"], row["best_l2_high"], _label)
        text = _label(row["best_l2"])
        dark = pd.notna(row["best_l2"]) and lambdas.index(text) > 0.45 * len(lambdas)
        below = "" if ends == MISSING or len(columns) > 6 else f"\n{ends}"
        chosen.text(x + 0.5, y + 0.5, text + below, ha="center", va="center", fontsize=size - 0.5,
                    color="white" if dark else "0.1")  # fmt: skip
    worth.set_title(f"Test accuracy at the best λ, minus that at {_reference(best)} (points)")
    chosen.set_title("Best λ")
    handles = [Patch(fc="white", ec="0.6", hatch="////", lw=0, label="not resolved from 0")]
    if (there["resolved"] != "yes").any():
        figure_key(drawing, handles)
    return drawing


def _write_cell(ax: Axes, x: int, y: int, row: dict, size: float, most: float) -> None:
    value, low, high = _points(row)
    if np.isnan(value):
        ax.text(x + 0.5, y + 0.5, "no runs", ha="center", va="center", fontsize=size, color=RED)
        return
    open_question = row["resolved"] != "yes"
    if open_question:
        look = {"fc": "white", "ec": "0.8", "hatch": "////", "lw": 0}
        gid = f"open {row['setup']}"
        ax.add_patch(Rectangle((x + 0.01, y + 0.02), 0.98, 0.96, gid=gid, **look))
    sign = "+" if value > 0 else ""
    text = f"{sign}{POINTS(value / 100)}"
    ends = interval(low / 100, high / 100, POINTS)
    text += "" if ends == MISSING else f"\n{ends}"
    light = open_question or abs(value) < 0.6 * most
    ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=size - 0.5,
            color="0.1" if light else "white", linespacing=1.3,
            bbox={"fc": "white", "ec": "none", "pad": 1.5} if open_question else None)  # fmt: skip


def _points(row: pd.Series | dict) -> tuple[float, float, float]:
    names = ("difference", "low", "high")
    return tuple(100 * row[f"test_accuracy_{name}"] for name in names)


def _label(l2: float | None) -> str:
    return MISSING if l2 is None or pd.isna(l2) else l2_label(l2)


def _reference(best: pd.DataFrame) -> str:
    known = best["reference_l2"].dropna()
    return f"λ = {l2_label(known.iloc[0])}" if len(known) else "the reference"
