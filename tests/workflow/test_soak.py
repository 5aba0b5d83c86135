"""Kills at random, of anything, in a study with set-ups, a model of one's own and a table of rows.

The suite has a few. For more, and others: SOAK_KILLS=20 SOAK_SEED=1 python -m pytest <this file>
"""

import contextlib
import os
import random
import signal
import subprocess
import time

import numpy as np
import pytest

from project import Project
from tiny import write_models

KILLS = int(os.environ.get("SOAK_KILLS", "3"))
SEED = int(os.environ.get("SOAK_SEED", "0"))
LONGEST = 40.0
"""Seconds from a start to the kill, at most: about what the study takes."""

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
    project.preloaded = False
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


@pytest.mark.slow
def test_tables_are_as_if_nothing_had_been_killed(tmp_path):
    choose = random.Random(SEED)
    calm, project = study(tmp_path / "calm"), study(tmp_path / "struck")
    calm.make()
    log = open(tmp_path / "said", "ab")  # noqa: SIM115  # for many processes
    kills, ends = [], 0
    try:
        while len(kills) < KILLS:
            if ends:  # it came to its end before the kill: from the start once more
                subprocess.run(["rm", "-rf", "results", "logs"], cwd=project.folder, check=True)
                subprocess.run(["rm", "-rf", ".snakemake"], cwd=project.folder, check=True)
            ends = 0
            snakemake = project.start(stdout=log, stderr=log)
            with contextlib.suppress(subprocess.TimeoutExpired):
                snakemake.wait(choose.uniform(0.5, LONGEST))
                # 1: a job was killed before
                ends = snakemake.returncode == 0
                continue
            victim = choose.choice(["Snakemake", "job", "group", "all"])
            strike(victim, snakemake, project, choose)
            kills.append(victim)
            if victim == "job":
                snakemake.wait(timeout=600)
                ends = snakemake.returncode == 0
            snakemake.wait(timeout=600)
        project.make()
    finally:
        project.kill()
        log.close()
    assert project.tables() == calm.tables()
    assert (project.results / "report" / "report.html").exists()
    assert "Traceback" not in (tmp_path / "said").read_text(), kills
    end = time.monotonic() + 60
    while project.processes() and time.monotonic() < end:
        time.sleep(0.1)
    assert not project.processes()
    assert not list(project.results.rglob(".*"))
