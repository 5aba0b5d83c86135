"""Two or more studies side by side: what differs between them, and the same measures of each.

Every interval is of one study and one lambda. Nothing here tests one study against another: seeds
pair the lambdas of a study, not the studies.
"""

import base64
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.wording import MISSING, Form, fixed, possible
from l2study.report import figures
from l2study.report.plot_helpers import diverged_text, draw_means
from l2study.report.study import Study, read_results
from l2study.report.style import (
    STYLE,
    ZERO_LINE,
    beside,
    figure_key,
    lambda_axis,
    lambda_positions,
    mean_key,
    stacked_panels,
)
from l2study.report.table_cells import Cell, Number, Rows, Verdict, Words
from l2study.report.templates import TEMPLATES

COMPARED = ("gap_reported", "gap_generalisation", "test_accuracy", "val_ce")
"""The measures that are compared, columns of runs.csv, at the last epoch of each study."""

OF_THE_DATA = ("test_accuracy", "val_ce")
"""Those whose level depends on how hard the images are."""

COLUMNS = ["study", "l2", "measure", "unit", "n", "mean", "low", "high", "diverged_seeds"]

STUDY_MARKS = (
    ("#0b3c5d", "D"),
    ("#e69f00", "o"),
    ("#3b83b0", "s"),
    ("#cc79a7", "^"),
    ("#009e73", "v"),
    ("0.45", "P"),
)
"""Colour and marker of each study; neighbours differ in lightness too."""

_NOT_SETTINGS = ("study", "confidence")
_MANIFEST = ("counts", "shape", "classes")


class ComparisonError(ValueError):
    """The studies cannot be compared. The message is one line that names the folder."""


def read_studies(folders: Sequence[Path]) -> list[Study]:
    """Return the studies in `folders`, in this order.

    Raises:
        ReportError: a study cannot be read.
        ComparisonError: the studies cannot be compared.
    """
    if not 2 <= len(folders) <= len(STUDY_MARKS):
        raise ComparisonError(f"{len(folders)} given; allowed: 2 to {len(STUDY_MARKS)} studies")
    studies = [read_results(folder) for folder in folders]
    for folder, study in zip(folders, studies, strict=True):
        promised = len(study.design.lambdas) * study.design.seed_count
        if lost := promised - len(study.tables["runs"]):
            raise ComparisonError(f"{folder}: lacks {lost} of its {promised} runs; finish it first")
    for (a, first), (b, second) in itertools.combinations(zip(folders, studies, strict=True), 2):
        if first.tables["runs"].equals(second.tables["runs"]):
            raise ComparisonError(f"{a} and {b}: the same results twice; give each study once")
        if first.name == second.name:
            raise ComparisonError(
                f"{a} and {b}: both folders are called {first.name}, which names the study on"
                " the page; copy one to a folder of another name"
            )
        ours, theirs = first.config["confidence"], second.config["confidence"]
        if ours != theirs:
            raise ComparisonError(
                f"{a} and {b}: their intervals differ, confidence {ours} and {theirs}; give both"
                " studies the same confidence, which trains nothing again"
            )
    return studies


# --- numbers --------------------------------------------------------------------------------------


def comparison_table(studies: Iterable[Study]) -> pd.DataFrame:
    """Return mean and interval of every measure of `COMPARED`, by `COLUMNS`.

    A row per study, lambda of that study, and measure, at the last epoch, over completed runs;
    accuracies and their gaps are fractions, cross-entropies nats. `n` is 0 where all have diverged.
    """
    means = _together(studies, "means")
    means = means[means["measure"].isin(COMPARED)]
    table = means.assign(
        order=means["measure"].map(COMPARED.index),
        unit=[MEASURES[measure].column["unit"] for measure in means["measure"]],
        diverged_seeds=means["diverged_seeds"].fillna(""),
    )
    table = table.sort_values(["number", "order", "l2"])
    return table[COLUMNS].reset_index(drop=True)


def _together(studies: Iterable[Study], name: str) -> pd.DataFrame:
    """Return the rows for other seeds of a table of all studies, by `study` and its `number`."""
    tables = [
        study.over_seeds[name].assign(study=study.name, number=number)
        for number, study in enumerate(studies)
    ]
    return pd.concat(tables, ignore_index=True)


def lambdas_of(studies: Iterable[Study]) -> list[float]:
    """Return the lambdas that any of the studies has, ascending."""
    return sorted({float(l2) for study in studies for l2 in study.design.lambdas})


# --- what the page says ---------------------------------------------------------------------------


def to_html(studies: Sequence[Study], table: pd.DataFrame, csv: str) -> str:
    """Return the page; `csv` is the name of the file that has the table of `comparison_table`."""
    lost = {study.name: diverged_text(study.tables["runs"]) for study in studies}
    drawn = {name: figures.render(draw(studies, table, name))["svg"] for name in COMPARED}
    return TEMPLATES.get_template("comparison.html.j2").render(
        names=[study.name for study in studies],
        short={study.name: in_short(study, table) for study in studies},
        diverged={name: text for name, text in lost.items() if text},
        comparable=comparability(studies),
        differences=differences(studies),
        choices=choices(studies),
        verdicts=verdicts(studies),
        compared=[
            {
                "name": measure,
                "label": MEASURES[measure].label,
                "rows": measure_table(studies, table, measure),
                "image": base64.b64encode(drawn[measure]).decode("ascii"),
                "apart": measure in OF_THE_DATA and not same_data(studies),
            }
            for measure in COMPARED
        ],
        level=studies[0].design.confidence,
        csv=csv,
    )


def same_data(studies: Sequence[Study]) -> bool:
    """Return whether all studies are known to have the same prepared data, by its checksum."""
    checksums = {study.data.get("sha256") for study in studies}
    return len(checksums) == 1 and None not in checksums


def comparability(studies: Sequence[Study]) -> dict:
    """Return whether the studies have the same data and seeds, and the last epoch of each."""
    return {
        "same_data": same_data(studies),
        "data_known": all("sha256" in study.data for study in studies),
        "same_seeds": len({tuple(study.design.seeds) for study in studies}) == 1,
        "epochs": {study.name: study.config["training"]["epochs"] for study in studies},
    }


def in_short(study: Study, table: pd.DataFrame) -> dict | None:
    """Return how the measures of a study change from its smallest to its largest lambda.

    `ends` are these lambdas, and `changes` has for each measure its label, its value at both, and
    its unit. None if fewer than two lambdas have completed runs.
    """
    rows = table[(table["study"] == study.name) & (table["n"] > 0)]
    ends = [rows["l2"].min(), rows["l2"].max()]
    if rows["l2"].nunique() < 2:
        return None
    values = rows.set_index(["measure", "l2"])["mean"]
    return {
        "ends": ends,
        "changes": [
            (MEASURES[m].label.lower(), *(_form(m)(values[m, l2]) for l2 in ends), _unit(m))
            for m in COMPARED
        ],
    }


def _form(measure: str) -> Form:
    scale = MEASURES[measure].scale
    return fixed(2 if scale != 1 else 4, scale)


def _unit(measure: str) -> str:
    return "%" if measure == "test_accuracy" else MEASURES[measure].unit


def settings(study: Study) -> dict[str, str]:
    """Return the configuration of a study and the size of its data as text, by dotted keys."""
    config = {key: value for key, value in study.config.items() if key not in _NOT_SETTINGS}
    config |= {"data": {key: study.data[key] for key in _MANIFEST if key in study.data}}
    return {key: _shown(value, of_seeds=key.startswith("seeds")) for key, value in _flat(config)}


def _flat(settings: Mapping, before: str = "") -> Iterable[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _shown(value: object, of_seeds: bool) -> str:
    if isinstance(value, list):
        unbroken = of_seeds and value == list(range(value[0], value[0] + len(value)))
        return f"{value[0]} to {value[-1]}" if unbroken else ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def differences(studies: Sequence[Study]) -> Rows:
    """Return a row for every setting that is not the same in all studies, with each value."""
    rows = _side_by_side("Setting", {study.name: settings(study) for study in studies}, MISSING)
    return [row for row in rows if len(set(list(row.values())[1:])) > 1]


def measure_table(studies: Sequence[Study], table: pd.DataFrame, measure: str) -> Rows:
    """Return a row for every lambda: mean and interval of every study."""
    absent = Number(math.nan, lambda _: "not in this study")
    lost = Number(math.nan, lambda _: "no run completed")
    found, form = {}, _form(measure)
    for row in table[table["measure"] == measure].itertuples():
        mean = Number(row.mean, form, *possible(measure, row.low, row.high))
        found.setdefault(row.study, {})[row.l2] = mean if row.n else lost
    rows = _side_by_side("λ", found, absent)
    return [row | {"λ": Number(row["λ"], l2_label)} for row in sorted(rows, key=itemgetter("λ"))]


def choices(studies: Sequence[Study]) -> Rows:
    """Return a row for every rule: what every study chooses, by the metric that it chooses by."""
    rows = _together(studies, "choice").query("configured == 'yes'")
    found = {study.name: {} for study in studies}
    for row in rows.itertuples():
        found[row.study][row.rule.replace("_", " ")] = _choice(row)
    return _side_by_side("Rule", found, MISSING)


def _choice(row: tuple) -> Words:
    if pd.isna(row.l2):
        return Words(MISSING, "none")
    ends = possible("test_accuracy", row.low, row.high)
    accuracy = Number(row.test_accuracy_mean, fixed(2, 100), *ends, "%")
    return Words(f"λ = {l2_label(row.l2)}", f"test accuracy {accuracy}")


def verdicts(studies: Sequence[Study]) -> Rows:
    """Return a row for every claim: what every study that judges it says of it.

    Claims of one id but other words are of other ledgers, with other rules, and are kept apart.
    """
    found = {}
    for study in studies:
        whole = study.tables["claims"].query("estimand == 'overall'").fillna({"figure_found": ""})
        found[study.name] = {
            (row.id, row.claim): Verdict(
                row.conclusion, f"number found: {row.figure_found}" if row.figure_found else ""
            )
            for row in whole.itertuples()
        }
    rows = _side_by_side("Claim", found, MISSING)
    return [row | {"Claim": row["Claim"][1]} for row in rows]


def _side_by_side(head: str, found: Mapping[str, Mapping], absent: Cell) -> Rows:
    """Return a row for every key of the studies' mappings, with the value that each study has."""
    keys = dict.fromkeys(itertools.chain.from_iterable(found.values()))
    return [
        {head: key} | {study: own.get(key, absent) for study, own in found.items()} for key in keys
    ]


# --- figures --------------------------------------------------------------------------------------


def draw(studies: Sequence[Study], table: pd.DataFrame, measure: str) -> Figure:
    """Return the figure of a measure against lambda: mean and interval of every study.

    The studies share a panel, but a measure whose level depends on the data has one for each where
    the data differ. Thin lines join the lambdas above 0 of a study.
    """
    positions = lambda_positions(lambdas_of(studies))
    apart = measure in OF_THE_DATA and not same_data(studies)
    groups = [[study] for study in studies] if apart else [list(studies)]
    marks = dict(zip((study.name for study in studies), STUDY_MARKS, strict=False))
    rows = table[table["measure"] == measure]
    with mpl.rc_context(STYLE):
        drawing, axes = stacked_panels(len(groups), 1.9 if apart else 3.0)
        for ax, group in zip(axes, groups, strict=True):
            if measure.startswith("gap_"):
                ax.axhline(0, **ZERO_LINE)
            for rank, study in enumerate(group):
                shift = (rank - (len(group) - 1) / 2) * 1.6
                own = rows[rows["study"] == study.name].sort_values("l2")
                x = beside(positions, own["l2"], shift)
                colour, marker = marks[study.name]
                scale, above = MEASURES[measure].scale, (own["l2"] > 0).to_numpy()
                line = {"color": colour, "lw": 0.9, "alpha": 0.6, "label": "_line"}
                ax.plot(x[above], scale * own["mean"][above], **line)
                draw_means(ax, x, own, scale, colour, marker, study.name)
            if apart:
                ax.set_title(group[0].name)
            lambda_axis(ax, positions, label=ax is axes[-1])
        label = f"{MEASURES[measure].label} ({_unit(measure)})"
        drawing.supylabel(label, fontsize=STYLE["axes.labelsize"])
        keys = [mean_key(name, marker, colour) for name, (colour, marker) in marks.items()]
        # about 70 letters fit beside one another, a mark is as wide as six
        columns = 70 // (max(map(len, marks)) + 6)
        figure_key(drawing, keys, min(len(keys), max(1, columns)))
        return drawing
