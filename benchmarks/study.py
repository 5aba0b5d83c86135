"""Wall time of one study, 7 lambdas x 6 seeds x 8 epochs on MNIST, four ways, in turns.

- snakemake: the project, in a fresh copy, on all cores, to the finished report; then once more,
  with nothing to do;
- plain: the Keras loop that a student would write, one process on all cores;
- parallel: the same loop in as many processes as there are cores, one thread each;
- jax: a hand-written JAX program that trains all runs at once and records the same per epoch.

    python benchmarks/study.py [--turns 3] [--only snakemake plain parallel jax] [--jax-python PATH]
    python benchmarks/study.py --lambdas 1e-4    six runs, of which the start is a large part

JAX needs an environment of its own: benchmarks/requirements-jax.txt.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import PROJECT, copy_project, report

LAMBDAS = ["0", "1e-5", "1e-4", "3e-4", "1e-3", "3e-3", "1e-2"]
SEEDS, EPOCHS = 6, 8
CORES = os.cpu_count()


def run(command: list[str], **options) -> None:
    """Run a command, quietly; it must succeed."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)


def snakemake(folder: Path, lambdas: list[str]) -> dict[str, float]:
    """Return seconds to the report, to the last history and to the last measures, and what a run
    spends its time on.

    After the last measures come the tables, and then the report: `tables` and `report` are the
    seconds that each took, with what Snakemake does for their jobs.
    """
    config = {"study": "bench", "lambdas": lambdas, "seeds": SEEDS, "training": {"epochs": EPOCHS}}
    copy_project(folder, "bench", config)
    command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "all"]
    started = time.time()
    run([*command, "--configfile", "bench.yaml"], cwd=folder, stderr=subprocess.DEVNULL)
    total = time.time() - started
    again = time.time()
    run([*command, "--configfile", "bench.yaml"], cwd=folder, stderr=subprocess.DEVNULL)
    nothing_to_do = time.time() - again
    results = folder / "results" / "bench"
    histories = list(results.rglob("history.csv"))
    assert len(histories) == len(lambdas) * SEEDS
    records = [json.loads(path.with_name("run.json").read_text()) for path in histories]
    phases = {
        name: median(record["cost"][name] for record in records) for name in records[0]["cost"]
    }
    measured, tabulated, reported = (
        max(path.stat().st_mtime for path in results.glob(files))
        for files in ("measures/*", "tables/*", "report/*.*")
    )
    epochs = [line.rpartition(",")[2] for path in histories for line in path.open()]
    seconds = [float(value) for value in epochs if re.fullmatch(r"[0-9.]+", value.strip())]
    return {
        "seconds": total,
        "training_phase": max(path.stat().st_mtime for path in histories) - started,
        "measuring_phase": measured - started,
        "tables": tabulated - measured,
        "report": reported - tabulated,
        "nothing_to_do": nothing_to_do,
        "median_epoch": median(seconds),
        **phases,
        "seconds_measures": median(
            run["seconds"]
            for path in results.glob("measures/*.json")
            for run in json.loads(path.read_text())["runs"].values()
        ),
    }


def loop(lambdas: list[str]) -> list[str]:
    """Return the options of a program that trains all runs."""
    return ["--lambdas", *lambdas, "--seeds", str(SEEDS), "--epochs", str(EPOCHS)]


def plain(folder: Path, lambdas: list[str]) -> dict[str, float]:
    """Return the seconds of the loop in one process."""
    script = PROJECT / "benchmarks" / "plain_keras.py"
    started = time.time()
    run([sys.executable, str(script), *loop(lambdas), "--output", str(folder / "all.csv")])
    return {"seconds": time.time() - started}


def parallel(folder: Path, lambdas: list[str]) -> dict[str, float]:
    """Return the seconds of the loop in as many processes as cores, one thread each."""
    script = PROJECT / "benchmarks" / "plain_keras.py"
    one = {name: "1" for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
    started = time.time()
    jobs = [
        subprocess.Popen(
            [sys.executable, str(script), *loop(lambdas), "--part", str(part), str(CORES)]
            + ["--output", str(folder / f"{part}.csv")],
            env=os.environ | one | {"OMP_NUM_THREADS": "1"},
        )
        for part in range(CORES)
    ]
    assert [job.wait() for job in jobs] == [0] * CORES
    return {"seconds": time.time() - started}


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    ways = ["snakemake", "plain", "parallel", "jax"]
    parser.add_argument("--only", nargs="+", choices=ways, default=ways)
    parser.add_argument("--jax-python", default=sys.executable, help="a Python that has JAX")
    parser.add_argument("--lambdas", nargs="+", default=LAMBDAS)
    options = parser.parse_args()

    def jax(folder: Path, lambdas: list[str]) -> dict[str, float]:
        script = PROJECT / "benchmarks" / "all_at_once_jax.py"
        started = time.time()
        run([options.jax_python, str(script), *loop(lambdas), "--output", str(folder / "all.csv")])
        return {"seconds": time.time() - started}

    runners = {"snakemake": snakemake, "plain": plain, "parallel": parallel, "jax": jax}
    measured = {name: [] for name in options.only}
    for _ in range(options.turns):
        for name in options.only:
            with tempfile.TemporaryDirectory() as folder:
                measured[name].append(runners[name](Path(folder), options.lambdas))
            print(name, json.dumps(measured[name][-1]), file=sys.stderr, flush=True)
    medians = {
        name: {key: round(median(turn[key] for turn in turns), 3) for key in turns[0]}
        for name, turns in measured.items()
    }
    figures = {"turns": options.turns, "cores": CORES, "median": medians, "every_turn": measured}
    if "snakemake" in medians:
        ours = medians["snakemake"]
        figures["times_faster_than"] = {
            name: round(values["seconds"] / ours["seconds"], 2)
            for name, values in medians.items()
            if name != "snakemake"
        }
        # What is left if nothing but the engine's own work were done, evenly on all cores. Epoch 0
        # is an evaluation only.
        runs, train = len(options.lambdas) * SEEDS, ours["median_epoch"] * EPOCHS
        for phase, work in (("training", train), ("measuring", train + ours["seconds_measures"])):
            ideal = work * runs / CORES
            figures[f"ideal_{phase}_phase"] = round(ideal, 1)
            figures[f"{phase}_phase_over_ideal"] = round(ours[f"{phase}_phase"] / ideal, 3)
    report("study" if options.lambdas == LAMBDAS else "few_runs", figures)


if __name__ == "__main__":
    main()
