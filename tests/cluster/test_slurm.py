"""Studies on a real Slurm of two nodes, with real faults: every run is trained in the end.

Slurm is started once for all tests of this module, and gone when they are over. Whatever happens,
no run is ever at work twice at the same time. One test trains and compares the tables with those of
a local study. In the others, which are about jobs and nodes, a stand-in trains.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from l2study.core.files import read_json
from needs import require, unavailable
from project import STUDY, Project
from slurm_cluster import NODES, PACKAGES, Slurm, SlurmError, output, wait_until
from stand_in import RUNS, StandIn
from tiny import PROJECT, write_npz

SABOTAGE = """
import json, os, time
from pathlib import Path

def strike(l2, seed):
    with open("attempts", "a") as file:
        file.write(f"{l2}_{seed} {os.environ['SLURM_JOB_ID']}\\n")
    faults = Path("faults.json")
    fault = json.loads(faults.read_text()).get(f"{l2} {seed}") if faults.exists() else None
    once = Path(f"once-{l2}-{seed}")
    if fault == "fail":
        raise RuntimeError("out of luck")
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
    folder, daemons = cluster.folder, [daemon.pid for daemon in cluster.daemons.values()]
    yield cluster
    cluster.stop()
    assert not folder.exists()
    assert not Path("/etc/slurm/slurm.conf").is_symlink()
    assert not [pid for pid in daemons if Path(f"/proc/{pid}").exists()]
    assert not [p for p in Path("/proc").glob("[0-9]*") if of_cluster(p, folder)]


def of_cluster(process, folder):
    """Return whether a process has to do with the folder of a cluster."""
    with contextlib.suppress(OSError):
        words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        return str(folder).encode() in words
    return False


class OnCluster:
    """A project with faults to come, and the profile as it is but for the waiting."""

    def __init__(self, folder):
        super().__init__(folder)
        (folder / "scripts" / "sabotage.py").write_text(SABOTAGE)
        self.profile("slurm-init-seconds-before-status-checks: 10", "{}: 2")

    def profile(self, old, new):
        """Change one line of the profile; {} in `new` stands for the key."""
        path = self.folder / "profiles" / "slurm" / "config.yaml"
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new.format(old.partition(":")[0])))

    def fault(self, faults):
        """Let these runs have these faults: {"0 1": "fail"} is of lambda 0 and seed 1."""
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def on_cluster(self, *arguments):
        return self.snakemake(*self.targets, "--workflow-profile", "profiles/slurm", *arguments)

    def start_on_cluster(self, *arguments):
        return self.start(
            *self.targets, "--workflow-profile", "profiles/slurm", *arguments,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


class Trained(OnCluster, Project):
    """The tiny study."""

    targets = ("aggregate",)

    def __init__(self, folder):
        super().__init__(folder)
        write_npz(folder / "tiny.npz")
        with open(folder / "scripts" / "l2study" / "training" / "one_run.py", "a") as code:
            code.write(STRUCK)


class StoodIn(OnCluster, StandIn):
    """Four runs by the stand-in: lambda 0.001, seeds 0 to 3."""

    targets = tuple(RUNS)

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
        return sorted(lines) == words and all((self.folder / run).exists() for run in RUNS)


@pytest.fixture
def trained(tmp_path):
    yield from and_nothing_after_it(Trained(tmp_path / "project"))


@pytest.fixture
def project(tmp_path):
    yield from and_nothing_after_it(StoodIn(tmp_path / "project"))


def and_nothing_after_it(project):
    yield project
    for process in project.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


ONE_BY_ONE = ("--group-components", "runs=1")
ONE_TRY = ("--preemptible-retries", "0")
FOUR = {"lambdas": [0, 0.001], "seeds": 2}
ALL_WAIT = {f"0.001 {seed}": "wait" for seed in range(len(RUNS))}


@pytest.fixture(scope="session")
def local_tables(finished, tmp_path_factory):
    """A function: the tables that the local study has with these keys."""
    made = {}

    def tables(**changes):
        if (keys := json.dumps(changes)) not in made:
            made[keys] = make(changes)
        return made[keys]

    def make(changes):
        local = finished.copy(tmp_path_factory.mktemp("local") / "study")
        local.configure(**changes)
        done = local.snakemake("aggregate")
        assert done.returncode == 0, done.stdout + done.stderr
        new = 4 if "factors" in changes else 0
        assert re.search(rf"\b{new} runs to train|Nothing to be done", done.stdout + done.stderr)
        return local.tables()

    return tables


FIELDS = ("JobIDRaw", "State", "NodeList", "Start", "End", "Timelimit", "ReqMem")


def jobs_of(slurm, project):
    """Return what Slurm has accounted for the study of `project`, job by job."""
    rows = slurm.accounted(*FIELDS, "WorkDir")
    return [dict(zip(FIELDS, row, strict=False)) for row in rows if row[-1] == str(project.folder)]


def jobs_that_trained(slurm, project):
    """Return what Slurm has accounted for the jobs in which a run was at work."""
    at_work = {job for jobs in started(project).values() for job in jobs}
    return [job for job in jobs_of(slurm, project) if job["JobIDRaw"] in at_work]


def started(project):
    return attempts(project) if (project.folder / "attempts").exists() else {}


def attempts(project):
    """Return the ids of the jobs that have been at work on every run, in order.

    A job may try a run twice, one time after the other, until Slurm ends it.
    """
    found = defaultdict(list)
    for line in (project.folder / "attempts").read_text().splitlines():
        run, job = line.split()
        if job not in found[run]:
            found[run].append(job)
    return found


def attempts_one_at_a_time(slurm, project):
    """Return what was accounted for every attempt at a run; none began before the last ended."""
    jobs = {job["JobIDRaw"]: job for job in jobs_of(slurm, project)}
    found = {run: [jobs[job] for job in ids] for run, ids in attempts(project).items()}
    for run, of_run in found.items():
        for earlier, later in pairwise(of_run):
            assert earlier["End"] <= later["Start"], run
    return found


def succeeded(done):
    assert done.returncode == 0, done.stdout + (done.stderr or "")


def ended(process, seconds=600):
    printed, _ = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, printed)


def said(project):
    """Return what the Snakemake that has submitted jobs has said so far."""
    return "".join(log.read_text() for log in (project.folder / ".snakemake" / "log").glob("*.log"))


def running(slurm, project):
    """Return the ids of the jobs of `project` that run, and their nodes."""
    rows = output("squeue", "--noheader", "--states=RUNNING", "--format=%i|%N|%Z").splitlines()
    return [row.split("|")[:2] for row in rows if row.endswith(f"|{project.folder}")]


def times(project):
    return {p: p.stat().st_mtime_ns for p in project.results.rglob("history.csv")}


# ---- all goes well, then a set-up more with a run that fails, then a job that is cancelled


def test_grouped_runs(slurm, trained, local_tables):
    project = trained
    project.configure(**FOUR)
    succeeded(project.on_cluster("--group-components", "runs=2"))
    assert project.tables() == local_tables(**FOUR)
    jobs = jobs_that_trained(slurm, project)
    assert [job["State"] for job in jobs] == ["COMPLETED"] * 2
    assert {job["NodeList"] for job in jobs} == set(NODES)
    for job in jobs:
        runs = [
            run.split("_") for run, ids in attempts(project).items() if ids == [job["JobIDRaw"]]
        ]
        assert len(runs) == 2
        assert_one_after_the_other(project, runs)
        # the Snakemake of the job has started no other, which would be a step
        assert not re.search(r"\.\d", output("sacct", "--jobs", job["JobIDRaw"], "--format=JobID"))
    logs = project.folder / "logs" / "tiny" / "train"
    assert len([log for log in logs.rglob("*.log") if "epoch 3/3" in log.read_text()]) == 4

    # a set-up more: its four runs are one job, and all that is submitted; one of them always
    # fails, and the other three are kept, wherever it stands
    before = times(project)
    varied = FOUR | {"factors": {"training.batch_size": [16]}}
    project.configure(**varied)
    project.fault({"0.001 0": "fail"})
    failed = project.on_cluster("--group-components", "runs=4", *ONE_TRY)
    assert failed.returncode != 0
    end = failed.stderr[failed.stderr.rindex("1 failed; ") :]
    assert "train batch_size~16 l2=0.001 seed=0: RuntimeError: out of luck" in end
    assert "l2=0 " not in end
    assert len(jobs_that_trained(slurm, project)) == 3
    kept = times(project)
    assert len(kept) == 4 + 3
    assert before.items() <= kept.items()
    project.fault({})
    succeeded(project.on_cluster())
    assert len(jobs_that_trained(slurm, project)) == 4
    assert kept.items() <= times(project).items()
    assert project.tables() == local_tables(**varied)

    # a job of four that is cancelled in the first: nothing of the old configuration passes for new
    project.configure(**FOUR, training=STUDY["training"] | {"epochs": 4})
    project.fault({f"{l2} {seed}": "wait" for l2 in FOUR["lambdas"] for seed in range(2)})
    (project.folder / "attempts").unlink()
    snakemake = project.start_on_cluster(*ONE_TRY)
    wait_until(lambda: started(project))
    subprocess.run(["scancel", *(job for job, _ in running(slurm, project))], check=True)
    assert ended(snakemake).returncode != 0
    wait_until(lambda: not project.processes())
    assert not list((project.results / "runs").rglob("history.csv"))
    planned = project.snakemake("--dry-run")
    assert planned.stdout.count("rule train:") + planned.stderr.count("rule train:") == 4


def assert_one_after_the_other(project, runs):
    records = [project.results / f"runs/l2~{l2}/seed~{seed}/run.json" for l2, seed in runs]
    times = sorted((r["started"], r["finished"]) for r in map(read_json, records))
    for earlier, later in pairwise(times):
        assert earlier[1] <= later[0]


# ---- faults of jobs


def test_cancelled_over_memory_and_over_time(slurm, project):
    """Each at its first attempt; more memory and time at the second is what helps."""
    project.fault({"0.001 0": "memory", "0.001 1": "hang", "0.001 2": "hang"})
    snakemake = project.start_on_cluster(*ONE_BY_ONE)
    wait_until(lambda: len(started(project)) == 4)
    ids = attempts(project)
    subprocess.run(["scancel", *ids["0.001_2"]], check=True)
    # a minute would be the shortest limit of a job: the time of this one is over now
    subprocess.run(["scontrol", "update", f"jobid={ids['0.001_1'][0]}", "endtime=now"], check=True)
    succeeded(ended(snakemake))
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
    project.fault(ALL_WAIT)
    snakemake = project.start_on_cluster(*ONE_BY_ONE, *ONE_TRY)
    wait_until(lambda: len(started(project)) == 4)
    lost = [job for job, node in running(slurm, project) if node == "n2"]
    assert lost
    slurm.crash("n2")
    try:
        wait_until(lambda: slurm.states()[1].startswith("down"), what="the node to be missed")
        slurm.stop_controller()
        try:
            # sbatch waits for nine seconds
            wait_until(lambda: "controller does not answer" in said(project))
            (project.folder / "go").touch()
        finally:
            slurm.start_controller()
        done = ended(snakemake)
    finally:
        slurm.start_node("n2")
    succeeded(done)
    assert done.stdout.count("was lost with its node, n2: it goes elsewhere") == len(lost)
    wait_until(lambda: slurm.states() == ["idle"] * 2)
    assert project.trained_once()
    assert len(attempts_one_at_a_time(slurm, project)) == 4
    jobs = jobs_that_trained(slurm, project)
    assert {job["JobIDRaw"] for job in jobs if job["State"] == "NODE_FAIL"} == set(lost)
    assert len(jobs) == 4 + len(lost)


def test_node_whose_jobs_die_before_they_begin(slurm, project):
    slurm.spoil("n2")
    try:
        done = project.on_cluster("--group-components", "runs=2", *ONE_TRY)
    finally:
        slurm.mend("n2")
    succeeded(done)
    assert done.stderr.count("ended before it had begun, n2: it goes elsewhere") == 1
    assert project.trained_once()
    jobs = jobs_of(slurm, project)
    assert [job["State"].split()[0] for job in jobs if job["NodeList"] == "n2"] == ["CANCELLED"]
    assert {job["State"] for job in jobs if job["NodeList"] == "n1"} == {"COMPLETED"}


def test_what_slurm_refuses_is_said_in_its_words(slurm, project):
    nowhere = ("--set-resources", "train:slurm_partition=nowhere")
    failed = project.on_cluster("--group-components", "runs=2", *ONE_TRY, *nowhere)
    assert failed.returncode != 0
    assert failed.stderr.count("invalid partition specified: nowhere") == 1
    assert "sbatch call" not in failed.stderr
    assert not jobs_of(slurm, project)


def test_killed_with_jobs_in_the_queue(slurm, project):
    """The same command goes on: it ends what the killed one has left before it starts anything."""
    project.fault(ALL_WAIT)
    subprocess.run(["scontrol", "update", "nodename=n2", "state=drain", "reason=test"], check=True)
    try:
        first = project.start_on_cluster(*ONE_BY_ONE)
        # the memory of one node is enough for three
        wait_until(lambda: len(started(project)) == 3)
        left = slurm.jobs()
        assert len(left) == 4
        first.kill()
        first.communicate()
        assert set(left) <= set(slurm.jobs())
        (project.folder / "faults.json").unlink()
        second = project.start_on_cluster(*ONE_BY_ONE)
        wait_until(lambda: slurm.jobs() and not set(left) & set(slurm.jobs()))
    finally:
        subprocess.run(["scontrol", "update", "nodename=n2", "state=resume"], check=True)
    done = ended(second)
    succeeded(done)
    assert f"{len(left)} jobs of a Snakemake that was killed have been cancelled" in done.stdout
    assert project.trained_once()
    assert len(attempts_one_at_a_time(slurm, project)) == 4
    jobs = jobs_of(slurm, project)
    first_end = max(job["End"] for job in jobs if job["JobIDRaw"] in left)
    assert all(job["Start"] >= first_end for job in jobs if job["JobIDRaw"] not in left)
    assert "jobs" not in json.loads((project.folder / ".snakemake/at-work/tiny").read_text())


def test_a_profile_has_what_the_one_that_it_replaces_sets():
    """Naming another workflow profile replaces the default one as a whole."""
    default, cluster, gpu = (
        yaml.safe_load((PROJECT / "profiles" / name / "config.yaml").read_text())
        for name in ("default", "slurm", "slurm-gpu")
    )
    assert default.items() <= cluster.items()
    assert gpu.keys() <= cluster.keys()
