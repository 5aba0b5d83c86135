"""A data set of 5 x 5 images in three classes, and programs run on it as a user runs them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from l2study.core.config import ConfigError, check
from l2study.core.design import Setup
from l2study.data.preparation import check_against_data, prepare
from l2study.data.prepared import DataError

PROJECT = Path(__file__).resolve().parents[1]
CONFIG = {
    "model": {"hidden_units": [8]},
    "training": {"learning_rate": 0.01, "batch_size": 32, "epochs": 3, "predict_at": [1]},
}

MODELS = """
import keras

from layers import units


def net(input_shape, classes, regularizer):
    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(units, kernel_regularizer=regularizer),
        keras.layers.Dense(classes),
    ])
"""
"""A model of one's own, beside which is layers.py: `units = 4`."""


def write_models(folder):
    """Write `MODELS` and what they import; the function is models.py:net."""
    (folder / "models.py").write_text(MODELS)
    (folder / "layers.py").write_text("units = 4\n")


def write_npz(path, rows=300, test_rows=90, seed=0):
    """Write images whose class is a bright row, with two pixels that are never lit."""
    random = np.random.default_rng(seed)
    arrays = {}
    for part, n in {"train": rows, "test": test_rows}.items():
        labels = random.integers(0, 3, n)
        images = random.integers(0, 120, (n, 5, 5))
        images[np.arange(n), labels] += 60
        images[:, 4, 3:] = 0
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels.astype(np.uint8)}
    np.savez(path, **arrays)


def set_up(**config):
    """Return the base set-up of a configuration with these keys; the others have their defaults."""
    return Setup.of(check(config))


def refused(setup, folder, late=False):
    """Return the one line in which data are refused, before a study and where they are prepared.

    With `late`, only where they are prepared. Nothing is written to `folder`.
    """
    before, lines = sorted(folder.rglob("*")), set()
    for action in (check_against_data, lambda setup: prepare(setup, folder / "new" / "data.json")):
        if late and action is check_against_data:
            action(setup)
            continue
        with pytest.raises((ConfigError, DataError)) as caught:
            action(setup)
        lines.add(str(caught.value))
    (line,) = lines
    assert line and len(line.splitlines()) == 1 and sorted(folder.rglob("*")) == before
    return line


def train_command(data, output, l2="0.001", seed=0, config=CONFIG, **others):
    options = {"config": json.dumps(config), "data": data, "l2": l2, "seed": seed, "output": output}
    options |= others
    script = str(PROJECT / "scripts" / "train.py")
    return [sys.executable, script, *(f"--{key}={value}" for key, value in options.items())]


def train(data, output, environment=None, **options):
    """Run train.py and return what it printed, after checking that it succeeded."""
    done = subprocess.run(
        train_command(data, output, **options),
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def history(folder):
    with open(Path(folder) / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(folder):
    """The text of history.csv without its last column, `seconds`."""
    lines = (Path(folder) / "history.csv").read_text().splitlines()
    return "\n".join(line.rpartition(",")[0] for line in lines)
