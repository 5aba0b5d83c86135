"""The lesson for a class: its notebook, executed small in a copy of the project."""

import hashlib
import json
import re

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from scipy import stats

import preloaded
from project import Project
from tiny import PROJECT

pytestmark = pytest.mark.xdist_group("lesson")

KINDS = ("image/svg+xml", "text/html", "text/plain")
EXECUTED = "results/lesson/lesson.ipynb"
"""Where `make lesson` writes it, beside the results of its study."""

SMALL = {"cores": 1, "seeds": 3, "epochs": 2, "images": 500}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the project in which the lesson was executed, with short reports.

    Of MNIST it has a few images: those of the tests take most of the time.
    """
    project = Project(tmp_path_factory.mktemp("lesson"))
    project.shorten_report()
    mnist = project.folder / "resources" / "mnist.npz"
    with np.load(mnist) as arrays:
        few = {name: array[:1000] for name, array in arrays.items()}
    np.savez(mnist, **few)
    checksum = hashlib.sha256(mnist.read_bytes()).hexdigest()
    mnist.with_name("checksums.json").write_text(json.dumps({mnist.name: checksum}))
    executed = project.folder / EXECUTED
    executed.parent.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in preloaded.environment().items():
            environment.setenv(name, value)
        papermill.execute_notebook(
            project.folder / "docs" / "lesson.ipynb",
            executed,
            parameters=SMALL,
            cwd=project.folder / "docs",  # as an editor starts it
            progress_bar=False,
        )
    return project.folder


@pytest.fixture(scope="module")
def outputs(folder):
    """By the id of every cell, what it shows."""
    cells = nbformat.read(folder / EXECUTED, as_version=4).cells
    return {
        cell.id: "".join(
            one.get("text") or next(one.data[kind] for kind in KINDS if kind in one.data)
            for one in cell.get("outputs", [])
            if one.get("name") != "stderr"
        )
        for cell in cells
    }


def last_rows(folder, setup, l2):
    """The last row of the history of every run, by seed."""
    place = folder / "results" / "lesson" / setup
    rows = [pd.read_csv(path).iloc[-1] for path in place.glob(f"runs/l2~{l2}/*/history.csv")]
    assert len(rows) == SMALL["seeds"]
    return pd.DataFrame(rows).set_index("seed").sort_index()


def reported(rows):
    return 100 * (rows["train_accuracy_running"] - rows["val_accuracy"])


def test_the_answers_are_those_of_the_histories(folder, outputs):
    weak, strong = (last_rows(folder, "", l2) for l2 in ("0.0001", "0.01"))
    better = (strong["test_accuracy"] - weak["test_accuracy"]).to_numpy()
    higher, agree = ("0.01", better > 0) if better.mean() > 0 else ("0.0001", better < 0)
    parts = {
        "lag": strong["train_accuracy_running"] - strong["train_accuracy"],
        "generalisation": strong["train_accuracy"] - strong["test_accuracy"],
        "split": strong["test_accuracy"] - strong["val_accuracy"],
    }
    means = {name: 100 * part.mean() for name, part in parts.items()}
    largest = max(means, key=lambda name: abs(means[name]))
    other = reported(last_rows(folder, "setups/split~stratified", "0.01"))
    low, high = stats.t.interval(0.95, len(other) - 1, other.mean(), stats.sem(other))
    sign = "below zero" if high < 0 else "above zero" if low > 0 else "not resolved"
    assert re.findall(r"<td>(.*?)</td>", outputs["learned"])[1::2] == [
        f"{(reported(strong) < 0).sum()} of 3",
        f"lambda {higher}, for {agree.sum()} of 3 seeds",
        f"{largest}, {means[largest]:.2f} points",
        f"{sign} ({low:.2f} to {high:.2f} points)",
    ]


def test_the_second_study_trains_what_is_missing_alone(outputs):
    assert "6 runs to train, 0 kept" in outputs["ten"]
    assert "6 runs to train, 6 kept" in outputs["other"]
    for cell in ("ten-figure", "parts", "other-answer"):
        assert "<svg" in outputs[cell]
    assert "Alone, " in outputs["one"]


def test_it_is_stored_without_outputs():
    cells = nbformat.read(PROJECT / "docs" / "lesson.ipynb", as_version=4).cells
    assert not [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")]
