"""The page of findings: a template, and what it may ask of the reference results."""

import itertools
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import widest
from l2study.core.seeds import TOTAL
from l2study.core.wording import fixed, form_of, interval
from l2study.report import figures
from l2study.report.setup_names import crossed, ordered, spaced
from l2study.report.study import Study, read_results
from l2study.report.table_cells import Number, Rows, Verdict, markdown_table
from l2study.report.text_tables import gap_table

TEMPLATE = Path("reports") / "findings.md.j2"

PICTURES = {
    "decomposition.png": ("mnist", "decomposition"),
    "verdicts.png": ("robustness", "verdict_map"),
    "gap.png": ("robustness", "decomposition"),
    "benefit.png": ("when-it-helps", "benefit"),
    "variance.png": ("variance", "variance"),
}
"""Every picture: the study that it is of, and which of its figures it is."""

STUDIES = ("mnist", "robustness", "when-it-helps", "variance")


class FindingsError(ValueError):
    """A sentence of the page is not what the tables say. The message is one line."""


def findings(project: Path) -> tuple[str, dict[str, bytes]]:
    """Return the page as Markdown, and its pictures as PNG by their names.

    Args:
        project: the folder of the project, with reference/ and the template.

    Raises:
        FindingsError: a sentence of the template does not hold.
        ReportError: a reference cannot be read.
    """
    studies = {name: read_results(project / "reference" / name) for name in STUDIES}
    environment = Environment(
        loader=FileSystemLoader(project),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template(str(TEMPLATE))
    page = template.render(
        studies=studies,
        **{function.__name__: function for function in OFFERED},
    )
    drawn = {
        file: figures.render(figures.draw(figure, studies[name]))["png"]
        for file, (name, figure) in PICTURES.items()
    }
    return page, drawn


def holds(condition: bool, sentence: str) -> str:
    """Return `sentence`, which stands on the page only as long as it holds."""
    if not condition:
        raise FindingsError(f"{TEMPLATE}: the reference results no longer say: {sentence}")
    return sentence


def link(study: str, *tables: str) -> str:
    """Return where numbers come from, as links to tables of a reference."""
    folder = f"../reference/{study}/tables"
    return ", ".join(f"[{table}.csv]({folder}/{table}.csv)" for table in tables)


# --- numbers --------------------------------------------------------------------------------------


def mean(study: Study, measure: str, l2: float) -> Number:
    """Return the mean of a measure at a lambda, for other seeds and images where there is that."""
    means = widest(study.tables["means"], ["measure", "l2"])
    return _number(means[means["l2"] == l2], measure, "mean")


def difference(study: Study, measure: str, l2: float) -> Number:
    """Return by how much a measure at a lambda differs from that at the reference lambda."""
    contrasts = widest(study.tables["contrasts"], ["measure", "l2"])
    return _number(contrasts[contrasts["l2"] == l2], measure, "mean_difference")


def best(study: Study, setup: str) -> dict:
    """Return the best lambda of a set-up as `l2`, and its `gain` in test accuracy over none.

    The gain is in points. `low` and `high` are the ends of its interval, as fractions.
    """
    row = study.tables["best"].set_index("setup").loc[setup]
    low, high = row["test_accuracy_low"], row["test_accuracy_high"]
    gain = Number(row["test_accuracy_difference"], fixed(2, 100), low, high)
    return {"l2": l2_label(row["best_l2"]), "gain": gain, "low": low, "high": high}


def most_of(study: Study, setups: list[str], end: str) -> float:
    """Return the largest of one end of the intervals of the gain in these set-ups, a fraction."""
    return max(best(study, setup)[end] for setup in setups)


def resolved(study: Study, setups: list[str]) -> list[str]:
    """Return those of the set-ups in which the interval of the gain leaves out 0."""
    rows = study.tables["best"].set_index("setup")["resolved"]
    return [setup for setup in setups if rows[setup] == "yes"]


def falls(study: Study, setups: list[str]) -> bool:
    """Return whether the best lambda of every set-up is below that of the one before."""
    found = [float(best(study, setup)["l2"]) for setup in setups]
    return all(after < before for before, after in itertools.pairwise(found))


def one_seed(study: Study, says: str, measure: str = "val_ce", l2: float | None = None) -> dict:
    """Return n, count and share (in percent) of the seeds that alone say this."""
    rows = study.tables["one_seed"]
    rows = rows[(rows["says"] == says) & (rows["measure"] == measure)]
    (row,) = rows[(rows["l2"] == l2) | (l2 is None)].itertuples()
    share = Number(row.share, fixed(0, 100), row.low, row.high)
    return {"n": row.n, "count": row.count, "share": share}


def shares(study: Study, measure: str, column: str = "share") -> dict[str, list[float]]:
    """Return for every source its shares of a measure's variance, or one end, a value a lambda."""
    return _sources(study, measure).groupby("source")[column].agg(list).to_dict()


def _sources(study: Study, measure: str) -> pd.DataFrame:
    rows = study.tables["variance"]
    return rows[(rows["measure"] == measure) & (rows["source"] != TOTAL)]


def _number(rows: pd.DataFrame, measure: str, column: str) -> Number:
    (row,) = rows[rows["measure"] == measure].to_dict("records")
    return Number(row[column], form_of(MEASURES[measure]), row["low"], row["high"])


# --- tables ---------------------------------------------------------------------------------------


def verdict_counts(study: Study) -> dict[str, pd.Series]:
    """Return for every claim how many set-ups have which verdict, the most frequent first."""
    verdicts = study.tables["verdicts"]
    return {
        claim: rows["verdict"].value_counts() for claim, rows in verdicts.groupby("id", sort=False)
    }


def verdict_table(study: Study) -> Rows:
    """Return a row per claim: its words, its verdict in the base, and those of all set-ups."""
    verdicts = study.tables["verdicts"]
    base = verdicts[verdicts["setup"] == "base"].set_index("id")
    return [
        {
            "Claim": base.loc[claim, "claim"],
            "In the set-up closest to the exercise": Verdict(base.loc[claim, "verdict"]),
            f"In all {verdicts['setup'].nunique()} set-ups": ", ".join(
                f"{verdict} {count}" for verdict, count in counts.items()
            ),
        }
        for claim, counts in verdict_counts(study).items()
    ]


def turning(study: Study) -> dict[str, dict]:
    """Return the claims whose verdict is the same in all set-ups (never) and the others (some).

    Each maps the id of a claim to its most frequent verdict.
    """
    found = {"never": {}, "some": {}}
    for claim, counts in verdict_counts(study).items():
        found["never" if len(counts) == 1 else "some"][claim] = counts.index[0]
    return found


def differing(study: Study, claim: str, verdict: str) -> list[str]:
    """Return the set-ups in which a claim has another verdict than this."""
    rows = study.tables["verdicts"]
    return rows.loc[(rows["id"] == claim) & (rows["verdict"] != verdict), "setup"].tolist()


def three_parts(study: Study) -> Rows:
    """Return a row per lambda with the reported gap at the last epoch and its three parts."""
    heads = ("λ", "Reported", "= lag", "+ generalisation", "+ split")
    return [{head: row[head] for head in heads} for row in gap_table(study)]


def benefit_table(study: Study) -> Rows:
    """Return a row per set-up of two factors: the best lambda, and its gain in test accuracy."""
    setups, best = study.tables["setups"], study.tables["best"].set_index("setup")
    tall, wide = crossed(setups)
    rows = []
    for one in setups.to_dict("records"):
        row = best.loc[one["setup"]]
        rows.append(
            {
                spaced(tall).capitalize(): one[tall],
                spaced(wide).capitalize(): one[wide],
                "Best λ (range)": f"{l2_label(row['best_l2'])}"
                f" ({interval(row['best_l2_low'], row['best_l2_high'], l2_label)})",
                "Test accuracy minus that without L2 (points)": Number(
                    row["test_accuracy_difference"],
                    fixed(2, 100),
                    row["test_accuracy_low"],
                    row["test_accuracy_high"],
                ),
            }
        )
    place = {label: rank for rank, label in enumerate(ordered(setups[tall]))}
    return sorted(rows, key=lambda row: (place[row[spaced(tall).capitalize()]],
                                         float(row[spaced(wide).capitalize()])))  # fmt: skip


def share_table(study: Study, measure: str) -> Rows:
    """Return a row per source, and for every lambda what share of a measure's variance it makes."""
    return [
        {"Source": source.replace(" x ", " × ")}
        | {
            f"Share at λ = {l2_label(row.l2)} (%)": Number(
                row.share, fixed(0, 100), row.share_low, row.share_high
            )
            for row in rows.itertuples()
        }
        for source, rows in _sources(study, measure).groupby("source", sort=False)
    ]


OFFERED = (
    holds,
    link,
    markdown_table,
    mean,
    difference,
    best,
    most_of,
    resolved,
    falls,
    one_seed,
    shares,
    verdict_table,
    turning,
    differing,
    three_parts,
    benefit_table,
    share_table,
)
"""What the template may call."""
