"""What a study says across its set-ups: sentences and tables, read and counted from its tables.

They are pure functions of the study, as in `text_tables`. No test is made over set-ups: they are
chosen, and not a sample of anything.
"""

from collections.abc import Iterable

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.paths import BASE
from l2study.core.wording import MISSING, fixed, interval, rounded
from l2study.report.navigation import has_page, path_to
from l2study.report.setup_names import STAR, close, in_order, words
from l2study.report.study import Study
from l2study.report.table_cells import Cell, Link, Number, Rows, Verdict, Words

NAMED = 4
"""So many set-ups are named in a sentence; of the others it says how many there are."""

CHOSEN = (
    "These set-ups were chosen. They are no sample of all that there could be, so no test is made"
    " over them, and a share of set-ups is no probability."
)

CLOSE_WORDS = "close to the exercise's figures"


def has_overview(study: Study) -> bool:
    """Return whether the report is that of the base of several set-ups, which has an overview."""
    return len(study.setups) > 1 and study.setup == BASE


# --- sentences ------------------------------------------------------------------------------------


def claim_sentences(study: Study) -> list[tuple[str, str, str]]:
    """Return for every claim its id, its words, and what its verdicts are across the set-ups."""
    verdicts, setups = study.tables["verdicts"], study.tables["setups"]
    names, near = in_order(setups), close(setups)
    return [
        (claim, rows["claim"].iloc[0], _claim(rows.set_index("setup")["verdict"], names, near))
        for claim, rows in verdicts.groupby("id", sort=False)
    ]


def _claim(found: pd.Series, names: list[str], near: list[str]) -> str:
    """Return how often a claim has which verdict, and the set-ups that differ from most."""
    groups = {}
    for name in names:
        if name in found.index:
            groups.setdefault(found[name], []).append(name)
    # of verdicts that are equally frequent, the base's leads: the base comes first
    most = max(groups, key=lambda verdict: len(groups[verdict]))
    total = sum(map(len, groups.values()))
    share = f"all {total}" if len(groups) == 1 else f"{len(groups[most])} of {total}"
    parts = [f"{most[0].upper()}{most[1:]} in {share} set-ups"]
    parts += [f"{verdict} {_with(of)}" for verdict, of in groups.items() if verdict != most]
    if none := [name for name in names if name not in found.index]:
        parts.append(f"no verdict {_with(none)}")
    text = "; ".join(parts) + "."
    close_ones = [name for name in near if name in found.index]
    if close_ones and len(groups) > 1:
        counts = found[close_ones].value_counts(sort=False)
        said = ", ".join(f"{verdict} in {count}" for verdict, count in counts.items())
        if len(counts) == 1:
            said = f"{counts.index[0]} in each"
        some = "the only set-up" if len(close_ones) == 1 else f"the {len(close_ones)} set-ups"
        text += f" Among {some} {CLOSE_WORDS}: {said}."
    return text


def _with(names: list[str]) -> str:
    """Return in which set-ups, such as `in the base, and with batch size 32 or epochs 8`."""
    others = [name for name in names if name != BASE]
    parts = ["in the base"] if BASE in names else []
    if others:
        parts.append(f"with {listed(map(words, others), NAMED - len(parts))}")
    return " and ".join(parts)


def listed(texts: Iterable[str], most: int = NAMED) -> str:
    """Return a list in words: `a, b and c`, or `a, b and 3 more`."""
    texts = list(texts)
    if len(texts) > most:
        texts = [*texts[:most], f"{len(texts) - most} more"]
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def advice(study: Study) -> str:
    """Return which lambda to use in the base, because of what, and which is the best elsewhere."""
    best = study.tables["best"].set_index("setup")["best_l2"].dropna()
    if BASE not in best:
        text = "In the base, validation chooses no lambda."
    else:
        text = (
            f"Use lambda {l2_label(best[BASE])} in the base, which is the configuration without its"
            " factors, because it has the lowest validation cross-entropy there, as a mean over"
            " seeds."
        )
    if best.empty:
        return text
    counts = best.value_counts().sort_index().items()
    each = listed((f"{l2_label(l2)} in {count}" for l2, count in counts), len(best))
    return f"{text} Of the {len(best)} set-ups with a best lambda, it is {each}."


def overview(study: Study) -> list[str]:
    """Return the sentences on all set-ups together, and what is missing or diverged."""
    setups = study.tables["setups"]
    verdicts = study.tables["verdicts"]
    there = verdicts["setup"].nunique()
    some = "" if there == len(setups) else f", and {there} of them have runs to judge by"
    texts = [f"This study has {len(setups)} set-ups{some}. {CHOSEN}"]
    if len(verdicts):
        counts = ", ".join(
            f"{count} {verdict}" for verdict, count in verdicts["verdict"].value_counts().items()
        )
        text = f"Of {len(verdicts)} verdicts, for {verdicts['id'].nunique()} claims in {there}"
        texts.append(f"{text} set-ups: {counts}.")
    near = close(setups)
    if near:
        one = len(near) == 1
        texts.append(
            f"{len(near)} of the {len(setups)} set-ups {'is' if one else 'are'} {CLOSE_WORDS}: the"
            f" first losses differ from them by at most 10 %. {'It has' if one else 'They have'} a"
            f" star ({STAR}): {listed(map(words, near))}."
        )
    elif (setups["close_to_given"] == "no").any():
        texts.append(
            f"None of the set-ups is {CLOSE_WORDS}: the first losses differ from them by more than"
            " 10 %."
        )
    return [*texts, *interactions(study), *lost(study)]


def interactions(study: Study) -> list[str]:
    """Return in how many set-ups lambda changes test accuracy otherwise than in the base."""
    rows, best = study.tables["interactions"], study.tables["best"].set_index("setup")
    rows = rows[(rows["measure"] == "test_accuracy") & (rows["setup"] != BASE)]
    if rows.empty:
        return []
    reference = rows["reference_l2"].iloc[0]
    chosen = best["best_l2"].get(BASE)
    if chosen is None or pd.isna(chosen) or chosen == reference:
        at = "At one lambda at least"
    else:
        rows = rows[rows["l2"] == chosen]
        at = f"At lambda {l2_label(chosen)}, the best in the base"
    compared = set(rows.loc[rows["p_holm"].notna(), "setup"])
    sure = rows[rows["p_holm"] < 1 - study.config["confidence"]]
    differ = sure["setup"].unique().tolist()
    text = (
        f"{at}, the effect of L2 on test accuracy, compared with lambda {l2_label(reference)}, is"
        f" shown to differ from that in the base in {len(differ) or 'none'} of {len(compared)}"
        " other set-ups"
    )
    text += f": {listed(map(words, differ))}." if differ else "."
    texts = [f"{text} That is by paired tests with Holm's correction over the set-ups."]
    all_others = [name for name in in_order(study.tables["setups"]) if name != BASE]
    if without := [name for name in all_others if name not in compared]:
        texts.append(f"This could not be compared with the base: {listed(map(words, without))}.")
    return texts


def lost(study: Study) -> list[str]:
    """Return which set-ups have runs that are missing or diverged; empty if none has."""
    setups, texts = study.tables["setups"], []
    for column, verb in (("diverged", "diverged"), ("missing", "missing")):
        some = setups[setups[column] > 0]
        if len(some):
            each = [
                f"{words(row.setup)} ({getattr(row, column)} of {row.runs})"
                for row in some.itertuples()
            ]
            texts.append(f"Runs {verb} and left out: {listed(each, len(each))}.")
    return texts


# --- tables ---------------------------------------------------------------------------------------


def map_table(study: Study) -> Rows:
    """Return the verdicts as a table: a row per set-up, the base first, and a column per claim."""
    setups, verdicts = study.tables["setups"], study.tables["verdicts"]
    near = close(setups)
    found = verdicts.set_index(["setup", "id"])["verdict"]
    claims = verdicts["id"].unique().tolist()
    return [
        {"Set-up": _link(study, name, near)}
        | {
            claim: Verdict(found[name, claim]) if (name, claim) in found.index else ""
            for claim in claims
        }
        for name in in_order(setups)
    ]


def best_table(study: Study) -> Rows:
    """Return the best lambda of every set-up, and what it is worth."""
    setups, best = study.tables["setups"], study.tables["best"].set_index("setup")
    near, points, nats = close(setups), fixed(2, 100), rounded()
    table = []
    for name in in_order(setups):
        row = best.loc[name] if name in best.index else pd.Series(dtype=float).reindex(best.columns)
        ends = interval(row["best_l2_low"], row["best_l2_high"], _label)
        said = "" if pd.isna(row["resolved"]) else str(row["resolved"])
        table.append(
            {
                "Set-up": _link(study, name, near),
                "Best λ": Words(_label(row["best_l2"]), "" if ends == MISSING else f"({ends})"),
                "Reference λ": _label(row["reference_l2"]),
                "Test accuracy minus that at the reference (points)": Number(
                    row["test_accuracy_difference"],
                    points,
                    row["test_accuracy_low"],
                    row["test_accuracy_high"],
                ),
                "Resolved": said,
                "Test cross-entropy minus that at the reference (nats)": Number(
                    row["test_ce_difference"], nats, row["test_ce_low"], row["test_ce_high"]
                ),
            }
        )
    return table


def _link(study: Study, name: str, near: list[str]) -> Cell:
    if not has_page(study, name):
        return Words(words(name), "no runs")
    return Link(words(name), path_to(study, name), CLOSE_WORDS if name in near else "")


def _label(l2: float) -> str:
    return MISSING if pd.isna(l2) else l2_label(l2)
