"""What the benchmarks share: the data, the machine, and how figures are printed."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "scripts"), str(PROJECT / "tests")]


def mnist() -> tuple[np.ndarray, ...]:
    """Return x_train, y_train, x_test and y_test of the embedded data set; images are uint8."""
    with np.load(PROJECT / "resources" / "mnist.npz") as arrays:
        return tuple(arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))


def copy_project(folder: Path, name: str, config: dict) -> None:
    """Copy the project to `folder`, with `config` as `name`.yaml."""
    ignored = shutil.ignore_patterns(".*", "results", "logs", "tests", "benchmarks", "__pycache__")
    shutil.copytree(PROJECT, folder, ignore=ignored, dirs_exist_ok=True)
    (folder / f"{name}.yaml").write_text(json.dumps(config))


def machine() -> dict[str, object]:
    """Return what the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True
    ).stdout.strip()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit,
    }


def report(name: str, figures: dict) -> None:
    """Print the figures and keep them in benchmarks/results/<name>.json."""
    text = json.dumps({"machine": machine(), **figures}, indent=2)
    folder = PROJECT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(text + "\n")
    print(text)
