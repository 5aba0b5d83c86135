"""What was run: the set-up of a study, its runs, their cost, and the versions of the programs."""

from importlib.metadata import version

from l2study.core.labels import l2_label
from l2study.core.seeds import WORDS
from l2study.core.wording import MISSING, minus, rounded, seed_list
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows
from l2study.report.templates import line, paragraphs

PACKAGES = ("NumPy", "pandas", "SciPy")
"""The packages whose versions the tables depend on."""

PLAIN = ("InputLayer", "Functional", "Sequential")
"""Layers that are not named, since they do nothing but hold others."""

COSTS = {
    "seconds_startup": "Set-up (s)",
    "seconds_train": "Training (s)",
    "seconds_evaluate": "Evaluation (s)",
    "seconds_measures": "Measures at the end (s)",
    "seconds_total": "Wall time (s)",
    "cpu_seconds": "CPU time (s)",
    "peak_memory_mb": "Peak memory (MB)",
}


def setup(study: Study) -> list[str]:
    """Return the set-up of the study, a few lines on what was set."""
    return paragraphs(
        "what_was_set",
        config=study.config,
        data=study.data,
        built=study.model,
        layers=[one["class"] for one in study.model.get("layers", []) if one["class"] not in PLAIN],
        values=[minus(f"{value:g}") for value in study.data.get("values", [])],
        every_epoch=len(study.design.epochs) == study.config["training"]["epochs"] + 1,
        evaluations=study.design.epochs,
        seeds=None if study.design.is_crossed else seed_list(study.design.seeds),
        changed=[WORDS[source] for source in study.design.differing],
    )


def versions(study: Study) -> Rows:
    """Return what the runs were trained with, a row per distinct environment."""
    names = {"cpu": "CPU", "tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}
    keys = sorted({key for environment, _ in study.environments for key in environment})
    return [
        {"Runs": str(count)}
        | {names.get(key, key.capitalize()): _plain(environment.get(key, MISSING)) for key in keys}
        for environment, count in study.environments
    ]


def _plain(value: object) -> str:
    """Return an entry of an environment as text: a list joined, device names without their path."""
    entries = value if isinstance(value, list) else [value]
    return ", ".join(str(entry).removeprefix("/physical_device:") for entry in entries)


def versions_line(study: Study) -> str:
    """Return the versions of what trained the runs, in one line."""
    kinds = ("Python", "TensorFlow", "Keras")
    trained = dict.fromkeys(
        ", ".join(f"{kind} {row[kind]}" for kind in kinds if kind in row) for row in versions(study)
    )
    return "; ".join(filter(None, trained))


def report_versions() -> str:
    """Return the versions of the packages that made tables and figures, in one line."""
    return ", ".join(f"{package} {version(package)}" for package in PACKAGES)


# --- what came out --------------------------------------------------------------------------------


def diverged(study: Study) -> list[str]:
    """Return a line per lambda that names its diverged runs and how far they got."""
    runs, lines = study.tables["runs"], []
    for l2, rows in runs.groupby("l2"):
        lost = rows[rows["status"] == "diverged"]
        epochs = [f"{row.seed} after epoch {row.epochs}" for row in lost.itertuples()]
        if epochs:
            count = f"lambda {l2_label(l2)}: {len(lost)} of {len(rows)} runs diverged"
            lines.append(f"{count} (seed {', '.join(epochs)})")
    return lines


def missing(study: Study) -> str:
    """Return the promised runs that are not in the tables, as "lambda 0 seed 1; ..."."""
    runs, lines = study.tables["runs"], []
    for l2 in study.design.lambdas:
        seeds = set(study.design.seeds) - set(runs.loc[runs["l2"] == float(l2), "seed"])
        if seeds:
            lines.append(f"lambda {l2} {seed_list(seeds)}")
    return "; ".join(lines)


def runs_sentence(study: Study) -> str:
    """Return a sentence on how many runs completed, naming every missing and diverged one."""
    runs, design = study.tables["runs"], study.design
    lost = runs[runs["status"] == "diverged"]
    return line(
        "runs",
        total=len(runs),
        lambdas=runs["l2"].nunique(),
        promised=len(design.lambdas) * design.seed_count,
        missing=missing(study),
        lost=len(lost),
        diverged="; ".join(
            f"lambda {l2_label(l2)} {seed_list(rows['seed'])}" for l2, rows in lost.groupby("l2")
        ),
    )


def cost_table(study: Study) -> Rows:
    """Return what a run cost, median and largest over all runs: time by phase and memory."""
    runs = study.tables["runs"]
    return [
        {
            "What": label,
            "Median run": Number(runs[column].median(), rounded()),
            "Largest": Number(runs[column].max(), rounded()),
        }
        for column, label in COSTS.items()
    ]
