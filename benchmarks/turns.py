"""Processor time of tables and report, of this tree against another commit, in turns.

Both work on copies of one finished study, which nothing trains or measures again. A turn makes the
tables, and then the report, with one tree and then with the other. Printed are the median seconds
of the processor, those of all their processes together, and the median over turns of the ratio.

    snakemake --cores all --configfile bench.yaml        a study to work on
    python benchmarks/turns.py OTHER results/bench [--turns 3] [--only tables]

OTHER is a clone at the other commit.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from common import PROJECT, report

from l2study.core.files import read_json


def seconds(command: list[str], tree: Path) -> float:
    """Return the processor time of a command that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    one = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=tree, env=one, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(config: str, results: Path) -> dict[str, list[str]]:
    """Return what makes the tables and the report of the study in `results`."""
    common = ["--config", config, "--results", str(results)]
    return {
        "tables": ["scripts/aggregate.py", *common, "--claims", "reports/claims/exercise.yaml"],
        "report": ["scripts/report.py", *common, "--notebook", "reports/report.ipynb"]
        + ["--captions", "reports/captions"],
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", type=Path, help="a clone at the other commit")
    parser.add_argument("results", type=Path, help="the folder of a finished study")
    parser.add_argument("--turns", type=int, default=3)
    stages = ["tables", "report"]
    parser.add_argument("--only", nargs="+", choices=stages, default=stages)
    options = parser.parse_args()
    config = json.dumps(read_json(options.results / "tables" / "datapackage.json")["config"])
    trees = {"this": PROJECT, "other": options.other.resolve()}
    found = {stage: {name: [] for name in trees} for stage in options.only}
    with tempfile.TemporaryDirectory() as folder:
        for name, tree in trees.items():
            shutil.copytree(options.results, Path(folder, name))
            if "tables" not in options.only:  # a report needs those of its own tree
                seconds([sys.executable, *commands(config, Path(folder, name))["tables"]], tree)
        for _ in range(options.turns):
            for name, tree in trees.items():
                for stage in options.only:
                    command = commands(config, Path(folder, name))[stage]
                    found[stage][name].append(seconds([sys.executable, *command], tree))
            print(json.dumps(found), file=sys.stderr, flush=True)
    for times in found.values():
        ratios = [a / b for a, b in zip(times["this"], times["other"], strict=True)]
        times |= {f"median_{name}": round(median(times[name]), 2) for name in trees}
        times["ratio"] = round(median(ratios), 3)
    report("turns", {"turns": options.turns, "processor_seconds": found})


if __name__ == "__main__":
    main()
