"""48 runs on a Slurm cluster of two nodes on this machine, against the same runs locally.

- local: Snakemake on two cores;
- plain: with profiles/slurm, a job for each run;
- grouped: with profiles/slurm, eight runs in a job.

A node has one processor, so all three train two runs at a time. Tables are made, no report. It
takes root and what `make test-deps` installs. From the figures, and those of scale.py where they
are kept, it reckons what a very large study would take.

    python benchmarks/cluster.py [--runs 48] [--turns 1] [--only local plain grouped]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import PROJECT, copy_project, report

from slurm_cluster import Slurm

CORES, EPOCHS, SEEDS, GROUP = 2, 8, 8, 8
SLURM = ["--workflow-profile", "profiles/slurm"]
WAYS = {
    "local": ["--cores", str(CORES)],
    "plain": [*SLURM, "--group-components", "runs=1"],
    "grouped": [*SLURM, "--group-components", f"runs={GROUP}"],
}
BIG = {"runs": 100_000, "nodes": 200, "processors_per_node": 16, "runs_per_job": 10}


def study(folder: Path, way: str, runs: int, slurm: Slurm) -> dict[str, float]:
    """Return what `runs` runs cost, in a fresh copy of the project in `folder`.

    Returns:
        seconds: wall time to the tables.
        training_phase: wall seconds from the start to the last run.
        seconds_in_runs: what the runs themselves took, together.
        jobs: how many Slurm saw.
        seconds_in_jobs: what the jobs took, together.
    """
    config = {
        "study": "bench",
        "lambdas": [10.0**-power for power in range(2, 2 + runs // SEEDS)],
        "seeds": SEEDS,
        "reference_lambda": 0.01,
        "training": {"epochs": EPOCHS},
    }
    copy_project(folder, "bench", config)
    command = [str(Path(sys.executable).with_name("snakemake")), "aggregate", *WAYS[way]]
    started = time.time()
    with open(folder / "printed", "w") as printed:
        done = subprocess.run(
            [*command, "--configfile", "bench.yaml"], cwd=folder, stdout=printed, stderr=printed
        )
    seconds = time.time() - started
    if done.returncode != 0:
        sys.exit((folder / "printed").read_text())
    records = list((folder / "results" / "bench").rglob("run.json"))
    assert len(records) == runs
    rows = slurm.accounted("ElapsedRaw", "WorkDir")
    elapsed = [int(value) for value, place in rows if place == str(folder)]
    costs = [json.loads(path.read_text())["cost"]["seconds_total"] for path in records]
    return {
        "seconds": seconds,
        "training_phase": max(path.stat().st_mtime for path in records) - started,
        "seconds_in_runs": sum(costs),
        "jobs": len(elapsed),
        "seconds_in_jobs": sum(elapsed),
    }


def slurm_answers(times: int = 20) -> dict[str, float]:
    """Return the median seconds of one submission and of one query for all jobs."""

    def seconds(*command: str) -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd="/tmp")
        return time.perf_counter() - started

    submit = ["sbatch", "--output=/dev/null", "--wrap=true"]
    query = [
        "sacct",
        "--allocations",
        "--noheader",
        "--starttime=now-2days",
        "--format=JobIDRaw,State",
    ]
    submitted = median(seconds(*submit) for _ in range(times))
    return {"sbatch": submitted, "sacct": median(seconds(*query) for _ in range(times))}


def on_paper(
    medians: dict[str, dict], answers: dict[str, float], runs: int, scale: list[dict], big: dict
) -> dict[str, float]:
    """Return what the study `big` would take by stages, in hours unless the name says otherwise.

    What a job takes beyond its runs is taken as a + b * (runs in the job), from the jobs of one run
    and those of GROUP. Planning and aggregation are taken as proportional to the runs, from the
    largest study in `scale`, the rows of scale.py; they are left out where there is none.
    """
    plain, grouped = (
        (medians[way]["seconds_in_jobs"] - medians[way]["seconds_in_runs"]) / medians[way]["jobs"]
        for way in ("plain", "grouped")
    )
    in_group = runs / medians["grouped"]["jobs"]
    per_run = max((grouped - plain) / (in_group - 1), 0)
    per_job = max(plain - per_run, 0)
    a_run = medians["grouped"]["seconds_in_runs"] / runs
    jobs = big["runs"] / big["runs_per_job"]
    processors = big["nodes"] * big["processors_per_node"]
    waves = -(-jobs // processors)
    one_job = per_job + big["runs_per_job"] * (a_run + per_run)
    stages = {
        # two at a time, and no more than the profile allows
        "submission": jobs * max(answers["sbatch"] / 2, 0.1) / 3600,
        "training": waves * one_job / 3600,
    }
    if scale:
        largest = max(scale, key=lambda row: row["runs"])
        for name in ("plan", "aggregate"):
            factor = big["runs"] / largest["runs"]
            stages[name] = largest[name]["processor_seconds"] * factor / 3600
    return {
        **{name: round(value, 2) for name, value in stages.items()},
        "first_bottleneck": max(stages, key=stages.get),
        "seconds_beyond_a_run_for_a_job": round(per_job, 2),
        "seconds_beyond_a_run_for_each_run": round(per_run, 2),
        "seconds_of_a_run": round(a_run, 2),
        "jobs": round(jobs),
        "jobs_that_end_per_second": round(min(jobs, processors) / one_job, 2),
        # history.csv, run.json, weights.npz, a log, and a record of Snakemake's for each output
        "files": big["runs"] * 7,
        "files_per_second": round(processors * 7 / (one_job / big["runs_per_job"]), 1),
        "share_of_time_in_status_queries": round(answers["sacct"] * 0.5, 4),
    }


def kept_scale() -> list[dict]:
    """Return the rows that scale.py has kept, if it has."""
    path = PROJECT / "benchmarks" / "results" / "scale.json"
    return json.loads(path.read_text())["studies"] if path.exists() else []


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=48, help=f"a multiple of {SEEDS} (48)")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    if options.runs < SEEDS or options.runs % SEEDS:
        parser.error(f"--runs {options.runs}: a multiple of {SEEDS} is needed")
    slurm = Slurm(cpus=1)
    slurm.start()
    try:
        measured = {way: [] for way in options.only}
        for _ in range(options.turns):
            for way in options.only:
                with tempfile.TemporaryDirectory() as folder:
                    measured[way].append(study(Path(folder), way, options.runs, slurm))
                print(way, json.dumps(measured[way][-1]), file=sys.stderr, flush=True)
        answers = slurm_answers()
    finally:
        slurm.stop()
    medians = {
        way: {key: round(median(turn[key] for turn in turns), 3) for key in turns[0]}
        for way, turns in measured.items()
    }
    figures = {
        "runs": options.runs,
        "epochs": EPOCHS,
        "cores": CORES,
        "turns": options.turns,
        "median": medians,
        "every_turn": measured,
        "seconds_of_an_answer": {name: round(value, 4) for name, value in answers.items()},
    }
    if "local" in medians:
        figures["seconds_per_run_more_than_local"] = {
            way: round((values["seconds"] - medians["local"]["seconds"]) * CORES / options.runs, 2)
            for way, values in medians.items()
            if way != "local"
        }
    if {"plain", "grouped"} <= medians.keys():
        figures["on_paper"] = BIG | on_paper(medians, answers, options.runs, kept_scale(), BIG)
    report("cluster", figures)


if __name__ == "__main__":
    main()
