"""Studies on a real Slurm of two nodes, with real faults: every run is trained in the end.

Slurm is started once for all tests of this module, and gone when they are over. Whatever happens,
no run is ever at work twice at the same time. One test trains and compares the tables with those of
a local study. In the others, which are about jobs and nodes, training is faked.
"""

import json
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from fake_training import ENVIRONMENT, RUNS, FakeTraining
from l2study.core.files import read_json
from project import Project
from requirements import require, unavailable
from slurm_cluster import NODES, PACKAGES, Slurm, SlurmError, output, wait_until
from tiny import PROJECT, write_models

SABOTAGE = """
import json, os, time
from pathlib import Path

def strike(l2, seed):
    with open("attempts", "a") as file:
        file.write(f"{l2}_{seed} {os.environ['SLURM_JOB_ID']}\\n")
    faults = Path("faults.json")
    fault = json.loads(faults.read_text()).get(f"{l2} {seed}") if faults.exists() else None
    once = Path(f"once-{l2}-{seed}")
    first = not once.exists()
    once.touch()
    if fault == "memory":  # at every attempt
        held = bytearray(2_500_000_000)
        held[::4096] = bytes(len(held[::4096]))
        time.sleep(600 if first else 4)
    if fault == "hang" and first:
        time.sleep(600)
    while fault == "wait" and not Path("go").exists():
        time.sleep(0.2)
"""
"""What faults.json of the study's folder does to the runs that it names, before they train.

Which run was at work in which job of Slurm is in the file `attempts`.
"""

STRUCK = """

train_unharmed = train

def train(config, data_path, l2, seed, *others, **options):
    import sabotage

    sabotage.strike(l2, seed)
    train_unharmed(config, data_path, l2, seed, *others, **options)
"""
"""Added to the module that trains a run."""


@pytest.fixture(scope="module")
def slurm():
    """Two idle nodes. Skipped, or failed in CI, where Slurm is missing or cannot be started."""
    for program, package in PACKAGES.items():
        require(program, package)
    cluster = Slurm()
    try:
        cluster.start()
    except SlurmError as error:
        unavailable(str(error))
    yield cluster
    daemons = [daemon.pid for daemon in cluster.daemons.values()]
    cluster.stop()
    assert not cluster.folder.exists()
    assert not [pid for pid in daemons if Path(f"/proc/{pid}").exists()]


class OnCluster:
    """A project with faults to come, and the profile as it is but for the waiting."""

    def __init__(self, folder):
        super().__init__(folder)
        (folder / "scripts" / "sabotage.py").write_text(SABOTAGE)
        profile = folder / "profiles" / "slurm" / "config.yaml"
        changed = profile.read_text().replace("status-checks: 10", "status-checks: 2")
        assert changed != profile.read_text()
        profile.write_text(changed)

    def faults(self, **faults):
        """Let the runs of lambda 0.001 have these faults: seed_1="hang"."""
        named = {f"0.001 {key.removeprefix('seed_')}": fault for key, fault in faults.items()}
        (self.folder / "faults.json").write_text(json.dumps(named))

    def start_on_cluster(self, *arguments):
        return self.start(
            *self.targets, "--workflow-profile", "profiles/slurm", *arguments,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def on_cluster(self, *arguments, succeeds=True):
        """Run the study and return what was printed."""
        return ended(self.start_on_cluster(*arguments), succeeds)

    def at_work(self):
        """Return the ids of the jobs that have been at work on every run, in order.

        A job may try a run twice, one time after the other, until Slurm ends it.
        """
        found, path = defaultdict(list), self.folder / "attempts"
        for line in path.read_text().splitlines() if path.exists() else []:
            run, job = line.split()
            if job not in found[run]:
                found[run].append(job)
        return found


class Trained(OnCluster, Project):
    """The tiny study."""

    targets = ("aggregate",)

    def __init__(self, folder):
        super().__init__(folder)
        with open(folder / "scripts" / "l2study" / "training" / "one_run.py", "a") as code:
            code.write(STRUCK)


class Faked(OnCluster, FakeTraining):
    """Four runs with faked training: lambda 0.001, seeds 0 to 3."""

    targets = ()

    def __init__(self, folder):
        super().__init__(folder)
        program = folder / "scripts" / "train.py"
        parsed = "options = parser.parse_args()\n"
        strike = "import sabotage; sabotage.strike(options.l2, options.seed)\n"
        program.write_text(program.read_text().replace(parsed, parsed + strike))

    def trained_once(self):
        """Return whether every run is there and was trained once, after its faults."""
        lines = (self.folder / "turns").read_text().splitlines()
        words = [f"{word} {seed}" for word in ("begin", "end") for seed in range(len(RUNS))]
        return sorted(lines) == words and self.trained() == set(range(len(RUNS)))


@pytest.fixture
def project(tmp_path):
    project = Faked(tmp_path / "project")
    yield project
    project.kill()


ONE_BY_ONE = ("--group-components", "runs=1")
ONE_TRY = ("--preemptible-retries", "0")
ALL_WAIT = {f"seed_{seed}": "wait" for seed in range(len(RUNS))}

FIELDS = ("JobIDRaw", "State", "NodeList", "Start", "End", "Timelimit", "ReqMem")


def jobs_of(slurm, project):
    """Return what Slurm has accounted for the study of `project`, by the id of the job."""
    rows = slurm.accounted(*FIELDS, "WorkDir")
    own = [row for row in rows if row[-1] == str(project.folder)]
    return {row[0]: dict(zip(FIELDS, row, strict=False)) for row in own}


def attempts_one_at_a_time(slurm, project):
    """Return what was accounted for every attempt at a run; none began before the last ended."""
    jobs = jobs_of(slurm, project)
    found = {run: [jobs[job] for job in ids] for run, ids in project.at_work().items()}
    for run, of_run in found.items():
        for earlier, later in pairwise(of_run):
            assert earlier["End"] <= later["Start"], run
    return found


def ended(process, succeeds=True):
    """Wait for a Snakemake and return what it printed."""
    printed, _ = process.communicate(timeout=600)
    assert (process.returncode == 0) == succeeds, printed
    return printed


def scontrol(*arguments):
    subprocess.run(["scontrol", "update", *arguments], check=True)


def test_a_study_has_the_tables_of_a_local_one(slurm, finished, tmp_path):
    """Its four runs, of a model of one's own, are two jobs, one on each node, with one run after
    the other. A change of what the model imports trains them again.
    """
    few = {"lambdas": [0, 0.001], "seeds": 2, "model": {"build": "models.py:net"}}
    project, local = Trained(tmp_path / "project"), finished.copy(tmp_path / "local")
    for one in (project, local):
        write_models(one.folder)
    project.configure(**few)
    project.on_cluster("--group-components", "runs=2")
    local.configure(**few)
    local.make("aggregate")
    assert project.tables() == local.tables()
    runs_of = defaultdict(list)
    for run, (job,) in project.at_work().items():
        runs_of[job].append(run.split("_"))
    jobs = [jobs_of(slurm, project)[job] for job in runs_of]
    assert [job["State"] for job in jobs] == ["COMPLETED"] * 2
    assert {job["NodeList"] for job in jobs} == set(NODES)
    for job, runs in runs_of.items():
        records = [read_json(project.run_folder(l2, seed) / "run.json") for l2, seed in runs]
        first, second = sorted((record["started"], record["finished"]) for record in records)
        assert first[1] <= second[0]
        # the Snakemake of the job has started no other, which would be a step
        assert not re.search(r"\.\d", output("sacct", "--jobs", job, "--format=JobID"))
    assert project.planned("aggregate") == {}
    (project.folder / "layers.py").write_text("units = 5\n")
    assert project.planned("aggregate") == {"model": 1, "train": 4, "measure": 2, "aggregate": 1}


# ---- faults of jobs


def test_cancelled_over_memory_and_over_time(slurm, project):
    """Each at its first attempt; more memory and time at the second is what helps."""
    project.faults(seed_0="memory", seed_1="hang", seed_2="hang")
    snakemake = project.start_on_cluster(*ONE_BY_ONE)
    wait_until(lambda: len(project.at_work()) == 4)
    ids = project.at_work()
    subprocess.run(["scancel", *ids["0.001_2"]], check=True)
    # a minute would be the shortest limit of a job: the time of this one is over now
    scontrol(f"jobid={ids['0.001_1'][0]}", "endtime=now")
    ended(snakemake)
    assert project.trained_once()
    runs = attempts_one_at_a_time(slurm, project)
    states = {run: [job["State"].split()[0] for job in of] for run, of in runs.items()}
    assert states == {
        # over memory, Slurm without cgroups says FAILED
        "0.001_0": ["FAILED", "COMPLETED"],
        "0.001_1": ["TIMEOUT", "COMPLETED"],
        "0.001_2": ["CANCELLED", "COMPLETED"],
        "0.001_3": ["COMPLETED"],
    }
    assert [job["ReqMem"] for job in runs["0.001_0"]] == ["2000M", "4000M"]
    assert runs["0.001_3"][0]["Timelimit"] == "00:05:00"
    assert runs["0.001_1"][1]["Timelimit"] == "00:10:00"


# ---- faults of the cluster


def test_node_crashes_for_good_and_controller_is_away(slurm, project):
    """Neither is a failure of a run: one try is enough."""
    project.faults(**ALL_WAIT)
    snakemake = project.start_on_cluster(*ONE_BY_ONE, *ONE_TRY)
    wait_until(lambda: len(project.at_work()) == 4)
    rows = [row.split() for row in output("squeue", "--noheader", "--format=%i %N").splitlines()]
    lost = {job for job, node in rows if node == "n2"}
    assert lost
    logs = project.folder / ".snakemake" / "log"
    slurm.crash("n2")
    try:
        wait_until(lambda: slurm.states()[1].startswith("down"), what="the node to be missed")
        slurm.stop_controller()
        try:
            # sbatch waits for nine seconds
            told = "controller does not answer"
            wait_until(lambda: any(told in log.read_text() for log in logs.glob("*.log")))
            (project.folder / "go").touch()
        finally:
            slurm.start_controller()
        printed = ended(snakemake)
    finally:
        slurm.start_node("n2")
    assert printed.count("was lost with its node, n2: resubmitted") == len(lost)
    wait_until(lambda: slurm.states() == ["idle"] * 2)
    assert project.trained_once()
    attempts_one_at_a_time(slurm, project)
    states = {id: job["State"] for id, job in jobs_of(slurm, project).items()}
    assert {id for id, state in states.items() if state == "NODE_FAIL"} == lost
    assert len(states) == 4 + len(lost)


def test_node_whose_jobs_die_before_they_begin(slurm, project):
    slurm.spoil("n2")
    try:
        printed = project.on_cluster("--group-components", "runs=2", *ONE_TRY)
    finally:
        slurm.mend("n2")
    assert printed.count("ended before it had begun, n2: resubmitted") == 1
    assert project.trained_once()
    jobs = jobs_of(slurm, project).values()
    assert [job["State"].split()[0] for job in jobs if job["NodeList"] == "n2"] == ["CANCELLED"]
    assert {job["State"] for job in jobs if job["NodeList"] == "n1"} == {"COMPLETED"}


def test_what_slurm_refuses_is_said_in_its_words(slurm, project):
    nowhere = ("--set-resources", "train:slurm_partition=nowhere")
    printed = project.on_cluster(*ONE_TRY, *nowhere, succeeds=False)
    assert "invalid partition specified: nowhere" in printed
    assert "sbatch call" not in printed
    assert not jobs_of(slurm, project)


def test_a_short_partition_gives_a_job_of_four_runs_what_it_may_have(slurm, project):
    printed = project.on_cluster("--default-resources", "slurm_partition=short")
    assert "partition short allows 3 minutes: jobs of 20 ask for 3" in printed
    (job,) = jobs_of(slurm, project).values()
    assert (job["State"], job["Timelimit"]) == ("COMPLETED", "00:03:00")
    assert project.trained_once()


def test_a_job_more_than_a_user_may_submit_waits_for_others(slurm, project, monkeypatch):
    """It has not failed, though there is one try."""
    limit = ["sacctmgr", "-i", "modify", "user", "root", "set"]
    subprocess.run([*limit, "maxsubmitjobs=2"], check=True)
    try:
        printed = project.on_cluster(*ONE_BY_ONE, *ONE_TRY)
    finally:
        subprocess.run([*limit, "maxsubmitjobs=-1"], check=True)
    assert printed.count("--jobs 2") == 1
    assert project.trained_once()
    assert len(jobs_of(slurm, project)) == 4


def test_snakemake_within_a_job_submits_others(slurm, project, tmp_path):
    command = Path(sys.executable).parent / "snakemake"
    arguments = ["--workflow-profile", "profiles/slurm", "--configfile", "tiny.yaml", "--", *RUNS]
    script = tmp_path / "study.sh"
    script.write_text(f"#!/bin/sh\nexec {shlex.join([str(command), *arguments])}\n")
    log = tmp_path / "said"
    subprocess.run(
        ["sbatch", "--wait", "--time=10", "--mem=500", f"--chdir={project.folder}"]
        + [f"--output={log}", str(script)],
        env=ENVIRONMENT, check=True,
    )  # fmt: skip
    assert "not recommended" not in log.read_text()
    assert project.trained_once()
    assert len(jobs_of(slurm, project)) == 2


def test_killed_with_jobs_in_the_queue(slurm, project):
    """The same command goes on: it ends what the killed one has left before it starts anything."""
    project.faults(**ALL_WAIT)
    scontrol("nodename=n2", "state=drain", "reason=test")
    try:
        first = project.start_on_cluster(*ONE_BY_ONE)
        # the memory of one node is enough for three
        wait_until(lambda: len(project.at_work()) == 3)
        left = set(slurm.jobs())
        assert len(left) == 4
        first.kill()
        first.communicate()
        assert left <= set(slurm.jobs())
        (project.folder / "faults.json").unlink()
        second = project.start_on_cluster(*ONE_BY_ONE)
        wait_until(lambda: slurm.jobs() and not left & set(slurm.jobs()))
    finally:
        scontrol("nodename=n2", "state=resume")
    assert "cancelled 4 Slurm jobs of a Snakemake that was killed" in ended(second)
    assert project.trained_once()
    attempts_one_at_a_time(slurm, project)
    jobs = jobs_of(slurm, project)
    first_end = max(jobs[job]["End"] for job in left)
    assert all(job["Start"] >= first_end for id, job in jobs.items() if id not in left)
    assert "jobs" not in json.loads((project.folder / ".snakemake/at-work/tiny").read_text())


def test_a_profile_has_what_the_one_that_it_replaces_sets():
    """Naming another workflow profile replaces the default one as a whole."""
    default, cluster, gpu = (
        yaml.safe_load((PROJECT / "profiles" / name / "config.yaml").read_text())
        for name in ("default", "slurm", "slurm-gpu")
    )
    assert default.items() <= cluster.items()
    assert gpu.keys() <= cluster.keys()
