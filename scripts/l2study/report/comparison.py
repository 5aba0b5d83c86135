"""Two or more studies side by side: what differs between them, and the same measures of each.

Every interval is of one study and one lambda. Nothing here tests one study against another: seeds
pair the lambdas of a study, not the studies.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2study.core.design import Setup
from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import for_seeds
from l2study.core.wording import MISSING, Form, fixed, interval, percent, possible
from l2study.report.plot_helpers import draw_means
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
    """Return the studies in `folders`, in this order, after checking that they can be compared.

    Raises:
        ReportError: a study cannot be read.
        ComparisonError: there are too few or too many studies, one is there twice, one lacks runs,
            or their intervals differ in confidence.
    """
    if not 2 <= len(folders) <= len(STUDY_MARKS):
        raise ComparisonError(f"{len(folders)} given; allowed: 2 to {len(STUDY_MARKS)} studies")
    studies = [read_results(folder) for folder in folders]
    for folder, study in zip(folders, studies, strict=True):
        promised = len(study.config["lambdas"]) * Setup.of(study.config).seed_count
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
    tables = []
    for study in studies:
        means = for_seeds(study.tables["means"]).assign(study=study.name)
        means["order"] = means["measure"].map({m: rank for rank, m in enumerate(COMPARED)})
        tables.append(means.dropna(subset="order").sort_values(["order", "l2"]))
    table = pd.concat(tables, ignore_index=True)
    table["unit"] = [MEASURES[measure].column["unit"] for measure in table["measure"]]
    return table[COLUMNS].fillna({"diverged_seeds": ""})


def lambdas_of(studies: Iterable[Study]) -> list[float]:
    """Return the lambdas that any of the studies has, ascending."""
    return sorted({float(l2) for study in studies for l2 in study.config["lambdas"]})


# --- words ----------------------------------------------------------------------------------------


def same_data(studies: Sequence[Study]) -> bool:
    """Return whether all studies are known to have the same prepared data, by its checksum."""
    checksums = {study.data.get("sha256") for study in studies}
    return len(checksums) == 1 and None not in checksums


def comparability(studies: Sequence[Study]) -> list[str]:
    """Return sentences on what can be compared between these studies and what cannot."""
    level = percent(studies[0].config["confidence"])
    if same_data(studies):
        data = "All studies have the same images in the same parts, by checksum."
    else:
        data = (
            "It is not known whether the studies have the same data."
            if any("sha256" not in study.data for study in studies)
            else "The studies do not have the same data."
        ) + (
            " Cross-entropies and accuracies then depend on"
            " how hard the images are, so their levels cannot be compared between the studies; how"
            " they change with λ within a study can. A gap is a difference within a study, but its"
            " size, too, depends on the data."
        )
    epochs = {study.name: study.config["training"]["epochs"] for study in studies}
    ends = "Every value is of the last epoch"
    if len(set(epochs.values())) > 1:
        last = ", ".join(f"{name} {epoch}" for name, epoch in epochs.items())
        ends += f", which is not the same: {last}. Longer training alone can change a gap"
    different = len({tuple(Setup.of(study.config).seeds) for study in studies}) > 1
    return [
        f"Each interval ({level}) is of one study and one λ, over its seeds. No study is tested"
        " against another here, and whether two intervals overlap is no such test.",
        data,
        f"{ends}.",
        "A seed pairs the λ of one study. "
        + (
            "The studies do not have the same seeds."
            if different
            else "Nothing is paired across them."
        ),
    ]


def in_short(study: Study, table: pd.DataFrame) -> str:
    """Return a sentence on how the measures of a study change from its smallest to its largest λ.

    Args:
        study: one study.
        table: of `comparison_table`.
    """
    rows = table[(table["study"] == study.name) & (table["n"] > 0)]
    ends = sorted(set(rows["l2"]))
    if len(ends) < 2:
        return "fewer than two λ have completed runs."
    by_measure = rows.set_index(["measure", "l2"])["mean"]
    parts = [
        f"{MEASURES[measure].label.lower()} {_form(measure)(by_measure[measure, ends[0]])} to"
        f" {_form(measure)(by_measure[measure, ends[-1]])} {_unit(measure)}"
        for measure in COMPARED
    ]
    return f"from λ = {l2_label(ends[0])} to λ = {l2_label(ends[-1])}: {', '.join(parts)}."


def _form(measure: str) -> Form:
    scale = MEASURES[measure].scale
    return fixed(2 if scale != 1 else 4, scale)


def _unit(measure: str) -> str:
    return "%" if measure == "test_accuracy" else MEASURES[measure].unit


def settings(study: Study) -> dict[str, str]:
    """Return the configuration of a study and the size of its data as text, by dotted keys."""
    config = {key: value for key, value in study.config.items() if key not in _NOT_SETTINGS}
    config |= {"data": {key: study.data[key] for key in _MANIFEST if key in study.data}}
    return dict(_flat(config))


def _flat(settings: Mapping, before: str = "") -> Iterable[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            of_seeds = f"{before}{key}".startswith("seeds")
            yield f"{before}{key}", _seeds(value) if of_seeds else _shown(value)


def _seeds(seeds: list[int]) -> str:
    unbroken = seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"{seeds[0]} to {seeds[-1]}" if unbroken else _shown(seeds)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def differences(studies: Sequence[Study]) -> list[tuple[str, list[str]]]:
    """Return a row for every setting that is not the same in all studies: key, and each value."""
    found = [settings(study) for study in studies]
    keys = dict.fromkeys(itertools.chain.from_iterable(found))
    rows = [(key, [one.get(key, MISSING) for one in found]) for key in keys]
    return [row for row in rows if len(set(row[1])) > 1]


def measure_rows(
    studies: Sequence[Study], table: pd.DataFrame, measure: str
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return for every lambda its label, and for every study (estimate, interval or remark)."""
    rows = table[table["measure"] == measure].set_index(["study", "l2"])
    return [
        (l2_label(l2), [_cell(rows, study.name, l2, measure) for study in studies])
        for l2 in lambdas_of(studies)
    ]


def _cell(rows: pd.DataFrame, name: str, l2: float, measure: str) -> tuple[str, str]:
    if (name, l2) not in rows.index:
        return MISSING, "not in this study"
    row = rows.loc[(name, l2)]
    lost = f"; diverged: {row['diverged_seeds']}" if row["diverged_seeds"] else ""
    if row["n"] == 0:
        return MISSING, f"no run completed{lost}"
    span = interval(*possible(measure, row["low"], row["high"]), _form(measure))
    return _form(measure)(row["mean"]), f"{span}{lost}"


def choices(studies: Sequence[Study]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return for every rule of choice its name, and for every study (lambda, test accuracy)."""
    tables = [for_seeds(study.tables["choice"]).set_index("rule") for study in studies]
    names = dict.fromkeys(itertools.chain.from_iterable(table.index for table in tables))
    return [
        (name.replace("_", " "), [_choice(table.loc[name]) for table in tables]) for name in names
    ]


def _choice(row: pd.Series) -> tuple[str, str]:
    if pd.isna(row["l2"]):
        return MISSING, "none"
    accuracy = fixed(2, 100)(row["test_accuracy_mean"])
    span = interval(*possible("test_accuracy", row["low"], row["high"]), fixed(2, 100))
    return f"λ = {l2_label(row['l2'])}", f"test accuracy {accuracy} % ({span})"


def verdicts(studies: Sequence[Study]) -> list[tuple[str, list[str]]]:
    """Return for every claim its words, and the overall verdict of every study or a dash.

    Claims of one id but other words are of other ledgers, with other rules, and are kept apart.
    """
    found = []
    for study in studies:
        claims = study.tables["claims"]
        whole = claims[claims["estimand"] == "overall"]
        found.append(whole.set_index(["id", "claim"])["verdict"].to_dict())
    keys = dict.fromkeys(itertools.chain.from_iterable(found))
    return [(key[1], [verdict.get(key, MISSING) for verdict in found]) for key in keys]


# --- figures --------------------------------------------------------------------------------------


def draw(studies: Sequence[Study], table: pd.DataFrame, measure: str) -> Figure:
    """Return the figure of a measure against lambda: mean and interval of every study.

    The studies share a panel, each with its own colour and marker, and set beside one another; but
    a measure whose level depends on the data has a panel for each where the data differ. Thin
    lines join the lambdas above 0 of a study. A lambda that a study lacks has no mark of it.

    Args:
        studies: those to draw, at most as many as `STUDY_MARKS`.
        table: of `comparison_table`.
        measure: one of `COMPARED`.
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
                _draw_study(ax, own, x, measure, *marks[study.name])
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


def _draw_study(
    ax: Axes, rows: pd.DataFrame, x: np.ndarray, measure: str, colour: str, marker: str
) -> None:
    scale, above = MEASURES[measure].scale, (rows["l2"] > 0).to_numpy()
    ax.plot(x[above], scale * rows["mean"][above], color=colour, lw=0.9, alpha=0.6, label="_line")
    draw_means(ax, x, rows, scale, colour, marker, rows["study"].iloc[0])
