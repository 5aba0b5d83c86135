"""The lock of a study, held by processes of their own."""

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys

import pytest

from l2study.workflow import lock

SCRIPTS = os.path.abspath(f"{lock.__file__}/../../..")
HOLD = "from l2study.workflow import lock; lock.hold('at/work'); print(flush=True); input()"


@pytest.fixture
def holder(tmp_path, monkeypatch):
    """A process that holds the lock `at/work` in the working directory."""
    monkeypatch.chdir(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=os.environ | {"PYTHONPATH": SCRIPTS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "\n"
    yield process
    lock._held.clear()
    process.kill()
    process.communicate()


def test_a_living_holder_is_named(holder):
    with pytest.raises(lock.OwnedError) as refused:
        lock.hold("at/work")
    assert f"process {holder.pid} on {platform.node()}" in str(refused.value)
    assert "\n" not in str(refused.value)
    lock.hold("at/another")


def test_a_holder_that_was_killed_is_followed_without_help(holder):
    holder.kill()
    holder.wait()
    assert lock.hold("at/work") is None
    with open("at/work") as file:
        assert json.load(file)["process"] == os.getpid()
    with pytest.raises(lock.OwnedError, match=f"process {os.getpid()} "):
        lock.hold("at/work")


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(lock.OwnedError, match=r"cannot be locked .* --directory"):
        lock.hold(tmp_path / "lock")
