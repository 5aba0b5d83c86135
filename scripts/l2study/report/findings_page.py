"""The page of findings: a template, and what it may ask of the reference results."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from l2study.core.choose_by import CHOOSE_BY, on_test
from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES, Measure
from l2study.core.wording import bounds, fixed
from l2study.report import figures
from l2study.report.setup_names import crossed, ordered, spaced
from l2study.report.study import Study, read_package, read_results
from l2study.report.table_cells import Number, Rows, Verdict
from l2study.report.templates import environment, filled
from l2study.report.text_tables import gain, gap_table

TEMPLATE = Path("reports") / "findings.md.j2"

PICTURES = {
    "decomposition.png": ("mnist", "decomposition"),
    "verdicts.png": ("robustness", "verdict_map"),
    "gap.png": ("robustness", "decomposition"),
    "benefit.png": ("when-it-helps", "benefit"),
    "variance.png": ("variance", "variance"),
}
"""Every picture: the study that it is of, and which of its figures it is."""


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
    folders = [tables.parent for tables in (project / "reference").glob("*/tables")]
    studies = {folder.name: read_results(folder) for folder in folders}
    lenet = project / "reference" / "lenet"
    cnns = {setup: read_results(lenet, setup) for setup in read_package(lenet)["data"]}
    template = environment(project).get_template(str(TEMPLATE))
    page = template.render(globals(), studies=studies, cnns=cnns)  # it may call what is below
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


def ranged(
    row: pd.Series, column: str, low: str = "low", high: str = "high", digits: int = 2
) -> Number:
    """Return a share or an accuracy of a table, in percent or points, with its interval."""
    return Number(row[column], fixed(digits, 100), row[low], row[high])


# --- tables ---------------------------------------------------------------------------------------


def verdict_table(study: Study) -> Rows:
    """Return a row per claim: its words, what is said of it in the base, and in all set-ups."""
    verdicts, rows = study.tables["verdicts"], []
    count = verdicts["setup"].nunique()
    for _, own in verdicts.groupby("id", sort=False):
        base = own[own["setup"] == "base"].iloc[0]
        rows.append(
            {
                "Claim": base["claim"],
                "Number found": "" if pd.isna(base["figure_found"]) else base["figure_found"],
                "Conclusion": Verdict(base["conclusion"]),
                f"Conclusion, in all {count} set-ups": counted(own["conclusion"]),
            }
        )
    return rows


def counted(found: pd.Series) -> str:
    """Return how often each word occurs, the most frequent first; empty if none does."""
    return ", ".join(filled(found.value_counts().to_dict(), "{} {}"))


def question_table(studies: Mapping[str, Study]) -> Rows:
    """Return a row per claim of the general ledger: its conclusion in each study, by heading."""
    rows = {}
    for heading, study in studies.items():
        own = study.tables["verdicts"].query("setup == @study.setup")
        for claim, conclusion in zip(own["claim"], own["conclusion"], strict=True):
            rows.setdefault(claim, {"Claim": claim})[heading] = Verdict(conclusion)
    return list(rows.values())


def chosen_table(studies: Mapping[str, Study]) -> Rows:
    """Return a row per study: the lambda that validation chooses, what it adds, and the gaps."""
    rows = []
    for heading, study in studies.items():
        l2 = study.shown["choice"].query("rule == 'best'")["l2"].iloc[0]
        gaps = study.shown["means"].query("measure == 'gap_generalisation'").set_index("l2")
        own = study.shown["contrasts"].query("measure == 'test_accuracy' and l2 == @l2")
        added = ranged(own.iloc[0], "mean_difference") if len(own) else "the reference itself"
        rows.append(
            {
                "Study": heading,
                "Chosen λ": l2_label(l2),
                "Test accuracy minus that without L2 (points)": added,
                "Generalisation gap without L2 (points)": ranged(gaps.loc[0], "mean"),
                "with the chosen λ": ranged(gaps.loc[l2], "mean"),
            }
        )
    return rows


def law_table(study: Study) -> Rows:
    """Return a row per law that is judged: the estimate that it rests on, its bounds, and whether
    it holds.
    """
    rows = []
    for _, own in study.tables["claims"].groupby("id", sort=False):
        overall, decisive = own.iloc[-1], own[own["decisive"] == "yes"].iloc[0]
        if overall["conclusion"] == "not judged":
            continue
        rows.append(
            {
                "Law": overall["claim"],
                "What is estimated": decisive["estimand"],
                "Estimate": of_law(decisive, digits=3),
                "Holds if": bounds(decisive["above"], decisive["below"], Measure("")),
                "Conclusion": Verdict(overall["conclusion"]),
            }
        )
    return rows


def of_law(row: pd.Series, digits: int = 2) -> Number:
    """Return an estimate of a law with its interval, from its row of claims."""
    return Number(row["estimate"], fixed(digits), row["low"], row["high"])


def three_parts(study: Study) -> Rows:
    """Return a row per lambda with the reported gap at the last epoch and its three parts."""
    heads = ("λ", "Reported", "= lag", "+ generalisation", "+ split")
    return [{head: row[head] for head in heads} for row in gap_table(study)]


def benefit_table(study: Study) -> Rows:
    """Return a row per set-up of two factors: the best lambda by each metric, and its gain in the
    measure of the test images that the metric stands for.
    """
    setups, best = study.tables["setups"], study.tables["best"].set_index(["metric", "setup"])
    names, rows = list(crossed(setups)), []
    setups = setups.sort_values(names, key=lambda labels: labels.map(ordered(labels).index))
    for setup, *levels in setups[["setup", *names]].itertuples(index=False):
        row = dict(zip((spaced(name).capitalize() for name in names), levels, strict=True))
        for metric in CHOOSE_BY:
            found, measure = best.loc[metric, setup], on_test(metric)
            about = MEASURES[measure]
            form = fixed(2, 100) if about.scale == 100 else fixed(3)
            row |= {
                f"Best λ by {MEASURES[metric].label.lower()}": l2_label(found["best_l2"]),
                f"{about.label} added ({about.unit})": gain(found, measure, form),
            }
        rows.append(row)
    return rows
