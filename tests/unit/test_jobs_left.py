"""Jobs that a killed Snakemake left in Slurm's queue, with programs that answer as Slurm does."""

import asyncio
import json
import os
import platform
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm

from l2study.workflow import lock, slurm, snakemake_door


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A file with the ids of the jobs in the queue, which squeue prints and scancel empties."""
    file = tmp_path / "queue"
    file.write_text("11\n12\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "squeue": f'[ "$3" = --name=mine -o "$3" = --name=next ] && cat {file}',
        "scancel": f'[ "$1" = --name=mine ] && : > {file}',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    yield file
    lock._held.clear()


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
    assert lock.hold("lock", jobs="next").startswith("2 jobs ")
    assert queue.read_text() == ""
    assert record()["jobs"] == "next"
    queue.write_text("13\n")
    lock.rest("lock")
    assert record()["jobs"] == "next"
    queue.write_text("")
    lock.rest("lock")
    assert "jobs" not in record()
    assert record()["process"] == os.getpid()


def test_nothing_is_said_where_nothing_is_left(queue):
    queue.write_text("")
    leave()
    assert lock.hold("lock") is None
    assert "jobs" not in record()


def test_those_of_another_host_are_left_alone_and_refused(queue):
    leave(host="another")
    with pytest.raises(lock.OwnedError, match=r"2 jobs .* scancel --name=mine$"):
        lock.hold("lock", jobs="next")
    assert queue.read_text() == "11\n12\n"
    assert record()["jobs"] == "mine"


def test_those_that_do_not_end_are_refused(queue, tmp_path):
    (tmp_path / "bin" / "scancel").write_text("#!/bin/sh\n")
    with pytest.raises(slurm.OrphansError, match=r"2 cancelled jobs .* scancel --name=mine$"):
        slurm.end("mine", cancel=True, seconds=0.1)


@pytest.mark.parametrize("why", ["no answer", "no squeue"])
def test_not_knowing_is_a_reason_to_refuse(queue, tmp_path, monkeypatch, why):
    leave()
    if why == "no squeue":
        monkeypatch.setenv("PATH", "/nowhere")
    else:
        (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\necho no\nexit 1\n")
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
    workflow = SimpleNamespace(scheduler=SimpleNamespace(_executor=executor))
    snakemake_door.see_every_end(workflow)
    states, seconds = asyncio.run(plugin.query_job_status("sacct", None))
    assert list(states.values()) == ["CANCELLED"] * 2 + ["RUNNING", "NODE_FAIL", "COMPLETED"]
    assert seconds == 0.5
    assert asyncio.run(plugin.query_job_status("", None)) == (None, 0.5)
