"""Two or more studies side by side: what differs between them, and the same measures of each.

Every interval is of one study and one lambda. Nothing here tests one study against another: seeds
pair the lambdas of a study, not the studies.
"""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2study import figures
from l2study.files import read_json
from l2study.labels import l2_label
from l2study.statistics import mean_interval
from l2study.tables import read_table
from l2study.wording import MEASURES, MISSING, interval, number, percent

TABLES = ("runs", "gap", "choice", "claims")
"""The tables that are read of every study."""

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
_HOW = "run the study to its end, then compare"


class ComparisonError(ValueError):
    """The studies cannot be compared. The message is one line that names the folder."""


class Compared(NamedTuple):
    """A study to compare: its name (that of its folder), configuration, manifest and tables.

    `config` is canonical; `data` is the content of data.json, empty if there was none.
    """

    name: str
    config: dict
    data: dict
    tables: Mapping[str, pd.DataFrame]


def read_results(folder: Path) -> Compared:
    """Return the finished study in `folder`, such as results/mnist.

    Raises:
        ComparisonError: there is no such folder, or its tables are missing, damaged, not of one
            another, or lack runs of the study.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ComparisonError(f"{folder}: there is no such folder; give results/<study>")
    path = folder / "tables" / "datapackage.json"
    try:
        package = read_json(path)
        hashes = {resource["path"]: resource["hash"] for resource in package["resources"]}
        config, data = package["config"], package["data"]
        lambdas, seeds = config["lambdas"], config["seeds"]
    except FileNotFoundError:
        raise ComparisonError(f"{folder}: has no finished tables; {_HOW}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ComparisonError(f"{path}: is not as aggregate.py writes it; {_HOW}") from None
    tables = {name: _table(folder, f"{name}.csv", hashes) for name in TABLES}
    there = set(tables["runs"][["l2", "seed"]].itertuples(index=False, name=None))
    promised = {(float(l2), seed) for l2, seed in itertools.product(lambdas, seeds)}
    if lost := len(promised - there):
        raise ComparisonError(f"{folder}: lacks {lost} of its {len(promised)} runs; {_HOW}")
    return Compared(folder.resolve().name, config, data, tables)


def _table(folder: Path, name: str, hashes: Mapping[str, str]) -> pd.DataFrame:
    path = folder / "tables" / name
    try:
        if hashes.get(name) != f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}":
            raise ComparisonError(f"{path}: is not what datapackage.json describes; {_HOW}")
        return read_table(path)
    except OSError as error:
        raise ComparisonError(f"{path}: cannot be read: {error.strerror}; {_HOW}") from None


def read_studies(folders: Sequence[Path]) -> list[Compared]:
    """Return the studies in `folders`, in this order, after checking that they can be compared.

    Raises:
        ComparisonError: see `read_results`; or there are too few or too many, one is there twice,
            or their intervals have another confidence.
    """
    if not 2 <= len(folders) <= len(STUDY_MARKS):
        raise ComparisonError(f"{len(folders)} given; allowed: 2 to {len(STUDY_MARKS)} studies")
    studies = [read_results(folder) for folder in folders]
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


def comparison_table(studies: Iterable[Compared]) -> pd.DataFrame:
    """Return mean and interval of every measure of `COMPARED`, by `COLUMNS`.

    A row per study, lambda of that study, and measure, at the last epoch, over completed runs;
    accuracies and their gaps are fractions, cross-entropies nats. `n` is 0 where all have diverged.
    """
    rows = []
    for study in studies:
        gap, runs = study.tables["gap"], study.tables["runs"]
        last = gap[gap["epoch"] == study.config["training"]["epochs"]].set_index(["gap", "l2"])
        for measure, l2 in itertools.product(COMPARED, map(float, study.config["lambdas"])):
            of_lambda = runs[runs["l2"] == l2]
            lost = of_lambda.loc[of_lambda["status"] == "diverged", "seed"]
            kind = measure.removeprefix("gap_")
            if kind != measure:
                row = last.loc[(kind, l2)]
                values = (row["mean"], row["mean_low"], row["mean_high"], row["n"])
            else:
                values = mean_interval(of_lambda[measure], study.config["confidence"])
            rows.append(
                {
                    "study": study.name,
                    "l2": l2,
                    "measure": measure,
                    "unit": "nat" if measure.endswith("_ce") else "fraction",
                    **dict(zip(("mean", "low", "high", "n"), values, strict=True)),
                    "diverged_seeds": " ".join(map(str, sorted(lost))),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": int})


def lambdas_of(studies: Iterable[Compared]) -> list[float]:
    """Return the lambdas that any of the studies has, ascending."""
    return sorted({float(l2) for study in studies for l2 in study.config["lambdas"]})


# --- words ----------------------------------------------------------------------------------------


def same_data(studies: Sequence[Compared]) -> bool:
    """Return whether all studies are known to have the same prepared data, by its checksum."""
    checksums = {study.data.get("sha256") for study in studies}
    return len(checksums) == 1 and None not in checksums


def comparability(studies: Sequence[Compared]) -> list[str]:
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
    seeds = {study.name: study.config["seeds"] for study in studies}
    different = len(set(map(tuple, seeds.values()))) > 1
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


def in_short(study: Compared, table: pd.DataFrame) -> str:
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
        f"{MEASURES[measure].label.lower()} {_value(measure, by_measure[measure, ends[0]])} to"
        f" {_value(measure, by_measure[measure, ends[-1]])} {_unit(measure)}"
        for measure in COMPARED
    ]
    return f"from λ = {l2_label(ends[0])} to λ = {l2_label(ends[-1])}: {', '.join(parts)}."


def _scale(measure: str) -> float:
    return MEASURES[measure].scale


def _digits(measure: str) -> int:
    return 2 if _scale(measure) != 1 else 4


def _value(measure: str, value: float) -> str:
    return number(value, _digits(measure), _scale(measure))


def _unit(measure: str) -> str:
    return "%" if measure == "test_accuracy" else MEASURES[measure].unit


def settings(study: Compared) -> dict[str, str]:
    """Return the configuration of a study and the size of its data as text, by dotted keys."""
    config = {key: value for key, value in study.config.items() if key not in _NOT_SETTINGS}
    config |= {"data": {key: study.data[key] for key in _MANIFEST if key in study.data}}
    return dict(_flat(config))


def _flat(settings: Mapping, before: str = "") -> Iterable[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", _seeds(value) if key == "seeds" else _shown(value)


def _seeds(seeds: list[int]) -> str:
    unbroken = seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"{seeds[0]} to {seeds[-1]}" if unbroken else _shown(seeds)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def differences(studies: Sequence[Compared]) -> list[list[str]]:
    """Return a row for every setting that is not the same in all studies: key, then each value."""
    found = [settings(study) for study in studies]
    keys = dict.fromkeys(itertools.chain.from_iterable(found))
    rows = [[key, *(one.get(key, MISSING) for one in found)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def measure_rows(
    studies: Sequence[Compared], table: pd.DataFrame, measure: str
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
    span = interval(row["low"], row["high"], _digits(measure), _scale(measure))
    return _value(measure, row["mean"]), f"{span}{lost}"


def choices(studies: Sequence[Compared]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return for every rule of choice its name, and for every study (lambda, test accuracy)."""
    tables = [study.tables["choice"].set_index("rule") for study in studies]
    names = dict.fromkeys(itertools.chain.from_iterable(table.index for table in tables))
    return [
        (name.replace("_", " "), [_choice(table.loc[name]) for table in tables]) for name in names
    ]


def _choice(row: pd.Series) -> tuple[str, str]:
    if pd.isna(row["l2"]):
        return MISSING, "none"
    accuracy = number(row["test_accuracy_mean"], 2, 100)
    span = interval(row["low"], row["high"], 2, 100)
    return f"λ = {l2_label(row['l2'])}", f"test accuracy {accuracy} % ({span})"


def verdicts(studies: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    """Return for every claim its words, and the overall verdict of every study or a dash."""
    found = []
    for study in studies:
        claims = study.tables["claims"]
        found.append(claims[claims["estimand"] == "overall"].set_index("id"))
    words = {}
    for table in found:
        words = table["claim"].to_dict() | words
    return [
        (claim, [t.loc[name, "verdict"] if name in t.index else MISSING for t in found])
        for name, claim in words.items()
    ]


# --- figures --------------------------------------------------------------------------------------


def draw(studies: Sequence[Compared], table: pd.DataFrame, measure: str) -> Figure:
    """Return the figure of a measure against lambda: mean and interval of every study.

    The studies share a panel, each with its own colour and marker, and set beside one another; but
    a measure whose level depends on the data has a panel for each where the data differ. Thin
    lines join the lambdas above 0 of a study. A lambda that a study lacks has no mark of it.

    Args:
        studies: those to draw, at most as many as `STUDY_MARKS`.
        table: of `comparison_table`.
        measure: one of `COMPARED`.
    """
    positions = figures.lambda_positions(lambdas_of(studies))
    apart = measure in OF_THE_DATA and not same_data(studies)
    groups = [[study] for study in studies] if apart else [list(studies)]
    marks = dict(zip((study.name for study in studies), STUDY_MARKS, strict=False))
    rows = table[table["measure"] == measure]
    with mpl.rc_context(figures.STYLE):
        drawing, axes = figures.stacked_panels(len(groups), 1.9 if apart else 3.0)
        for ax, group in zip(axes, groups, strict=True):
            if measure.startswith("gap_"):
                ax.axhline(0, color="0.35", lw=0.9)
            for rank, study in enumerate(group):
                shift = (rank - (len(group) - 1) / 2) * 1.6 * figures.side_step(positions)
                own = rows[rows["study"] == study.name].sort_values("l2")
                _draw_study(ax, own, positions, shift, measure, *marks[study.name])
            if apart:
                ax.set_title(group[0].name)
            figures.lambda_axis(ax, positions, label=ax is axes[-1])
        label = f"{MEASURES[measure].label} ({_unit(measure)})"
        drawing.supylabel(label, fontsize=figures.STYLE["axes.labelsize"])
        keys = [figures.mean_key(name, marker, colour) for name, (colour, marker) in marks.items()]
        # about 70 letters fit beside one another, a mark is as wide as six
        columns = 70 // (max(map(len, marks)) + 6)
        figures.figure_key(drawing, keys, min(len(keys), max(1, columns)))
        return drawing


def _draw_study(
    ax: Axes,
    rows: pd.DataFrame,
    positions: Mapping[float, float],
    shift: float,
    measure: str,
    colour: str,
    marker: str,
) -> None:
    x = np.array([positions[l2] + shift for l2 in rows["l2"]])
    above = (rows["l2"] > 0).to_numpy()
    means = _scale(measure) * rows["mean"].to_numpy()
    ax.plot(x[above], means[above], color=colour, lw=0.9, alpha=0.6, label="_line")
    columns = ("mean", "low", "high")
    name = rows["study"].iloc[0]
    figures.draw_means(ax, x, rows, columns, _scale(measure), colour, marker, name)
