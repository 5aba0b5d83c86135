"""A study that goes beyond its range of lambdas in rounds, by one command that is given again."""

import json
import shutil
import subprocess

import pytest
from test_faults import wait_until

from project import Project

pytestmark = pytest.mark.slow  # trains a study in three rounds


def test_a_range_is_extended_in_rounds_one_of_which_is_killed(tmp_path):
    project = Project(tmp_path / "study")
    project.shorten_report()
    own = {"from": 1, "to": 10, "per_decade": 1, "extend": True}
    project.configure(lambdas=own, seeds=2)
    said = project.make("aggregate")
    assert "4 runs to train, 0 kept" in said
    assert "beyond it: 1. To train 0.1 too, run the same command again." in said
    first = project.times()

    # killed while it trains the second run of the second round
    project.inject({"at": r"rename \S*l2~0.1/seed~1/history.csv", "do": "wait"})
    snakemake = project.start("--cores", "1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: project.met_all_faults() or snakemake.poll() is not None)
    assert project.met_all_faults() and project.run_folder("0.1", 0).exists()
    project.kill()
    snakemake.wait()
    project.remove_faults()

    plan = project.program("plan", "--cores", "2", "--configfile", "tiny.yaml").stdout
    assert "6 runs: 5 kept, 1 to train" in plan
    assert "lambdas in rounds: 0.1 to 10 in this one, 0.01 to 1000 at most" in plan
    said = project.make("aggregate")
    assert "1 run to train, 5 kept" in said, said
    assert "beyond it: 0.1. To train 0.01 too, run the same command again." in said

    said = project.make()
    assert "2 runs to train, 6 kept" in said
    assert "beyond it: 0.01. The range is not extended further" in said
    assert first.items() <= project.times().items(), "a run was trained again"
    (best,) = (row for row in project.table("best") if row["configured"] == "yes")
    assert (best["best_l2"], best["grid"], best["next_l2"]) == ("0.01", "at the end", "0.001")
    summary = (project.results / "report" / "summary.md").read_text()
    assert summary.startswith("# ") and "8 runs (4 lambdas" in summary
    assert "runs to train" not in project.make()

    # what jobs of a cluster would find
    told = project.folder / ".snakemake" / "at-work" / "tiny.round"
    assert json.loads(told.read_text()) == ["0.01", "0.1", "1", "10"]

    # copied to a machine that knows nothing of the study
    shutil.rmtree(project.folder / ".snakemake")
    kept = project.program("adopt", "tiny.yaml").stdout
    assert kept.startswith("8 of 8 runs found are kept")
