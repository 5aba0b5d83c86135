"""The lock of a study, held and looked at by processes of their own."""

import json
import os
import platform
import subprocess
import sys

import pytest

from l2study import owner

SCRIPTS = os.path.dirname(os.path.dirname(owner.__file__))
HOLD = (
    "from l2study import owner; owner.arrive('lock', 'x'); owner.hold('lock');"
    " print(flush=True); input()"
)


@pytest.fixture
def holder(tmp_path, monkeypatch):
    """A process that holds the lock `lock` in the working directory."""
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
    owner._held.clear()
    process.kill()
    process.communicate()


def leave_locks(tmp_path):
    """Leave what a killed Snakemake leaves of the studies `mine` and `mine-2`."""
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("scripts/train.py\nresults/mine/data.json\n")
    (locks / "0.output.lock").write_text("results/mine/data.json\n")
    (locks / "1.output.lock").write_text("results/mine-2/data.json\n")
    return lambda: sorted(path.name for path in locks.iterdir())


def test_a_living_holder_is_named_and_nothing_is_touched(holder, tmp_path):
    left = leave_locks(tmp_path)
    assert f"process {holder.pid} on {platform.node()}" in owner.arrive("lock", "results/mine/")
    with pytest.raises(owner.OwnedError, match=f"process {holder.pid} "):
        owner.hold("lock")
    assert len(left()) == 3


def test_the_locks_of_a_dead_holder_are_removed_those_of_other_studies_are_not(holder, tmp_path):
    left = leave_locks(tmp_path)
    holder.kill()
    holder.wait()
    assert owner.arrive("lock", "results/mine/") is None
    assert left() == ["1.output.lock"]


def test_locks_from_another_host_are_left_alone(holder, tmp_path):
    left = leave_locks(tmp_path)
    holder.kill()
    holder.wait()
    record = json.loads((tmp_path / "lock").read_text())
    (tmp_path / "lock").write_text(json.dumps(record | {"host": "another"}))
    assert owner.arrive("lock", "results/mine/") is None
    assert len(left()) == 3


def test_whoever_has_not_begun_yet_is_not_disturbed_either(holder, tmp_path):
    """Between Snakemake's lock and ours, a living workflow is known by having arrived."""
    left = leave_locks(tmp_path)
    arriving = HOLD.replace("owner.hold('lock');", "")
    with subprocess.Popen(
        [sys.executable, "-c", arriving],
        env=os.environ | {"PYTHONPATH": SCRIPTS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "\n"
        holder.kill()
        holder.wait()
        assert owner.arrive("lock", "results/mine/") is None
        assert len(left()) == 3
        other.kill()
    owner._held.clear()
    assert owner.arrive("lock", "results/mine/") is None
    assert left() == ["1.output.lock"]


def test_the_next_holder_is_the_one_that_is_named(holder, tmp_path):
    holder.kill()
    holder.wait()
    owner.hold("lock")
    assert json.loads((tmp_path / "lock").read_text())["process"] == os.getpid()
