"""Jobs that a killed Snakemake or a bad node has left, with programs that answer as Slurm does."""

import asyncio
import json
import os
import platform
import threading
import time
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm

from l2study.workflow import lock, slurm, snakemake_compat


def answer(folder, monkeypatch, **scripts):
    """Put these programs of a shell before others."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A file with the ids of the jobs in the queue, which squeue prints and scancel empties."""
    file = tmp_path / "queue"
    file.write_text("11\n12\n")
    answer(
        tmp_path,
        monkeypatch,
        squeue=f'[ "$3" = --name=mine -o "$3" = --name=next ] && cat {file}',
        scancel=f'[ "$1" = --name=mine ] && : > {file}',
    )
    monkeypatch.chdir(tmp_path)
    yield file
    lock._held.clear()


@pytest.fixture
def said(monkeypatch):
    """What is said of Slurm on the screen."""
    lines = []
    monkeypatch.setattr(snakemake_compat, "LOGGER", SimpleNamespace(warning=lines.append))
    return lines


def workflow_of(executor, **settings):
    """Return what the adapters see of a workflow with this executor."""
    scheduler = SimpleNamespace(_executor=executor)
    return SimpleNamespace(scheduler=scheduler, executor_settings=SimpleNamespace(**settings))


def leave(**changes):
    """Leave what a holder that was killed with jobs in the queue leaves in its lock."""
    record = {"host": platform.node(), "process": 1, "since": "then", "jobs": "mine"} | changes
    with open("lock", "w") as file:
        json.dump(record, file)


def record():
    with open("lock") as file:
        return json.load(file)


def test_they_are_cancelled_before_the_next_holder_begins(queue):
    leave()
    assert lock.hold("lock", jobs="next").startswith("cancelled 2 Slurm jobs ")
    assert queue.read_text() == ""
    assert record()["jobs"] == "next"
    queue.write_text("13\n")
    lock.rest("lock")
    assert record()["jobs"] == "next"
    queue.write_text("")
    lock.rest("lock")
    assert "jobs" not in record()
    assert record()["process"] == os.getpid()


def test_those_of_another_node_are_left_alone_until_it_gives_no_sign_of_life(queue):
    leave(host="another", node="1")
    with pytest.raises(lock.OwnedError, match="another is down"):
        lock.hold("lock", jobs="next")
    assert queue.read_text() == "11\n12\n"
    assert record()["jobs"] == "mine"
    dead = time.time() - lock.DEAD - 1
    os.utime("lock", (dead, dead))
    assert lock.hold("lock", jobs="next").startswith("cancelled 2 ")
    assert queue.read_text() == ""


def test_those_that_do_not_end_are_refused(queue, tmp_path):
    (tmp_path / "scancel").write_text("#!/bin/sh\n")
    with pytest.raises(slurm.OrphansError, match=r"2 cancelled jobs .* scancel --name=mine$"):
        slurm.end("mine", seconds=0.1)


def test_not_knowing_is_a_reason_to_refuse(queue, tmp_path):
    leave()
    (tmp_path / "squeue").write_text("#!/bin/sh\necho no\nexit 1\n")
    with pytest.raises(lock.OwnedError):
        lock.hold("lock", jobs="next")
    assert record()["jobs"] == "mine"


def test_a_job_that_was_cancelled_or_preempted_is_over(monkeypatch):
    """With the states that sacct gives. On a real cluster: tests/cluster."""

    async def query(command, logger):
        states = ["CANCELLED by 0", "PREEMPTED", "RUNNING", "NODE_FAIL", "COMPLETED"]
        return (dict(enumerate(states)) if command else None), 0.5

    monkeypatch.setattr(snakemake_executor_plugin_slurm, "query_job_status", query)
    plugin = snakemake_executor_plugin_slurm
    executor = plugin.Executor.__new__(plugin.Executor)
    snakemake_compat.see_every_end(workflow_of(executor))
    states, seconds = asyncio.run(plugin.query_job_status("sacct", None))
    assert list(states.values()) == ["CANCELLED"] * 2 + ["RUNNING", "NODE_FAIL", "COMPLETED"]
    assert seconds == 0.5
    assert asyncio.run(plugin.query_job_status("", None)) == (None, 0.5)


def test_questions_come_in_equal_intervals():
    """Without that, the executor would wait as long as it has decided at the last question."""
    plugin = snakemake_executor_plugin_slurm
    executor = plugin.Executor.__new__(plugin.Executor)
    executor.next_seconds_between_status_checks = 180
    snakemake_compat.ask_steadily(workflow_of(executor, init_seconds_before_status_checks=0.1))
    asyncio.run(asyncio.wait_for(executor.sleep(), 5))


CONTACT = "SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed: "
CONTACT += "Unable to contact slurm controller (connect failure)'."
NO_NODE = (
    "sbatch: error: Batch job submission failed: Requested node configuration is not available"
)


class Submitter(snakemake_executor_plugin_slurm.Executor):
    """The executor for Slurm as far as it has to do with jobs that have ended."""

    def __init__(self, excluded=()):
        self._failed_nodes, self.wait = set(excluded), True
        self.submitted, self.failed = [], []
        self.report_job_error = lambda info, msg=None, **others: self.failed.append((msg, others))
        snakemake_compat.spare_tries(workflow_of(self))

    def run_jobs(self, jobs):
        self.submitted += jobs

    def run_job(self, job):
        try:
            raise RuntimeError(CONTACT if job == "job" else "no such account")
        except RuntimeError:
            raise AttributeError("a group has no rule") from None

    def tell(self, info, said=None):
        """Report that a job has failed; return how often it was submitted again, and failed."""
        self.report_job_error(info, msg=said, aux_logs=["log"])
        for timer in threading.enumerate():
            if isinstance(timer, threading.Timer):
                timer.join()
        return len(self.submitted), len(self.failed)


Submitter.__module__ = snakemake_compat.SLURM


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """A function: a job whose end sacct tells as it says, and its log in Slurm."""
    monkeypatch.setattr(snakemake_compat, "PAUSE", 0.0)

    def job(told, log=None):
        answer(tmp_path, monkeypatch, sacct=f"[ \"$1\" = --jobs=7 ] && echo '{told}'")
        logged = tmp_path / "logged"
        if log is not None:
            logged.write_text(log)
        return SimpleNamespace(job="job", external_jobid="7", aux={"slurm_logfile": logged})

    return job


BEGUN = f"Config file config.yaml\n{snakemake_compat.BEGUN}\nout of luck\n"


@pytest.mark.parametrize(
    ("told", "log", "node"),
    [
        ("FAILED|n2", "python: command not found\n", "n2"),
        ("FAILED|n2", BEGUN, None),
        ("NODE_FAIL|n2", BEGUN, "n2"),
        ("TIMEOUT|n2", None, None),
        ("", None, None),
    ],
)
def test_a_job_that_its_node_ended_goes_elsewhere_and_has_not_failed(ended, told, log, node):
    executor = Submitter(["n9"])
    submitted, failed = executor.tell(ended(told, log), "why")
    assert (submitted, failed) == ((1, 0) if node else (0, 1))
    assert executor._failed_nodes == ({"n9", node} if node else {"n9"})
    if not node:
        assert executor.failed == [("why", {"aux_logs": ["log"]})]


def test_a_job_that_dies_on_every_node_fails_in_the_end(ended):
    executor, info = Submitter(), ended("FAILED|n2")
    for go in range(1, snakemake_compat.GOES + 1):
        assert executor.tell(info) == (go, 0)
    assert executor.tell(info) == (snakemake_compat.GOES, 1)


def test_a_submission_without_an_answer_is_made_again_and_any_other_that_fails_has_failed(
    ended, said
):
    executor, info = Submitter(["n9"]), SimpleNamespace(job="job", external_jobid=None)
    for again in range(1, 2 * snakemake_compat.GOES):
        assert executor.tell(info, CONTACT) == (again, 0)
    assert said == ["Slurm's controller does not answer: jobs wait until it does"]
    assert executor.tell(info, "sbatch: error: invalid account") == (again, 1)
    assert executor.tell(info, NO_NODE) == (again, 2)
    # where every node seemed bad, all but those that the user has excluded are tried again
    executor.tell(ended("FAILED|n2"))
    assert executor._failed_nodes == {"n9", "n2"}
    assert executor.tell(info, NO_NODE) == (again + 2, 2)
    assert executor._failed_nodes == {"n9"}


def test_a_submission_that_raises_is_one_that_fails(ended):
    """The executor means to report it, but stumbles over a group, which would be waited for."""
    executor = Submitter()
    executor.run_job("another")
    assert executor.failed == [("A job cannot be submitted: no such account", {})]


def test_nothing_is_submitted_at_the_end_of_a_study_or_where_that_cannot_be_looked_up(
    ended, capsys
):
    executor, info = Submitter(), ended("FAILED|n2")
    executor.wait = False
    assert executor.tell(info) == (0, 1)
    executor.wait, executor.run_jobs = True, None
    assert executor.tell(info, "why") == (0, 2)
    assert executor.failed[-1] == ("why", {"aux_logs": ["log"]})
    info.aux, executor = None, Submitter()
    assert executor.tell(info) == (0, 1)
    assert "the job counts as failed" in capsys.readouterr().err


# ---- limits


class Asked(dict):
    """What a job asks for, as attributes too."""

    __getattr__ = dict.get


@pytest.mark.parametrize(
    ("partition", "asked", "given"),
    [
        ("short", 50, 30),
        ("short", 30, 30),
        ("long", 5000, 2910),
        ("free", 50, 50),
        (None, 500, 120),
    ],
)
def test_a_job_asks_for_no_more_time_than_its_partition_allows(
    tmp_path, monkeypatch, said, partition, asked, given
):
    partitions = "main* 2:00:00\\nshort 30:00\\nlong 2-00:30:00\\nfree infinite\\n"
    answer(tmp_path, monkeypatch, sinfo=f"printf '{partitions}'")
    plugin = snakemake_executor_plugin_slurm
    monkeypatch.setattr(plugin, "get_submit_command", plugin.get_submit_command)
    snakemake_compat.heed_limits(workflow_of(plugin.Executor.__new__(plugin.Executor)))
    job = SimpleNamespace(resources=Asked(runtime=asked), threads=1, is_group=lambda: True)
    names = ("run_uuid", "slurm_logfile", "comment_str", "account", "workdir")
    about = dict.fromkeys(names, "x") | {"partition": f"-p {partition}" if partition else ""}
    for _ in range(2):
        assert f" -t {given} " in f"{plugin.get_submit_command(job, about)} "
    assert len(said) == (asked != given)


def test_a_job_too_many_waits_for_others_of_the_study_and_fails_without_any(
    queue, said, monkeypatch
):
    monkeypatch.setattr(snakemake_compat, "FULL_PAUSE", 0.0)
    executor, info = Submitter(), SimpleNamespace(job="job", external_jobid=None)
    executor.run_uuid = "mine"
    refusal = "sbatch: error: Job violates accounting/QOS policy (job submit limit, user's size)"
    assert executor.tell(info, refusal) == (1, 0)
    assert said[0].endswith("--jobs 2")
    queue.write_text("")
    assert executor.tell(info, refusal) == (1, 1)
    assert "job submit limit" in said[1]


def test_why_jobs_wait_is_said_once_if_they_do_not_only_wait_their_turn(
    tmp_path, said, monkeypatch
):
    text = "Priority\\nQOSMaxWallDurationPerJobLimit\\nQOSMaxWallDurationPerJobLimit\\nResources\\n"
    answer(tmp_path, monkeypatch, squeue=f"printf '{text}'")
    looks, plain = iter([None] * 3), snakemake_compat.time
    sleeping = SimpleNamespace(sleep=lambda _: next(looks), monotonic=plain.monotonic)
    monkeypatch.setattr(snakemake_compat, "time", sleeping)
    monkeypatch.setattr(threading, "excepthook", lambda about: None)  # no looks are left
    executor = Submitter()
    executor.run_uuid = "mine"
    snakemake_compat.say_why_jobs_wait(workflow_of(executor))
    for thread in threading.enumerate():
        if thread.name.endswith("(look)"):
            thread.join()
    (line,) = said
    assert line.startswith("2 jobs wait in Slurm's queue for QOSMaxWallDurationPerJobLimit")


def test_a_job_that_submits_jobs_is_forgotten_but_not_where_slurm_is(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "/there")
    slurm.leave_job()
    assert {name for name in os.environ if name.startswith("SLURM_")} == {"SLURM_CONF"}
