"""What happens in and around a job of a cluster, seen with real Snakemake and jobs on this machine.

The executor is that of tests/executor, the profile that for Slurm. On a real Slurm: tests/cluster.
"""

import json
import re

import pytest

from fake_training import AS_JOBS, FakeTraining


@pytest.fixture
def project(tmp_path):
    return FakeTraining(tmp_path / "project")


IMPORT = "\n\nimport "

CHECK = 'assert "--mode" not in __import__("sys").argv, "not in a job"\n'

NOT_IN_A_JOB = ["data/preparation", "data/sources", "workflow/lock", "workflow/screen"]


def forbid(project):
    """Let a job of a cluster fail if its Snakemake checks, locks or shows anything.

    The Snakemake that a person has started has done all that.
    """
    for module in NOT_IN_A_JOB:
        project.change(module, IMPORT, f"\n\n{CHECK}import ")
    pydantic = "    from pydantic import ValidationError"
    project.change("core/config", pydantic, f"    {CHECK}{pydantic}")


def turns(project):
    """Return the seeds of the runs in order, after checking that they took turns; forget them."""
    path = project.folder / "turns"
    words = path.read_text().split()
    path.unlink()
    assert words[::2] == ["begin", "end"] * (len(words) // 4)
    assert words[1::4] == words[3::4]
    return [int(seed) for seed in words[1::4]]


def test_runs_of_a_job_take_turns_and_one_that_fails_stops_none(project):
    """Wherever the two that fail stand in a job of four, the others are kept.

    They are tried twice in the job, and once more when the job is repeated, without the others.
    """
    forbid(project)
    for seed in (1, 2):
        (project.folder / f"unlucky-{seed}").touch()
    said = project.fail(*AS_JOBS, "--preemptible-retries", "1")
    assert project.trained() == {0, 3}
    tried = turns(project)
    assert sorted(tried[:6]) == [0, 1, 1, 2, 2, 3]
    assert sorted(tried[6:]) == [1, 2]
    end = said[said.index("2 failed; ") :]
    assert re.findall("train l2=0.001 seed=(.): .*out of luck", end) == ["1", "2"]
    assert "2 of 4 runs trained, 0 submitted, 2 failed" in said

    # the same command tries those two again, and no other
    (project.folder / "unlucky-1").unlink()
    (project.folder / "unlucky-2").unlink()
    said = project.make(*AS_JOBS)
    assert "2 runs to train, 2 kept; other jobs: none" in said
    assert sorted(turns(project)) == [1, 2]
    assert project.trained() == {0, 1, 2, 3}

    # a job that dies before its first run: nothing of the old configuration passes for new
    project.configure(training={"epochs": 5})
    (project.folder / "down").touch()
    said = project.fail(*AS_JOBS, "--preemptible-retries", "0")
    assert "4 runs to train, 0 kept" in said
    assert project.trained() == set()
    assert not (project.folder / "turns").exists()

    # a job that fails when all its runs are complete: nothing is left to be done
    (project.folder / "down").unlink()
    (project.folder / "late").touch()
    said = project.make(*AS_JOBS, "--preemptible-retries", "1")
    assert sorted(turns(project)) == [0, 1, 2, 3]
    assert "4 of 4 runs trained, 0 submitted, 0 failed" in said


BROKEN = {
    "workflow.": "workflow.gone_",
    "DefaultStreamHandler": "gone",
    "snakemake.logging": "gone",
    "query_job_status": "gone",
}
"""What is asked of Snakemake, and what is asked for in its place and is not there."""


def test_without_all_that_snakemake_does_not_promise_the_study_is_made_all_the_same(project):
    for old, new in BROKEN.items():
        project.change("workflow/snakemake_compat", old, new)
    warning = "Unsupported Snakemake (AttributeError: "
    said = project.make()
    assert project.trained() == {0, 1, 2, 3}
    assert "Finished jobid: " in said, "the screen is Snakemake's"
    assert "Done in 0:" in said
    warnings = [line for line in said.splitlines() if line.startswith(warning)]
    assert len({line.partition("): ")[2] for line in warnings}) > 8, "each says what is lost"

    # and on a cluster
    project.configure(training={"epochs": 5})
    said = project.make(*AS_JOBS)
    assert "4 runs to train" not in said
    assert project.trained() == {0, 1, 2, 3}


def test_jobs_have_the_seeds_of_the_round_and_the_numbers_of_the_command_line(project):
    forbid(project)
    project.change("tables/rounds", "import math\n", f"import math\n{CHECK}")
    train = project.folder / "scripts" / "train.py"
    train.write_text(train.read_text().replace("print(", "print(options.config); print(", 1))
    until = {"measure": "val_ce", "half_width": 0.1, "max_seeds": 4}
    project.configure(seeds={"until": until})
    said = project.make(*AS_JOBS, "--config", "training={epochs: 2, batch_size: 50}")
    assert "4 runs to train, 0 kept" in said
    assert project.trained() == {0, 1, 2, 3}
    assert (project.folder / ".snakemake" / "at-work" / "tiny.round").read_text() == "4\n"
    for seed in range(4):
        log = project.folder / "logs" / "tiny" / "train" / "l2~0.001" / f"seed~{seed}.log"
        training = json.loads(log.read_text().splitlines()[0])["training"]
        assert (training["epochs"], training["batch_size"]) == (2, 50)
