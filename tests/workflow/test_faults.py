"""What is left when something goes wrong: every fault is a real one, met by real Snakemake."""

import contextlib
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from project import STUDY, Project
from tiny import write_npz

NINE = {(l2, seed) for l2 in ("0", "0.001", "0.03") for seed in range(3)}


@pytest.fixture
def project(tmp_path):
    """The tiny study before its first run. Nothing of it may be left running."""
    project = Project(tmp_path / "project")
    write_npz(project.folder / "tiny.npz")
    project.configure()
    yield project
    for process in project.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def folder(project, l2, seed):
    return project.results / "runs" / f"l2~{l2}" / f"seed~{seed}"


def trained(project):
    """Return every run that has all its files, after checking that each file is whole."""
    found = set()
    for l2, seed in NINE:
        place = folder(project, l2, seed)
        if (place / "history.csv").exists():
            with open(place / "history.csv", newline="") as file:
                assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
        if (place / "run.json").exists():
            json.loads((place / "run.json").read_text())
            found.add((l2, seed))
    return found


def times(project):
    return {p: p.stat().st_mtime_ns for p in (project.results / "runs").rglob("*.csv")}


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def unfinished(project):
    """Return what a killed job has left beside its files."""
    return list(project.results.rglob(".*"))


# ---- killed


def test_killed_twenty_times_and_restarted_without_flags(project, finished):
    """At random moments: Snakemake alone or with all its jobs. The tables are as if undisturbed.

    Some of the moments follow a random time after the next thing is complete, however long that
    takes on this machine, so that all stages are met.
    """

    def complete():
        return len([*project.results.rglob("run.json"), *project.results.glob("[t.]*")])

    chance = random.Random(5)
    for turn in range(20):
        there = complete()
        snakemake = project.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if turn % 5 in (1, 3):
            wait_until(lambda: complete() > there or snakemake.poll() is not None)  # noqa: B023
            time.sleep(chance.uniform(0, 1))
        else:
            time.sleep(chance.uniform(0.3, 5))
        for victim in project.processes() if chance.random() < 0.5 else [snakemake.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        snakemake.wait()
        trained(project)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.tables() == finished.tables()
    assert (project.results / "report" / "report.html").exists()
    assert not unfinished(project)
    assert not project.processes()


def test_a_living_study_is_left_alone_and_ctrl_c_stops_it(project):
    project.configure(training=STUDY["training"] | {"epochs": 200000})
    living = project.start(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    logs = project.folder / "logs" / "tiny" / "train"
    wait_until(lambda: len([p for p in logs.rglob("*.log") if "epoch 2/" in p.read_text()]) == 2)

    for arguments in ([], ["--unlock"], []):
        other = project.snakemake(*arguments)
        printed = other.stdout + other.stderr
        (line,) = set(re.findall(".*at work on this study.*", printed))
        assert f"process {living.pid} " in line
        assert "left alone" in line
        assert "Traceback" not in printed
        assert "can be removed" not in printed
        assert (other.returncode == 0) == bool(arguments)
    assert living.poll() is None
    assert not trained(project)

    started = time.monotonic()
    os.killpg(living.pid, signal.SIGINT)
    printed, _ = living.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert living.returncode != 0
    assert "The same command goes on from here" in printed
    assert "At least one job" not in printed
    wait_until(lambda: not project.processes(), seconds=5)
    assert not unfinished(project)
    assert not trained(project)
    assert not list((project.results / "runs").rglob("*.*"))

    project.configure(lambdas=[0], seeds=2)
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stdout + done.stderr


# ---- failed

SABOTAGE = """
import ctypes, os, signal
from pathlib import Path

def strike(l2, seed):
    if (l2, seed) == ("0", 1) and Path("always").exists():
        raise RuntimeError("out of luck")
    if (l2, seed) == ("0.001", 1) and Path("always").exists():
        ctypes.CDLL(None).perror(b"a reason from C")
        os.abort()
    once = Path(f"once-{l2}-{seed}")
    if (l2, seed) in {("0.03", 0), ("0.03", 1)} and not once.exists():
        once.touch()
        if seed == 0:
            raise OSError("bad luck once")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_jobs_that_fail(project, finished):
    script = project.folder / "scripts" / "train.py"
    before, mark, after = script.read_text().partition("    started")
    assert mark
    script.write_text(f"{before}    import sabotage; sabotage.strike(l2, seed)\n{mark}{after}")
    (project.folder / "scripts" / "sabotage.py").write_text(SABOTAGE)
    (project.folder / "always").touch()
    lost = {("0", 1), ("0.001", 1)}

    # the others finish, and the end of what is printed says what failed, why, and where to look
    failed = project.snakemake()
    assert failed.returncode != 0
    assert trained(project) == NINE - lost
    assert not (project.results / "tables").exists()
    assert not (project.results / "report").exists()
    end = failed.stderr[failed.stderr.index("2 failed; what is complete is kept") :].splitlines()
    for run, reason in {
        "l2=0 seed=1": "RuntimeError: out of luck",
        "l2=0.001 seed=1": "a reason from C",
    }.items():
        (place,) = [i for i, line in enumerate(end) if f"train {run}: " in line]
        assert reason in end[place]
        log = project.folder / end[place + 1].removeprefix("    log: ")
        assert reason in log.read_text().splitlines()[-1]
    assert not any("l2=0.03" in line for line in end)

    # a report of less than was promised is made on demand only, and says so at once
    kept = times(project)
    partial = project.snakemake("--config", "allow_missing=true")
    assert partial.returncode == 0, partial.stdout + partial.stderr
    assert times(project) == kept
    rows = project.tables()["gap.csv"]
    assert {row["n"] for row in rows if row["l2"] == "0"} == {"2"}
    assert {row["n"] for row in rows if row["l2"] == "0.03"} == {"3"}
    words = "Only 7 of the 9 runs of this study are there"
    names = "missing: lambda 0 seed 1; lambda 0.001 seed 1"
    for name, first_screen in {"summary.md": 1500, "report.html": None}.items():
        text = (project.results / "report" / name).read_text()
        if first_screen is None:
            text = text[text.index("<h1") :]
            first_screen = 2500
        assert words in text[:first_screen], name
        assert names in text[:first_screen], name

    # once the cause is gone, the same command trains those two and nothing else
    (project.folder / "always").unlink()
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: when for path, when in times(project).items() if path in kept} == kept
    assert trained(project) == NINE
    assert project.tables() == finished.tables()


def test_a_run_that_diverges_is_counted_and_shown(project):
    training = {"optimizer": "sgd", "learning_rate": 10, "batch_size": 32, "epochs": 3}
    project.configure(lambdas=[0, "1e6"], seeds=2, training=training)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    tables = project.tables()
    assert len(tables["runs.csv"]) == 4
    lost = [row for row in tables["runs.csv"] if row["l2"] == "1000000"]
    assert [row["status"] for row in lost] == ["diverged"] * 2
    assert {row["test_accuracy"] for row in lost} == {""}
    rows = [row for row in tables["gap.csv"] if row["l2"] == "1000000"]
    assert {(row["n"], row["mean"], row["diverged_seeds"]) for row in rows} == {("0", "", "0 1")}
    contrasts = [row for row in tables["contrasts.csv"] if row["l2"] == "1000000"]
    assert {(row["n"], row["diverged_seeds"]) for row in contrasts} == {("0", "0 1")}
    for name in ("summary.md", "report.html"):
        text = (project.results / "report" / name).read_text()
        assert "2 diverged and left out of every mean (lambda 1000000 seeds 0, 1)" in text


def test_a_disk_that_fills_up(project, finished):
    """Of three runs of about 16 kB, one fits."""
    project.configure(lambdas=[0])
    runs = project.results / "runs"
    runs.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(runs)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here (that takes root)")
    try:
        failed = project.snakemake()
        assert failed.returncode != 0
        fitted = trained(project)
        assert len(fitted) < 3
        assert not unfinished(project)
        assert not (project.results / "tables").exists()
        end = failed.stderr[failed.stderr.index(" failed; what is complete") :]
        said = re.findall(r"train l2=0 seed=(\d): train\.py: .*No space left on device", end)
        assert {("0", int(seed)) for seed in said} == {("0", 0), ("0", 1), ("0", 2)} - fitted

        subprocess.run(["mount", "-o", "remount,size=20m", str(runs)], check=True)
        kept = times(project)
        done = project.snakemake("aggregate")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {path: when for path, when in times(project).items() if path in kept} == kept
        expected = [row for row in finished.tables()["histories.csv"] if row["l2"] == "0"]
        assert project.tables()["histories.csv"] == expected
    finally:
        subprocess.run(["umount", "--lazy", str(runs)], check=True)


# ---- damaged


def edit(path, change):
    path.write_text(change(path.read_text()))


def other(record, **changes):
    return json.dumps(json.loads(record) | changes)


DAMAGE = {
    ("0", 0): ("history.csv", lambda text: text[: len(text) // 2]),
    ("0", 1): ("history.csv", lambda text: ""),
    ("0", 2): ("history.csv", lambda text: text + text.splitlines(keepends=True)[-1]),
    ("0.001", 0): ("history.csv", lambda text: text.replace("val_ce", "val_error")),
    ("0.001", 1): ("run.json", lambda text: text[:100]),
    ("0.001", 2): ("run.json", lambda text: other(text, data_sha256="1" * 64)),
    ("0.03", 0): ("run.json", lambda text: other(text, config={"model": {}, "training": {}})),
}


def test_damaged_runs_are_named_with_the_way_to_redo_them(project, finished):
    shutil.copytree(finished.folder, project.folder, symlinks=True, dirs_exist_ok=True)
    for run, (name, change) in DAMAGE.items():
        edit(folder(project, *run) / name, change)
    failed = project.snakemake("aggregate")
    assert failed.returncode != 0
    assert not list(project.results.glob("tables/*"))
    assert "Traceback" not in failed.stdout + failed.stderr
    log = (project.folder / "logs" / "tiny" / "aggregate.log").read_text().splitlines()
    advice = [re.search(r"^(\S+): .*delete the folder (\S+) and give", line) for line in log]
    assert [match[1] for match in advice] == [
        str((folder(project, *run) / name).relative_to(project.folder))
        for run, (name, _) in sorted(DAMAGE.items())
    ]
    assert "its data_sha256 differs" in log[5]
    assert "its config differs" in log[6]
    for match in advice:
        shutil.rmtree(project.folder / match[2])
    kept = times(project)
    assert len(kept) == len(NINE) - len(DAMAGE)
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: when for path, when in times(project).items() if path in kept} == kept
    assert project.tables() == finished.tables()


# ---- refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study": "x; touch pwned"}, "study"),
        ({"study": "$(touch pwned)"}, "study"),
        ({"study": "../pwned"}, "study"),
        ({"study": "a/pwned"}, "study"),
        ({"lambda": [0]}, "lambda"),
        ({"dataset": {"path": "absent.npz"}}, "absent.npz"),
        ({"allow_missing": "perhaps"}, "allow_missing"),
    ],
    ids=str,
)
def test_bad_input_starts_nothing(project, changes, words):
    project.configure(**changes)
    before = sorted(project.folder.rglob("*"))
    done = project.snakemake()
    assert done.returncode != 0
    *notices, line = (done.stdout + done.stderr).splitlines()
    assert line.startswith("config: ")
    assert words in line
    assert all(re.match("Using workflow specific|Config file", notice) for notice in notices)
    after = [path for path in project.folder.rglob("*") if ".snakemake" not in path.parts]
    assert sorted(path for path in after if "__pycache__" not in path.parts) == before
