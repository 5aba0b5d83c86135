"""train.py, measure.py and the preloaded process, run as programs."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import train as train_program
from l2study.core.columns import HISTORY_COLUMNS
from l2study.data.preparation import prepare
from l2study.training import preload
from tiny import CONFIG, PROJECT, history, set_up, train, train_command, without_seconds, write_npz

pytestmark = pytest.mark.slow


COLD = {preload.ADDRESS: ""}
"""The environment in which a run is trained in a process of its own."""


@contextmanager
def started():
    """Yield a preloaded process that trains what this process starts; None if there can be none."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(preload.ADDRESS, "")
        process = preload.start()
        yield process
        if process is not None:
            process.terminate()
            process.wait(timeout=300)


@pytest.fixture(scope="module", autouse=True)
def served():
    """Where a test does not say how, runs are trained by one preloaded process for all of them.

    To import TensorFlow takes much longer than the runs do.
    """
    with started() as process:
        yield process


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_npz(folder / "tiny.npz")
    prepare(set_up(dataset={"path": str(folder / "tiny.npz")}), folder / "data.json")
    return folder / "data.json"


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """One run, trained in a process of its own."""
    folder = tmp_path_factory.mktemp("run")
    train(data, folder, environment=COLD)
    return folder


@pytest.fixture
def preloaded(served):
    """The preloaded process. It dismisses the children of a test when the next one asks for work:
    pytest gives each another environment.
    """
    if served is None:
        pytest.skip("this system has no preloaded process")
    return served


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def training(command):
    """Start a job, and return it once it has printed that it trains.

    Before, a child of the preloaded process may be one that TensorFlow needs for its import.
    """
    job = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert job.stdout.readline()
    return job


def children(pid):
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def only_child(process):
    """Return the child of a process that has one, once those of earlier tests have ended."""
    wait_until(lambda: len(children(process.pid)) == 1)
    return children(process.pid)[0]


def test_history_has_every_column_and_epoch(run):
    rows = history(run)
    assert list(rows[0]) == HISTORY_COLUMNS
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert {(row["l2"], row["seed"]) for row in rows} == {("0.001", "0")}
    running = [(row["train_loss_running"], row["train_accuracy_running"]) for row in rows]
    assert running[0] == ("", "")
    assert all(loss and accuracy for loss, accuracy in running[1:])
    assert all(value for row in rows[1:] for value in row.values())
    assert float(rows[-1]["train_accuracy"]) > float(rows[0]["train_accuracy"])


def test_chosen_epochs_equal_those_of_a_full_history(run, data, tmp_path):
    training = CONFIG["training"] | {"evaluate_at": [2]}
    printed = train(data, tmp_path, config=CONFIG | {"training": training})
    lines = without_seconds(run).splitlines()
    assert without_seconds(tmp_path).splitlines() == [lines[0], lines[1], lines[3], lines[4]]
    assert (tmp_path / "weights.npz").read_bytes() == (run / "weights.npz").read_bytes()
    said = [line for line in printed.splitlines() if line.startswith("epoch ")]
    assert ["val_ce" in line for line in said] == [True, False, True, True]
    cost = json.loads((tmp_path / "run.json").read_text())["cost"]
    passed = sum(float(row["seconds"]) for row in history(tmp_path))
    assert passed == pytest.approx(cost["seconds_train"] + cost["seconds_evaluate"], abs=0.0011)


def test_record_says_what_ran(run, data):
    record = json.loads((run / "run.json").read_text())
    assert (record["l2"], record["seed"], record["status"]) == ("0.001", 0, "completed")
    assert record["config"]["training"]["batch_size"] == 32
    assert record["data_sha256"] == json.loads(data.read_text())["sha256"]
    assert record["regularised_kernels"] == [[25, 8]]
    phases = [record["cost"][f"seconds_{phase}"] for phase in ("startup", "train", "evaluate")]
    assert all(seconds > 0 for seconds in phases)
    # each is rounded to a thousandth
    assert sum(phases) <= record["cost"]["seconds_total"] + 0.003
    with np.load(run / "weights.npz") as weights:
        kernel = next(weights[name] for name in weights.files if weights[name].shape == (25, 8))
    assert np.linalg.norm(kernel) == pytest.approx(float(history(run)[-1]["weight_norm"]), rel=1e-6)


def test_sources_say_what_a_run_draws_and_its_seed_is_only_its_name(run, data, tmp_path):
    def values(folder):
        return [row | {"seconds": "", "seed": ""} for row in history(folder)]

    assert json.loads((run / "run.json").read_text())["sources"] == {"weights": 0, "order": 0}
    train(data, tmp_path / "named", seed=700, sources="order=0,weights=0")
    assert values(tmp_path / "named") == values(run)
    assert {row["seed"] for row in history(tmp_path / "named")} == {"700"}
    assert (tmp_path / "named/weights.npz").read_bytes() == (run / "weights.npz").read_bytes()
    # what does not vary has the seed 0; another order starts from the same weights
    train(data, tmp_path / "order", seed=7, sources="order=7")
    record = json.loads((tmp_path / "order" / "run.json").read_text())
    assert (record["seed"], record["sources"]) == (7, {"order": 7})
    ours, theirs = values(tmp_path / "order"), values(run)
    assert ours[0] == theirs[0] and ours[1] != theirs[1]


def test_a_run_repeats_byte_for_byte_beside_others(run, data, tmp_path, preloaded):
    """In children of the preloaded process as in one of its own. Two of these: the last test."""
    jobs = [
        subprocess.Popen(train_command(data, tmp_path / f"warm{i}"), stdout=subprocess.DEVNULL)
        for i in range(3)
    ]
    wait_until(lambda: len(children(preloaded.pid)) > 0)
    assert [job.wait(timeout=300) for job in jobs] == [0, 0, 0]
    for name in ("warm0", "warm1", "warm2"):
        assert without_seconds(tmp_path / name) == without_seconds(run)


def test_runs_one_after_the_other_share_a_child_and_leave_no_trace_in_each_other(
    run, data, tmp_path, preloaded
):
    """Another lambda and seed between two equal runs."""
    train(data, tmp_path / "first")
    child = only_child(preloaded)
    train(data, tmp_path / "other", l2="0.1", seed=1)
    printed = train(data, tmp_path / "again")
    assert children(preloaded.pid) == [child]
    assert printed.startswith("epoch 0/3: ")
    assert without_seconds(tmp_path / "other") != without_seconds(run)
    for name in ("first", "again"):
        assert without_seconds(tmp_path / name) == without_seconds(run)
        assert (tmp_path / name / "weights.npz").read_bytes() == (run / "weights.npz").read_bytes()
    # another model has a child of its own
    train(data, tmp_path / "wider", config=CONFIG | {"model": {"hidden_units": [9]}})
    wait_until(lambda: not alive(child))


@pytest.fixture
def impatient(preloaded, monkeypatch):
    """A preloaded process that waits for a second, not for many, before it lets a child go."""

    def start(command, **options):
        assert command[1:4] == ["-P", "-m", "l2study.training.preload"]
        program = (
            "import socket, sys; from l2study.training import preload; preload._IDLE_SECONDS = 1;"
            " preload.serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))"
        )
        return subprocess.Popen([command[0], "-P", "-c", program, *command[4:]], **options)

    these = SimpleNamespace(**vars(subprocess) | {"Popen": start})
    monkeypatch.setattr(preload, "subprocess", these)
    with started() as process:
        yield process


def test_a_child_with_nothing_to_do_ends(data, tmp_path, impatient):
    assert 5 < preload._IDLE_SECONDS < 60
    with training(train_command(data, tmp_path)) as job:
        child = only_child(impatient)
        job.communicate()
    assert job.returncode == 0
    wait_until(lambda: not alive(child))
    assert alive(impatient.pid)


def test_divergence_is_seen_in_an_epoch_that_is_not_evaluated(data, tmp_path):
    training = {"optimizer": "sgd", "learning_rate": 10, "batch_size": 32, "epochs": 30}
    training |= {"evaluate_at": [1]}
    train(data, tmp_path, l2="1e6", config={"training": training})
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "diverged"
    end = record["diverged_epoch"]
    assert end < 30
    assert [row["epoch"] for row in history(tmp_path)] == ["0", "1"][:end]


def test_bad_input_is_one_line(data, tmp_path):
    """In the preloaded process as on its own: output, error and exit status are the job's."""
    for environment in ({}, COLD):
        done = subprocess.run(
            train_command(data, tmp_path / "none", l2="-1"),
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.splitlines() == ["train.py: '-1' is negative"]
        assert not (tmp_path / "none").exists()


LONG = CONFIG | {"training": {"epochs": 100000}}


def test_a_job_that_is_killed_takes_its_child_with_it_and_a_child_fails_its_job_only(
    data, tmp_path, preloaded
):
    long = train_command(data, tmp_path, config=LONG)
    with training(long) as job:
        only_child(preloaded)
        job.kill()
        wait_until(lambda: not children(preloaded.pid))
    assert alive(preloaded.pid)

    with training(long) as job:
        os.kill(only_child(preloaded), signal.SIGKILL)
        job.wait(timeout=300)
    assert job.returncode == 128 + signal.SIGKILL
    train(data, tmp_path / "next")
    assert history(tmp_path / "next")


def test_the_first_job_starts_the_process_that_was_announced(run, data, tmp_path, monkeypatch):
    """As in a job of a cluster, where reading the Snakefile only announces it."""
    owner = subprocess.Popen(["sleep", "600"])
    monkeypatch.setenv(preload.ADDRESS, f"l2study-{owner.pid}-{tmp_path.name}")
    for name in ("first", "second"):
        train(data, tmp_path / name)
        assert without_seconds(tmp_path / name) == without_seconds(run)
    with socket.socket(socket.AF_UNIX) as connection:
        preload._connect(connection, os.environ[preload.ADDRESS])
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    owner.kill()
    owner.wait()
    server = struct.unpack("3i", credentials)[0]
    wait_until(lambda: not alive(server))


def test_nothing_is_left_when_the_workflow_is_killed(data, tmp_path):
    workflow = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from l2study.training import preload\n"
            "print(preload.start().pid, flush=True)\n"
            "import subprocess; subprocess.Popen(sys.argv[1:], stdout=open('epochs', 'w'))\n"
            "time.sleep(600)",
            *train_command(data, tmp_path, config=LONG),
        ],
        cwd=tmp_path,
        env=os.environ | {preload.ADDRESS: "", "PYTHONPATH": str(PROJECT / "scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    server = int(workflow.stdout.readline())
    epochs = tmp_path / "epochs"
    # A job that was not accepted yet would do its work itself.
    wait_until(lambda: epochs.exists() and epochs.read_text())
    (child,) = children(server)
    (job,) = [pid for pid in children(workflow.pid) if pid != server]
    workflow.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in (server, child, job)))
    workflow.wait()
    assert "was killed" in workflow.stderr.read()


def test_another_interpreter_is_not_served(monkeypatch):
    monkeypatch.setattr(preload.sys, "executable", "/another/python")
    assert preload.request("train", ["--help"], kind=[]) is None


def test_where_the_announcing_process_has_ended_a_job_does_its_work_itself(monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setenv(preload.ADDRESS, f"l2study-{ended.pid}-0")
    assert preload.request("train", ["--help"], kind=[]) is None


# ---- runs that differ in their epochs alone


def of_epochs(epochs):
    """Return a configuration of which other epochs are evaluated than of a longer one."""
    kept = {"evaluate_at": {"points": 3}, "predict_at": [2]}
    training = CONFIG["training"] | {"epochs": epochs} | kept
    return CONFIG | {"training": training}


def command(data, folder, epochs, *more):
    return [*train_command(data, folder, config=of_epochs(epochs)), *more]


def succeed(command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shared(data, tmp_path_factory):
    """A run of 9 epochs that has left one of 5, and both trained by themselves."""
    folder = tmp_path_factory.mktemp("shared")
    succeed(command(data, folder / "9", 9, "--leave", "5"))
    for epochs in (5, 9):
        train(data, folder / f"plain-{epochs}", config=of_epochs(epochs))
    return folder


def test_what_a_longer_run_leaves_is_the_shorter_run(shared):
    """Though other epochs of it are evaluated; and leaving it does not change the longer one."""
    for left, plain in (("9/first-5", "plain-5"), ("9", "plain-9")):
        assert without_seconds(shared / left) == without_seconds(shared / plain)
        for file in ("weights.npz", "predictions.npz"):
            one, other = ((shared / name / file).read_bytes() for name in (left, plain))
            assert one == other
        records = [json.loads((shared / name / "run.json").read_text()) for name in (left, plain)]
        for key in ("config", "data_sha256", "weights_sha256", "code", "status", "sources"):
            assert records[0][key] == records[1][key], key
    epochs = [[int(row["epoch"]) for row in history(shared / name)] for name in ("9/first-5", "9")]
    assert epochs == [[0, 1, 2, 5], [0, 1, 3, 9]]


def test_what_another_run_has_left_is_not_taken(data, shared, tmp_path):
    """What it left of this run is, as workflow/test_factors.py sees, too."""
    shutil.copytree(shared / "9", tmp_path / "9")
    path = tmp_path / "9" / "first-5" / "run.json"
    own = json.loads(path.read_text())
    asked = command(data, tmp_path / "5", 5, "--take-from", str(tmp_path / "9"))
    asked = train_program.parse_arguments(asked[2:])
    for key in ("code", "data_sha256", "sources"):
        path.write_text(json.dumps(own | {key: "another"}))
        assert not train_program.take(asked), key
        assert not (tmp_path / "5").exists()
    path.write_text(json.dumps(own))
    assert train_program.take(asked)
    assert without_seconds(tmp_path / "5") == without_seconds(shared / "plain-5")


HOSTILE = {
    "KERAS_BACKEND": "jax",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true --xla_cpu_fast_math_honor_nans=false",
    "OPENBLAS_NUM_THREADS": "4",
    "OPENBLAS_CORETYPE": "Prescott",
    "OMP_NUM_THREADS": "7",
    "TF_USE_LEGACY_KERAS": "1",
    "LC_ALL": "tr_TR.UTF-8",
}


def test_numbers_are_the_same_whatever_the_environment_says(run, data, tmp_path):
    settings = {"floatx": "float64", "epsilon": 0.01, "image_data_format": "channels_first"}
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(settings))
    if shutil.which("localedef"):  # Debian's image has no Turkish, where "I" is no capital "i"
        language = ["localedef", "-i", "tr_TR", "-f", "UTF-8", tmp_path / "tr_TR.UTF-8"]
        subprocess.run(language, capture_output=True)
    environment = COLD | HOSTILE | {"KERAS_HOME": str(tmp_path / "keras"), "LOCPATH": str(tmp_path)}
    train(data, tmp_path / "run", environment=environment)
    assert without_seconds(tmp_path / "run") == without_seconds(run)
    for file in ("weights.npz", "predictions.npz"):
        assert (tmp_path / "run" / file).read_bytes() == (run / file).read_bytes()
