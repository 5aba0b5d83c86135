"""Kills at random, of anything, in a study with set-ups, a model of one's own and a table of rows.

The suite has a few. For more, and others: SOAK_KILLS=20 SOAK_SEED=1 python -m pytest <this file>
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from project import Project
from tiny import write_models

KILLS = int(os.environ.get("SOAK_KILLS", "3"))
SEED = int(os.environ.get("SOAK_SEED", "0"))
LINES = 15
"""So many lines, at most, are said between a start and the kill: about what the study says."""

KEYS = {
    "dataset": {"path": "mine.csv", "label": "kind", "test_fraction": 0.3},
    "model": {"build": "models.py:net"},
    "factors": {"training.epochs": [2], "training.batch_size": [16]},
    "lambdas": [0, 0.001],
    "seeds": 2,
}


def study(folder):
    """Return a project in `folder` with the study, of which nothing is made yet."""
    project = Project(folder)
    project.shorten_report()
    project.configure(**KEYS)
    write_models(folder)
    values = np.random.default_rng(5).normal(size=(200, 3)).round(3)
    rows = [f"{a},{b},{c},{'yes' if a + b > c else 'no'}" for a, b, c in values]
    (folder / "mine.csv").write_text("\n".join(["a,b,c,kind", *rows, ""]))
    return project


def strike(victim, snakemake, project, choose):
    """Kill Snakemake, some other process of the study, a group of processes, or all of them."""
    others = [process for process in project.processes() if process != snakemake.pid]
    with contextlib.suppress(ProcessLookupError):
        if victim == "all":
            project.kill()
        elif victim == "group":
            os.killpg(snakemake.pid, signal.SIGKILL)
        elif victim == "Snakemake" or not others:
            snakemake.kill()
        else:
            os.kill(choose.choice(others), signal.SIGKILL)


def struck(project, log, choose):
    """Make the study with `KILLS` kills; return who was killed. It may come to its end between."""
    snakemake, kills = None, []
    while len(kills) < KILLS:
        if snakemake is None or snakemake.poll() is not None:
            if snakemake and snakemake.returncode == 0:
                for name in ("results", "logs", ".snakemake"):
                    shutil.rmtree(project.folder / name)
            snakemake = project.start(stdout=log, stderr=log)
        said = Path(log.name).read_text().count("\n") + choose.randrange(LINES)
        while snakemake.poll() is None and Path(log.name).read_text().count("\n") < said:
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            snakemake.wait(choose.uniform(0.1, 3))
            continue
        kills.append(choose.choice(["Snakemake", "job", "group", "all"]))
        strike(kills[-1], snakemake, project, choose)
        if kills[-1] != "job":
            snakemake.wait(timeout=600)
    if snakemake.poll() is None:
        snakemake.wait(timeout=3600)
    return kills


@pytest.mark.slow
def test_tables_are_as_if_nothing_had_been_killed(tmp_path):
    calm, project = study(tmp_path / "calm"), study(tmp_path / "struck")
    calm.make("aggregate")
    project.trains_itself = True
    try:
        with open(tmp_path / "said", "ab") as log:
            kills = struck(project, log, random.Random(SEED))
        project.make()
        assert project.tables() == calm.tables(), kills
        assert (project.results / "report" / "report.html").exists()
        assert "Traceback" not in (tmp_path / "said").read_text(), kills
        end = time.monotonic() + 60
        while project.processes() and time.monotonic() < end:
            time.sleep(0.1)
        assert not project.processes()
        assert not list(project.results.rglob(".*"))
    finally:
        project.kill()
