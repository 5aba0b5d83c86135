"""What is left when something goes wrong: every fault is a real one, met by real Snakemake.

At which moment a fault strikes is said in the test: `Project.strike`.
"""

import base64
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from project import Project
from tiny import write_npz

NINE = {(l2, seed) for l2 in ("0", "0.001", "0.03") for seed in range(3)}


@pytest.fixture
def project(tmp_path):
    """The tiny study before its first run. Nothing of it may be left running."""
    project = Project(tmp_path / "project")
    write_npz(project.folder / "tiny.npz")
    project.configure()
    yield project
    project.kill()


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


def wait_until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def unfinished(project):
    """Return what a killed job has left beside its files."""
    return list(project.results.rglob(".*"))


# ---- killed

# Snakemake names its note of an output by that output's path, in base64.
NOTE_OF_A_RUN = base64.b64encode(b"results/tiny/ru").decode()
TRAINING = [  # as many runs, each at another moment
    "print epoch 0/3",  # before the first epoch
    "print epoch 1/3",  # within training
    "rename .*/weights.npz",
    "rename .*/history.csv",
    "rename .*/run.json",  # between weights and run.json
    # one more is done, and Snakemake is about to note it
    f"open .*[.]snakemake/metadata/{NOTE_OF_A_RUN}.* w",
]
TABLES = ["rename .*/tables/gap.csv"]  # some tables are written
KILLS = [
    ("everything", ["rename .*/data.json"]),  # the arrays are written, what is said of them is not
    ("everything", TRAINING),
    ("Snakemake alone", TRAINING),
    ("everything", TABLES),
    ("Snakemake alone", TABLES),
    ("everything", ["rename .*/figures/gap.svg"]),  # in a process that draws
    ("everything", ["rename .*/report/report.html"]),
]


def test_killed_at_many_moments_and_restarted_without_flags(project, finished):
    """The tables are as if it had been left in peace.

    Where Snakemake alone is killed, runs end with it and all other jobs come to their end.
    """
    project.warm = False  # a warm process waits a while for more work
    project.shorten_report()
    for victim, moments in KILLS:
        project.strike(*({"at": moment, "do": "wait", "once": True} for moment in moments))
        snakemake = project.start(
            "--cores", str(max(2, len(moments))),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: project.struck() or snakemake.poll() is not None)  # noqa: B023
        assert project.struck(), f"Snakemake ended before {moments}"
        if victim == "everything":
            project.kill()
        snakemake.kill()
        snakemake.wait()
        # what Snakemake leaves alone comes to its end
        project.release()
        wait_until(lambda: not project.processes())
        trained(project)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.tables() == finished.tables()
    assert (project.results / "report" / "report.html").exists()
    assert not unfinished(project)
    assert not project.processes()


def start_and_wait(project):
    """Start the study, and return it once two of its runs are in their second epoch and wait."""
    project.strike({"at": "print epoch 2/3", "do": "wait"})
    living = project.start(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    logs = project.folder / "logs" / "tiny" / "train"
    wait_until(lambda: len([p for p in logs.rglob("*.log") if "epoch 2/" in p.read_text()]) == 2)
    return living


def nothing_is_left(project):
    wait_until(lambda: not project.processes())
    return not [path for path in (project.results / "runs").rglob("*") if path.is_file()]


def test_a_living_study_is_left_alone_and_ctrl_c_stops_it(project):
    living = start_and_wait(project)
    other = project.snakemake()
    printed = other.stdout + other.stderr
    (line,) = set(re.findall(".*at work on this study.*", printed))
    assert f"process {living.pid} " in line
    assert "left alone" in line
    assert "Traceback" not in printed
    assert "can be removed" not in printed
    assert other.returncode != 0
    assert living.poll() is None

    os.killpg(living.pid, signal.SIGINT)
    printed, _ = living.communicate(timeout=300)
    assert living.returncode != 0
    assert "The same command goes on from here" in printed
    assert "At least one job" not in printed
    assert nothing_is_left(project)


def test_ctrl_c_twice_and_the_same_command_goes_on(project):
    living = start_and_wait(project)
    os.killpg(living.pid, signal.SIGINT)
    os.killpg(living.pid, signal.SIGINT)
    living.communicate(timeout=300)
    assert living.returncode != 0
    assert nothing_is_left(project)
    project.release()
    project.configure(lambdas=[0], seeds=2)
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stdout + done.stderr


# ---- failed


def at_the_end_of(l2, seed, do, once=False):
    """A strike at a run that has nothing but its first file still to be named."""
    return {"at": f"rename .*/l2~{l2}/seed~{seed}/weights.npz", "do": do, "once": once}


def test_jobs_that_fail(project, finished):
    project.shorten_report()
    project.strike(
        at_the_end_of("0", 1, "fail"),
        at_the_end_of("0.001", 1, "abort"),
        at_the_end_of("0.03", 0, "fail", once=True),
        at_the_end_of("0.03", 1, "kill", once=True),
    )
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
    project.release()
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
            first_screen = 3000
        assert words in text[:first_screen], name
        assert names in text[:first_screen], name

    # now that the cause is gone, the same command trains those two and nothing else
    done = project.snakemake("aggregate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: when for path, when in times(project).items() if path in kept} == kept
    assert trained(project) == NINE
    assert project.tables() == finished.tables()


def test_a_run_that_diverges_is_counted_and_shown(project):
    project.shorten_report()
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
        ({"study": "$(touch pwned)"}, "study"),
        ({"dataset": {"path": "absent.npz"}}, "absent.npz"),
        ({"claims": "exercises"}, "did you mean exercise?"),
    ],
    ids=str,
)
def test_bad_input_starts_nothing(project, changes, words):
    """A case for each of the checks: of the configuration itself, of the data and of the claims."""
    project.configure(**changes)
    before = list(project.folder.rglob("*"))
    done = project.snakemake()
    assert done.returncode != 0
    *notices, line = (done.stdout + done.stderr).splitlines()
    assert line.startswith("config: ")
    assert words in line
    assert all(re.match("Using workflow specific|Config file", notice) for notice in notices)
    new = set(project.folder.rglob("*")).difference(before)
    assert not [path for path in new if not {".snakemake", "__pycache__"} & set(path.parts)]


def test_a_key_that_a_file_has_twice_is_refused(project):
    project.configure()
    path = project.folder / "tiny.yaml"
    path.write_text(path.read_text() + "seeds: 2\n")
    done = project.snakemake()
    assert done.returncode != 0
    assert (
        (done.stdout + done.stderr).splitlines()[-1].endswith('tiny.yaml: "seeds" is given twice')
    )
    assert not project.results.exists()
