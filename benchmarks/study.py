"""Wall time of one study, 7 lambdas x 6 seeds x 8 epochs on MNIST, four ways, in turns.

- snakemake: the project, in a fresh copy, on all cores, to the finished report; then once more,
  with nothing to do;
- plain: the Keras loop that a student would write, one process on all cores;
- parallel: the same loop in as many processes as there are cores, one thread each;
- jax: a hand-written JAX program that trains all runs at once and records the same per epoch.

    python benchmarks/study.py [--turns 3] [--only snakemake plain parallel jax] [--jax-python PATH]

JAX needs an environment of its own: benchmarks/requirements-jax.txt.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import PROJECT, report

LAMBDAS = ["0", "1e-5", "1e-4", "3e-4", "1e-3", "3e-3", "1e-2"]
SEEDS, EPOCHS = 6, 8
CORES = os.cpu_count()
LOOP = ["--lambdas", *LAMBDAS, "--seeds", str(SEEDS), "--epochs", str(EPOCHS)]


def run(command: list[str], **options) -> None:
    """Run a command, quietly; it must succeed."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)


def snakemake(folder: Path) -> dict[str, float]:
    """Return seconds to the report and to the last history, and what a run spends its time on.

    After the last measures come the tables, and then the report: `tables` and `report` are the
    seconds that each took, with what Snakemake does for their jobs.
    """
    ignored = shutil.ignore_patterns(".*", "results", "logs", "tests", "benchmarks", "__pycache__")
    shutil.copytree(PROJECT, folder, ignore=ignored, dirs_exist_ok=True)
    config = {"study": "bench", "lambdas": LAMBDAS, "seeds": SEEDS, "training": {"epochs": EPOCHS}}
    (folder / "bench.yaml").write_text(json.dumps(config))
    command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "all"]
    started = time.time()
    run([*command, "--configfile", "bench.yaml"], cwd=folder, stderr=subprocess.DEVNULL)
    total = time.time() - started
    again = time.time()
    run([*command, "--configfile", "bench.yaml"], cwd=folder, stderr=subprocess.DEVNULL)
    nothing_to_do = time.time() - again
    results = folder / "results" / "bench"
    histories = list(results.rglob("history.csv"))
    assert len(histories) == len(LAMBDAS) * SEEDS
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
        "tables": tabulated - measured,
        "report": reported - tabulated,
        "nothing_to_do": nothing_to_do,
        "median_epoch": median(seconds),
        **phases,
    }


def plain(folder: Path) -> dict[str, float]:
    """Return the seconds of the loop in one process."""
    script = PROJECT / "benchmarks" / "plain_keras.py"
    started = time.time()
    run([sys.executable, str(script), *LOOP, "--output", str(folder / "all.csv")])
    return {"seconds": time.time() - started}


def parallel(folder: Path) -> dict[str, float]:
    """Return the seconds of the loop in as many processes as cores, one thread each."""
    script = PROJECT / "benchmarks" / "plain_keras.py"
    one = {name: "1" for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
    started = time.time()
    jobs = [
        subprocess.Popen(
            [sys.executable, str(script), *LOOP, "--part", str(part), str(CORES)]
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
    options = parser.parse_args()

    def jax(folder: Path) -> dict[str, float]:
        script = PROJECT / "benchmarks" / "all_at_once_jax.py"
        started = time.time()
        run([options.jax_python, str(script), *LOOP, "--output", str(folder / "all.csv")])
        return {"seconds": time.time() - started}

    runners = {"snakemake": snakemake, "plain": plain, "parallel": parallel, "jax": jax}
    measured = {name: [] for name in options.only}
    for _ in range(options.turns):
        for name in options.only:
            with tempfile.TemporaryDirectory() as folder:
                measured[name].append(runners[name](Path(folder)))
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
        work = ours["median_epoch"] * EPOCHS + ours["seconds_measures"]
        ideal = work * len(LAMBDAS) * SEEDS / CORES
        figures["ideal_training_phase"] = round(ideal, 1)
        figures["training_phase_over_ideal"] = round(ours["training_phase"] / ideal, 3)
    report("study", figures)


if __name__ == "__main__":
    main()
