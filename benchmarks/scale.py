"""Time and peak memory of planning and of aggregating 100 to 100,000 runs, made up.

Plans with Snakemake (`snakemake --dry-run`) and with scripts/plan.py a study of which no run is
there, and aggregates 20 epochs of runs that tests/synthetic.py made up. From the sizes of 1,000
runs and more it fits straight lines, by which a study of a million runs is estimated.

    python benchmarks/scale.py [--runs 100 1000 10000 100000] [--turns 3] [--folder FOLDER]

The made-up runs are kept in FOLDER, if one is given, and used again. 100,000 take 3 GB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from common import PROJECT, copy_project, report

from synthetic import write_study

LAMBDAS = 10
EPOCHS = 20
FITTED_FROM = 1000
"""Studies of fewer runs are mostly starting programs."""
IN_WORDS_UP_TO = 10_000
"""scripts/plan.py makes the same plan for less: no need to make the largest one twice."""
BIN = Path(sys.executable).parent

_MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def measured(command: list[str], folder: Path, turns: int) -> dict[str, float]:
    """Return median wall and processor seconds, and peak memory, of a command that must succeed."""
    figures = []
    for _ in range(turns):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, *command], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        figures.append([float(figure) for figure in done.stderr.splitlines()[-1].split()])
    seconds, processor, memory = zip(*figures, strict=True)
    return {
        "seconds": round(median(seconds), 2),
        "processor_seconds": round(median(processor), 2),
        "peak_memory_mb": round(max(memory) / 1024),
    }


def config_of(runs: int) -> dict:
    """Return the configuration of a study of so many runs."""
    lambdas = [0] + [10.0**-power for power in range(LAMBDAS - 1, 0, -1)]
    training = {"epochs": EPOCHS, "evaluate_at": "all", "predict_at": []}
    seeds = runs // LAMBDAS
    return {"study": "scale", "lambdas": lambdas, "seeds": seeds, "training": training}


def planned(runs: int, turns: int) -> dict[str, dict]:
    """Return what planning takes, in a copy of the project."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "project")
        copy_project(folder, "scale", config_of(runs))
        options = ["--cores", "2", "--configfile", "scale.yaml"]
        snakemake = [str(BIN / "snakemake"), *options, "--dry-run", "--quiet", "all"]
        found = {"plan": measured(snakemake, folder, turns)}
        if runs <= IN_WORDS_UP_TO:
            in_words = [sys.executable, "scripts/plan.py", *options]
            found["plan_in_words"] = measured(in_words, folder, turns)
        return found


def aggregated(runs: int, turns: int, folder: Path) -> dict[str, dict]:
    """Return what aggregation takes; its runs are made up in `folder`, unless they are there."""
    results, config = folder / "results", config_of(runs)
    if not (folder / "complete").exists():
        write_study(results, lambdas=config["lambdas"], seeds=range(config["seeds"]), epochs=EPOCHS)
        (folder / "complete").touch()
    command = [sys.executable, str(PROJECT / "scripts" / "aggregate.py")]
    command += ["--config", json.dumps(config), "--results", str(results)]
    command += ["--claims", str(PROJECT / "reports" / "claims" / "exercise.yaml")]
    return {"aggregate": measured(command, folder, turns)}


def fits(rows: list[dict]) -> dict[str, dict]:
    """Return for every figure the straight line over runs, and how the figure grows.

    A straight line, because a program takes a time to start, and then as long for every run. It
    has the least squares of relative deviations. `exponent` is that of the power law through the
    two largest sizes: above 1, the line says too little of larger studies.
    """
    rows = [row for row in rows if row["runs"] >= FITTED_FROM]
    runs = np.array([row["runs"] for row in rows], float)
    found = {}
    for task in ("plan", "aggregate"):
        for figure in ("seconds", "processor_seconds", "peak_memory_mb"):
            values = np.array([row[task][figure] for row in rows], float)
            slope, start = np.polyfit(runs, values, 1, w=1 / values)
            (_, before), (_, last) = ends = list(zip(runs, values, strict=True))[-2:]
            exponent = np.log(last / before) / np.log(ends[1][0] / ends[0][0])
            found.setdefault(task, {})[figure] = {
                "start": round(start, 2),
                "per_1000_runs": round(1000 * slope, 3),
                "exponent": round(exponent, 2),
                "million_runs": round(start + 1e6 * slope),
            }
    return found


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the made-up runs here")
    options = parser.parse_args()
    rows = []
    for runs in options.runs:
        rows.append({"runs": runs, **planned(runs, options.turns)})
        with tempfile.TemporaryDirectory() as name:
            folder = (options.folder or Path(name)).resolve() / str(runs)
            rows[-1] |= aggregated(runs, options.turns, folder)
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    figures = {"turns": options.turns, "epochs": EPOCHS, "studies": rows}
    if sum(runs >= FITTED_FROM for runs in options.runs) > 1:
        figures["lines"] = fits(rows)
    report("scale", figures)


if __name__ == "__main__":
    main()
