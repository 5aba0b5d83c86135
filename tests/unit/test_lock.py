"""The lock of a study, held by processes of their own."""

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from l2study.workflow import lock

SCRIPTS = os.path.abspath(f"{lock.__file__}/../../..")
HOLD = "from l2study.workflow import lock; lock.hold('at/work'); print(flush=True); input()"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that starts a process which holds the lock `at/work` in the working directory."""
    monkeypatch.chdir(tmp_path)
    started = []

    def start(before=""):
        process = subprocess.Popen(
            [sys.executable, "-c", f"{before}\n{HOLD}"],
            env=os.environ | {"PYTHONPATH": SCRIPTS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "\n", process.stderr.read()
        return process

    yield start
    lock._held.clear()
    for process in started:
        process.kill()
        process.communicate()


def test_a_living_holder_is_named(start):
    holder = start()
    with pytest.raises(lock.OwnedError) as refused:
        lock.hold("at/work")
    assert f"process {holder.pid} on {platform.node()}" in str(refused.value)
    assert "\n" not in str(refused.value)
    lock.hold("at/another")


def test_a_holder_that_was_killed_is_followed_without_help(start):
    holder = start()
    holder.kill()
    holder.wait()
    assert lock.hold("at/work") is None
    with open("at/work") as file:
        assert json.load(file)["process"] == os.getpid()
    with pytest.raises(lock.OwnedError, match=f"process {os.getpid()} "):
        lock.hold("at/work")


# ---- two nodes, of which each sees its own locks alone


@pytest.fixture
def elsewhere(start, monkeypatch):
    """A function that starts a process on another node, with `BEAT` and `DEAD` as here."""
    monkeypatch.setattr(fcntl, "flock", lambda file, kind: None)
    monkeypatch.setattr(lock, "BEAT", 0.2)
    monkeypatch.setattr(lock, "DEAD", 3.0)
    there = "import fcntl; fcntl.flock = lambda file, kind: None"
    there += "; from l2study.workflow import lock"
    there += "; lock.BEAT, lock.DEAD, lock._HOST, lock._node = 0.2, 3.0, 'n2', lambda: '2'"
    return lambda: start(there)


@pytest.mark.slow  # waits for one sign, and for want of more
def test_a_holder_on_another_node_gives_signs_of_life(elsewhere):
    holder = elsewhere()
    time.sleep(lock.DEAD + 0.5)
    with pytest.raises(lock.OwnedError) as refused:
        lock.hold("at/work")
    (words,) = str(refused.value).splitlines()
    assert words.startswith(f"process {holder.pid} on n2, ")
    assert words.endswith("If n2 is down, start again in 3 seconds")
    assert json.loads(Path("at/work").read_text())["process"] == holder.pid
    assert os.listdir("at") == ["work"]
    holder.kill()
    time.sleep(lock.DEAD + 0.5)
    lock.hold("at/work")
    assert json.loads(Path("at/work").read_text())["process"] == os.getpid()


def test_a_holder_on_another_node_that_has_ended_is_followed_at_once(elsewhere):
    elsewhere().communicate("\n")
    os.utime("at/work")  # as a copy of the folder has it
    lock.hold("at/work")


def test_of_two_that_begin_at_the_same_time_one_ends(elsewhere):
    holder = elsewhere()
    record = json.loads(Path("at/work").read_text())
    Path("at/work").write_text(json.dumps(record | {"host": "n1", "node": "1", "process": 7}))
    assert holder.wait(timeout=60) != 0
    assert holder.stderr.readline().startswith("process 7 on n1, ")
    assert json.loads(Path("at/work").read_text())["process"] == 7
    with pytest.raises(lock.OwnedError, match="process 7 on n1"):
        lock.hold("at/work")


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(lock.OwnedError, match=r"cannot be locked .* --directory"):
        lock.hold(tmp_path / "lock")
