"""Time and peak memory of planning and of aggregating 100, 1,000 and 10,000 runs, made up.

Plans with Snakemake (`snakemake --dry-run`) a study of which no run is there, and aggregates
histories of 20 epochs that tests/synthetic.py made up.

    python benchmarks/scale.py [--runs 100 1000 10000] [--turns 3]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from common import PROJECT, report

from synthetic import write_study

LAMBDAS = 10
BIN = Path(sys.executable).parent

_MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def measured(command: list[str], folder: Path, turns: int) -> dict[str, float]:
    """Return the median wall seconds and the peak memory of a command, which must succeed."""
    seconds, memory = [], []
    for _ in range(turns):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, *command], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        taken, peak = done.stderr.splitlines()[-1].split()
        seconds.append(float(taken))
        memory.append(float(peak) / 1024)
    return {"seconds": round(median(seconds), 2), "peak_memory_mb": round(max(memory))}


def project(folder: Path, seeds: int) -> Path:
    """Return the configuration of a study of `seeds` seeds in a copy of the project."""
    ignored = shutil.ignore_patterns(".*", "results", "logs", "tests", "benchmarks", "__pycache__")
    shutil.copytree(PROJECT, folder, ignore=ignored, dirs_exist_ok=True)
    lambdas = [0] + [10.0**-power for power in range(LAMBDAS - 1, 0, -1)]
    config = {"study": "scale", "lambdas": lambdas, "seeds": seeds}
    path = folder / "scale.yaml"
    path.write_text(json.dumps(config))
    return path


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for runs in options.runs:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = project(folder, runs // LAMBDAS)
            snakemake = [str(BIN / "snakemake"), "--cores", "2", "--configfile", config.name]
            plan = measured([*snakemake, "--dry-run", "--quiet", "all"], folder, options.turns)
            values = json.loads(config.read_text())
            results = folder / "results" / "scale"
            write_study(results, lambdas=values["lambdas"], seeds=range(values["seeds"]), epochs=20)
            aggregate = [sys.executable, "scripts/aggregate.py", "--config", config.name]
            aggregate += ["--claims", "reports/claims/exercise.yaml", "--results", str(results)]
            rows.append(
                {
                    "runs": runs,
                    "plan": plan,
                    "aggregate": measured(aggregate, folder, options.turns),
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    report("scale", {"turns": options.turns, "epochs": 20, "studies": rows})


if __name__ == "__main__":
    main()
