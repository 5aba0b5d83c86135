"""What is left when something goes wrong: every fault is a real one, met by real Snakemake.

At which moment a fault is met is said in the test: `Project.inject`.
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

NINE = {(l2, seed) for l2 in ("0", "0.001", "0.03") for seed in range(3)}


@pytest.fixture
def project(tmp_path):
    """The tiny study before its first run. Nothing of it may be left running."""
    project = Project(tmp_path / "project")
    yield project
    project.kill()


def trained(project):
    """Return every run that has all its files, after checking that each file is whole."""
    found = set()
    for l2, seed in NINE:
        place = project.run_folder(l2, seed)
        if (place / "history.csv").exists():
            with open(place / "history.csv", newline="") as file:
                assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
        if (place / "run.json").exists():
            json.loads((place / "run.json").read_text())
            found.add((l2, seed))
    return found


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
KILLS = [
    ("everything", ["rename .*/data.json"]),  # the arrays are written, what is said of them is not
    ("Ctrl-C twice", ["print epoch 2/3"] * 2),  # that one stops a study, test_screen.py says
    ("everything", TRAINING),
    ("Snakemake alone", TRAINING),
    ("Snakemake alone", ["rename .*/tables/gap.csv"]),  # some tables are written
    ("everything", ["rename .*/figures/gap.svg"]),  # in a process that draws
]


def test_killed_at_many_moments_and_restarted_without_flags(project, finished):
    """The tables are as if it had been left in peace.

    Where Snakemake alone is killed, runs end with it and all other jobs come to their end.
    """
    project.trains_itself = True  # the process of all tests waits a while for more work
    project.shorten_report()
    for victim, moments in KILLS:
        project.inject(*({"at": moment, "do": "wait", "once": True} for moment in moments))
        snakemake = project.start(
            "--cores", str(max(2, len(moments))),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: project.met_all_faults() or snakemake.poll() is not None)  # noqa: B023
        assert project.met_all_faults(), f"Snakemake ended before {moments}"
        if victim == "everything":
            project.kill()
        elif victim == "Ctrl-C twice":
            os.killpg(snakemake.pid, signal.SIGINT)
            os.killpg(snakemake.pid, signal.SIGINT)
            assert snakemake.wait(timeout=300) != 0
            wait_until(lambda: not project.processes())
            assert not [path for path in (project.results / "runs").rglob("*") if path.is_file()]
        snakemake.kill()
        snakemake.wait()
        # what Snakemake leaves alone comes to its end
        project.remove_faults()
        wait_until(lambda: not project.processes())
        trained(project)
    project.make()
    assert project.tables() == finished.tables()
    assert (project.results / "report" / "report.html").exists()
    assert not unfinished(project)
    assert not project.processes()


# ---- failed


def at_the_end_of(l2, seed, do, once=False):
    """A strike at a run that has nothing but its first file still to be named."""
    return {"at": f"rename .*/l2~{l2}/seed~{seed}/weights.npz", "do": do, "once": once}


def test_jobs_that_fail(project, finished):
    project.shorten_report()
    project.inject(
        at_the_end_of("0", 1, "fail"),
        at_the_end_of("0.001", 1, "abort"),
        at_the_end_of("0.03", 0, "fail", once=True),
        at_the_end_of("0.03", 1, "kill", once=True),
    )
    lost = {("0", 1), ("0.001", 1)}

    # the others finish, and the end of what is printed says what failed, why, and where to look
    said = project.fail()
    assert trained(project) == NINE - lost
    assert not (project.results / "tables").exists()
    assert not (project.results / "report").exists()
    end = said[said.index("2 failed; what is complete is kept") :].splitlines()
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
    kept = project.times()
    project.remove_faults()
    project.make("--config", "allow_missing=true")
    assert project.times() == kept
    rows = project.table("gap")
    assert {row["n"] for row in rows if row["l2"] == "0"} == {"2"}
    assert {row["n"] for row in rows if row["l2"] == "0.03"} == {"3"}
    summary = (project.results / "report" / "summary.md").read_text()[:1500]
    page = (project.results / "report" / "report.html").read_text().partition("<h1")[2][:3000]
    for text in (summary, page):
        assert "7 of the 9 runs" in text
        assert "lambda 0 seed 1; lambda 0.001 seed 1" in text

    # now that the cause is gone, the same command trains those two and nothing else
    project.make("aggregate")
    assert kept.items() <= project.times().items()
    assert trained(project) == NINE
    assert project.tables() == finished.tables()


def test_a_run_that_diverges_is_counted(project):
    """That a report shows it, tests/unit/test_summary.py and test_figures.py say."""
    training = {"optimizer": "sgd", "learning_rate": 10, "batch_size": 32, "epochs": 3}
    project.configure(lambdas=[0, "1e6"], seeds=2, training=training)
    project.make("aggregate")

    def lost(table):
        return [row for row in project.table(table) if row["l2"] == "1000000"]

    assert len(project.table("runs")) == 4
    assert [(row["status"], row["test_accuracy"]) for row in lost("runs")] == [("diverged", "")] * 2
    for table in ("gap", "contrasts"):
        assert {(row["n"], row["diverged_seeds"]) for row in lost(table)} == {("0", "0 1")}
    assert {row["mean"] for row in lost("gap")} == {""}


def test_a_disk_that_fills_up(project, finished):
    """Of three runs of about 16 kB, one fits."""
    project.configure(lambdas=[0])
    runs = project.results / "runs"
    runs.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(runs)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here (that takes root)")
    try:
        said = project.fail()
        fitted = trained(project)
        assert len(fitted) < 3
        assert not unfinished(project)
        assert not (project.results / "tables").exists()
        end = said[said.index(" failed; what is complete") :]
        named = re.findall(r"train l2=0 seed=(\d): train\.py: .*No space left on device", end)
        assert {("0", int(seed)) for seed in named} == {("0", 0), ("0", 1), ("0", 2)} - fitted

        subprocess.run(["mount", "-o", "remount,size=20m", str(runs)], check=True)
        kept = project.times()
        project.make("aggregate")
        assert kept.items() <= project.times().items()
        expected = [row for row in finished.table("histories") if row["l2"] == "0"]
        assert project.table("histories") == expected
    finally:
        subprocess.run(["umount", "--lazy", str(runs)], check=True)


# ---- damaged

DAMAGE = {
    ("0", 0): ("history.csv", lambda text: text[: len(text) // 2]),
    ("0.001", 1): ("run.json", lambda text: text[:100]),
    ("0.03", 2): ("run.json", lambda text: json.dumps(json.loads(text) | {"data_sha256": "1"})),
}


def test_damaged_runs_are_named_with_the_way_to_redo_them(finished, tmp_path):
    """A file for each way in which it is noticed; tests/unit has every kind of damage."""
    project = finished.copy(tmp_path / "copy")
    for run, (name, change) in DAMAGE.items():
        path = project.run_folder(*run) / name
        path.write_text(change(path.read_text()))
    assert "Traceback" not in project.fail("aggregate")
    assert not list(project.results.glob("tables/*"))
    log = (project.folder / "logs" / "tiny" / "aggregate.log").read_text().splitlines()
    advice = [re.search(r"^(\S+): .*delete the folder (\S+) and ", line) for line in log]
    assert [project.folder / match[1] for match in advice] == [
        project.run_folder(*run) / name for run, (name, _) in DAMAGE.items()
    ]
    for match in advice:
        shutil.rmtree(project.folder / match[2])
    kept = project.times()
    assert len(kept) == len(NINE) - len(DAMAGE)
    project.make("aggregate")
    assert kept.items() <= project.times().items()
    assert project.tables() == finished.tables()


# ---- refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study: $(touch pwned)", "study"),
        ("dataset: {path: absent.npz}", "absent.npz"),
        ("claims: exercises", "did you mean exercise?"),
        ("seeds: 2\nseeds: 2", '"seeds" is given twice'),
    ],
    ids=["configuration", "data", "claims", "twice"],
)
def test_bad_input_is_one_line_and_starts_nothing(project, text, words):
    """A case for each of the checks."""
    (project.folder / "tiny.yaml").write_text(text)
    before = set(project.folder.rglob("*"))
    *notices, line = project.fail().splitlines()
    assert line.startswith("config: ") and words in line
    assert all(re.match("Using workflow specific|Config file", notice) for notice in notices)
    new = set(project.folder.rglob("*")) - before
    assert not [path for path in new if not {".snakemake", "__pycache__"} & set(path.parts)]
