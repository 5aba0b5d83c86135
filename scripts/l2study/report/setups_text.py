"""What a study says across its set-ups: facts for the text setups.txt.j2, and tables.

No test is made over set-ups: they are chosen, and not a sample of anything.
"""

import pandas as pd

from l2study.core.choose_by import other_metric
from l2study.core.labels import l2_label
from l2study.core.lambda_grid import AT_END, BEYOND
from l2study.core.measures import MEASURES
from l2study.core.paths import BASE
from l2study.core.wording import MISSING, fixed, interval, lambda_text, rounded
from l2study.report import data_text
from l2study.report.answer import Answer
from l2study.report.navigation import page_link
from l2study.report.setup_names import COUNTS, close, words
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows, Verdict, Words
from l2study.report.templates import line, paragraphs
from l2study.report.text_tables import gain


def has_overview(study: Study) -> bool:
    """Return whether the report is that of the base of several set-ups, which has an overview."""
    return len(study.setups) > 1 and study.setup == BASE


# --- sentences ------------------------------------------------------------------------------------


def answer(study: Study) -> Answer:
    """Return the answer of a study of several set-ups: which lambda is the best where."""
    found = facts(study)
    headline, *sentences = paragraphs("advice", **found)
    if data_text.withholds(study):
        headline = data_text.text(study)[0]
    setups, state = study.tables["setups"], []
    counts = {kind: int(setups[kind].sum()) for kind in COUNTS}
    lost = counts["completed"] < counts["runs"]
    for part, wrong in {"runs": lost, "grid": bool(found["ends"])}.items():
        state.append((line("advice_state", part=part, counts=counts, **found), wrong))
    sentences += paragraphs(
        "setups",
        close=close(setups),
        others=(setups["matches_exercise"] == "no").any(),
        interactions=interactions(study),
    )
    return Answer(headline, sentences, [], state, [], found)


def facts(study: Study) -> dict:
    """Return which lambda is the best in the base, by which metric, and which elsewhere.

    `chosen` counts the set-ups by their best lambda. `ends` has by what is wrong with the grid the
    set-ups where it is, each with the lambda to add, which a next round does if `in_rounds`.
    `differing` are the set-ups where the other metric chooses clearly otherwise. `gains` are the
    lowest and highest difference in test accuracy from the reference, and `higher` how many of them
    are clearly above 0.
    """
    best, metric = study.best.set_index("setup"), study.best["metric"].iloc[0]
    ends = best[best["grid"].isin([AT_END, BEYOND])]
    differing = best[best["metrics_differ"] == "yes"]
    form, known = fixed(2, 100), best[best["best_l2"].notna()]
    gains = known["test_accuracy_difference"]
    reach = {one.name: one.reach for one in study.setups}
    return {
        "base": known["best_l2"].get(BASE),
        "metric": metric,
        "chosen": known["best_l2"].value_counts().sort_index().rename(l2_label).to_dict(),
        "ends": {
            grid: [(words(name), lambda_text(l2)) for name, l2 in own["next_l2"].items()]
            for grid, own in ends.groupby("grid")
        },
        "in_rounds": any(
            l2_label(l2) in reach.get(name, ()) for name, l2 in ends["next_l2"].dropna().items()
        ),
        "other": other_metric(metric),
        "differing": [
            (words(row.Index), l2_label(row.other_l2), _change(row.other_difference))
            for row in differing.itertuples()
        ],
        "gains": [form(gains.min()), form(gains.max())] if len(gains) else [],
        "higher": int((known["test_accuracy_low"] > 0).sum()),
    }


def _change(accuracy: float) -> str:
    """Return a difference in accuracy in words."""
    side = "higher" if accuracy > 0 else "lower"
    return f"{fixed(2, 100)(abs(accuracy))} points {side}"


def interactions(study: Study) -> dict | None:
    """Return in which set-ups lambda changes test accuracy otherwise than in the base.

    At the lambda that is best in the base, or at any (`l2` is None) if that is the reference.
    `compared` and `incomparable` are the other set-ups, and `differing` those of the former with an
    adjusted p-value that shows it. None if there is nothing to compare.
    """
    rows = study.tables["interactions"]
    rows = rows[(rows["measure"] == "test_accuracy") & (rows["setup"] != BASE)]
    if rows.empty:
        return None
    reference = rows["reference_l2"].iloc[0]
    l2 = study.best.set_index("setup")["best_l2"].get(BASE)
    if l2 is None or pd.isna(l2) or l2 == reference:
        l2 = None
    else:
        rows = rows[rows["l2"] == l2]
    compared = set(rows.loc[rows["p_holm"].notna(), "setup"])
    return {
        "l2": l2,
        "reference": reference,
        "compared": compared,
        "differing": rows.loc[rows["p_holm"] < 1 - study.config["confidence"], "setup"].unique(),
        "incomparable": [
            name for name in study.tables["setups"]["setup"] if name not in {BASE, *compared}
        ],
    }


def claim_sentences(study: Study) -> list[tuple[str, str, str]]:
    """Return for every claim its id, its words, and what its verdicts are across the set-ups."""
    found = []
    for claim, rows in study.tables["verdicts"].groupby("id", sort=False):
        text = line("claim_in_setups", **claim_in_setups(study, claim))
        found.append((claim, rows["claim"].iloc[0], text))
    return found


def claim_in_setups(study: Study, claim: str) -> dict:
    """Return in which set-ups the conclusion of a claim holds, fails or is open: `conclusions`, the
    most frequent first.

    `without` are the set-ups without a verdict, `close` the conclusions in those that are close to
    the exercise's figures, counted, and `figure` in how many set-ups its figure is found; None for
    a claim without a figure.
    """
    setups, verdicts = study.tables["setups"], study.tables["verdicts"]
    own = verdicts[verdicts["id"] == claim].set_index("setup")
    found, figure = own["conclusion"], own["figure_found"].dropna()
    names, groups = setups["setup"].tolist(), {}
    for name in names:
        if name in found.index:
            groups.setdefault(found[name], []).append(name)
    # of verdicts that are equally frequent, the base's leads: the base comes first
    most = max(groups, key=lambda conclusion: len(groups[conclusion]))
    near = found[[name for name in close(setups) if name in found.index]]
    return {
        "conclusions": {most: groups[most], **groups},
        "without": [name for name in names if name not in found.index],
        "close": near.value_counts(sort=False).to_dict(),
        "figure": (figure == "yes").sum() if len(figure) else None,
    }


# --- tables ---------------------------------------------------------------------------------------


def map_table(study: Study) -> Rows:
    """Return the verdicts as a table: a row per set-up, the base first, and a column per claim."""
    verdicts = study.tables["verdicts"]
    found = {
        (row.setup, row.id): Verdict(
            row.conclusion, "number found" if row.figure_found == "yes" else ""
        )
        for row in verdicts.itertuples()
    }
    return [
        {"Set-up": _link(study, name)}
        | {claim: found.get((name, claim), "") for claim in verdicts["id"].unique()}
        for name in study.tables["setups"]["setup"]
    ]


def best_table(study: Study) -> Rows:
    """Return the best lambda of every set-up by each metric, and what it is worth."""
    points, table = fixed(2, 100), []
    rows = study.tables["setups"][["setup"]].merge(study.tables["best"], on="setup", how="left")
    for row in rows.fillna({"metric": "", "grid": ""}).to_dict("records"):
        ends = interval(row["best_l2_low"], row["best_l2_high"], lambda_text)
        beneath = "" if ends == MISSING else f"({ends})"
        table.append(
            {
                "Set-up": _link(study, row["setup"]),
                "Chosen by": MEASURES[row["metric"]].label if row["metric"] else "",
                "Best λ": Words(lambda_text(row["best_l2"]), beneath),
                "Grid": row["grid"],
                "Reference λ": lambda_text(row["reference_l2"]),
                "Test accuracy minus that at the reference (points)": gain(
                    row, "test_accuracy", points
                ),
                "Test cross-entropy minus that at the reference (nats)": gain(
                    row, "test_ce", rounded()
                ),
                "Expected regret (points)": Number(row["test_accuracy_regret"], points),
                "with one seed (points)": Number(row["test_accuracy_regret_one_seed"], points),
            }
        )
    return table


def _link(study: Study, name: str) -> Words:
    near = name in close(study.tables["setups"])
    return page_link(study, name, words(name), "close to the exercise's figures" if near else "")
