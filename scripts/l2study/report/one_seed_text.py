"""What one seed would have said beside what all seeds say, from the table `one_seed`.

The counts are in that table. The script reports/page/one_seed.js draws a seed and fills in a column
of the table that `drawing` is about.
"""

import json

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.wording import interval, labelled, optimum, rounded
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows
from l2study.report.templates import paragraphs

MOST_CELLS = 20_000
"""So many cells of single seeds are on the page at most, about 0.3 MB."""

_PERCENT = rounded(2, 100)
_OPPOSITE = {"picks another": "another lambda", "opposite sign": "opposite sign"}


def text(study: Study) -> list[str]:
    """Return how often a seed would have picked another lambda, or shown the opposite sign."""
    counts, design = study.tables["one_seed"], study.design
    counts = counts.assign(share_interval=list(map(_share, counts.itertuples())))
    signs = counts[counts["finding"] == "opposite sign"]
    least_sure = signs.loc[signs["share"].idxmax()] if len(signs) else None
    return paragraphs(
        "one_seed",
        level=design.confidence,
        asked=len(counts),
        picks=counts[counts["finding"] == "picks another"].to_dict("records"),
        measures_shown=signs["measure"].unique().tolist(),
        least_sure=least_sure,
        resolved=least_sure is not None and _resolved(study, least_sure),
        crossed=design.is_crossed,
    )


def _resolved(study: Study, row: pd.Series) -> bool:
    """Return whether all seeds together resolve the sign of a difference."""
    whole = _contrasts(study).loc[(row["measure"], row["l2"])]
    return not whole["low"] <= 0 <= whole["high"]


def counts_table(study: Study) -> Rows:
    """Return a row per lambda: how many seeds pick it, and how many show the opposite sign."""
    counts, rows = study.tables["one_seed"], {}
    for row in counts[counts["finding"] != "picks another"].itertuples():
        cells = rows.setdefault(row.l2, {"λ": Number(row.l2, l2_label)})
        head = (
            "Picked by"
            if row.finding == "picks"
            else f"{MEASURES[row.measure].label}, opposite sign"
        )
        cells[head] = f"{row.count} of {row.n}"
    heads = dict.fromkeys(head for cells in rows.values() for head in cells)
    return [{head: cells.get(head, "–") for head in heads} for _, cells in sorted(rows.items())]


def drawing(study: Study) -> dict | None:
    """Return what the button that draws a seed needs; None if there is nothing to say.

    `seeds` are those it draws from, of `all`. `rows` has for each row of the table `what` it is,
    what seeds say that are `opposite`, and what all seeds say (`of_all`). The numbers of every seed
    are `data`, as JSON: `seeds`, and for each row and each of them, `said` as text and `other`,
    whether that is counted in the table.
    """
    counts = study.tables["one_seed"]
    shown = counts[counts["finding"] != "picks"]
    if shown.empty:
        return None
    runs = study.tables["runs"]
    runs = runs[runs["seed"].isin(study.design.independent_seeds)]
    seeds = sorted(set(runs.loc[runs["status"] == "completed", "seed"]))
    drawn = seeds[: max(1, MOST_CELLS // len(shown))]
    contrasts = _contrasts(study)
    rows, said, other = [], [], []
    for row in shown.itertuples():
        if row.finding == "picks another":
            what = f"Lambda with the {optimum(row.measure)}"
            of_all = l2_label(row.l2)
            picks = counts[counts["finding"] == "picks"].itertuples()
            own = {seed: l2_label(one.l2) for one in picks for seed in _seeds(one)}
        else:
            measure, whole = MEASURES[row.measure], contrasts.loc[(row.measure, row.l2)]
            form = rounded(3, measure.scale)
            what = f"{labelled(measure)}: λ {l2_label(row.l2)} less λ {l2_label(row.reference_l2)}"
            of_all = Number(whole["mean_difference"], form, whole["low"], whole["high"])
            values = runs.pivot(index="seed", columns="l2", values=row.measure)
            own = (values[row.l2] - values[row.reference_l2]).dropna().map(form)
        rows.append({"what": what, "opposite": _OPPOSITE[row.finding], "of_all": of_all})
        said.append([own.get(seed, "–") for seed in drawn])
        other.append([int(seed in _seeds(row)) for seed in drawn])
    data = {"seeds": drawn, "said": said, "other": other}
    content = json.dumps(data, separators=(",", ":"))
    return {"seeds": drawn, "all": len(seeds), "rows": rows, "data": content}


def _contrasts(study: Study) -> pd.DataFrame:
    return study.shown["contrasts"].set_index(["measure", "l2"])


def _seeds(row: tuple) -> set[int]:
    return set() if pd.isna(row.which_seeds) else set(map(int, row.which_seeds.split()))


def _share(row: tuple) -> str:
    return f"{interval(row.low, row.high, _PERCENT)} %"
