"""Where the files of runs are, spelled in one place, without loading anything."""

from pathlib import Path

BASE = "base"
"""The name of the set-up that is the configuration itself."""


def place(setup: str) -> str:
    """Return what follows the study's results folder in every path of a set-up; "" for the base."""
    return "" if setup == BASE else f"/setups/{setup}"


DATA_CHECK = "data.check.json"
"""What is to know of prepared data, beside their manifest."""

MODEL = "models/{checksum}.json"
"""What a model is, below the results of the study, whose set-ups may share it."""

RUN = "runs/l2~{l2}/seed~{seed}"
"""The folder of a run, below the results of its study."""

MEASURES = "measures/l2~{l2}.json"
"""The measures of all runs of a lambda, below the results of the study."""

PREDICTIONS = "measures/l2~{l2}.predictions.npz"
"""The predictions of all runs of a lambda, below the results of the study."""


def run_folder(results: Path, l2: str, seed: int) -> Path:
    """Return the folder of a run."""
    return Path(results) / RUN.format(l2=l2, seed=seed)


def left_folder(run: Path, epochs: int) -> Path:
    """Return where a run leaves what a run of its first `epochs` epochs would have written."""
    return Path(run) / f"first-{epochs}"


def measures_file(results: Path, l2: str) -> Path:
    """Return the file with the measures of all runs of a lambda."""
    return Path(results) / MEASURES.format(l2=l2)


def predictions_file(results: Path, l2: str) -> Path:
    """Return the file with the predictions of all runs of a lambda."""
    return Path(results) / PREDICTIONS.format(l2=l2)


LEDGERS = ("exercise", "general", "laws")
"""The ledgers of claims that come with the project, in reports/claims."""
