"""Say what a study would run: which runs are new and which are kept, and roughly for how long.

The options are Snakemake's, which makes a dry run of them. The time is estimated from the runs that
are already there.

Example:
    python scripts/plan.py --cores 4 --configfile mine.yaml
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from l2study.core.files import read_json
from l2study.core.wording import seed_list
from l2study.workflow.estimate import typical_seconds


def plan(jobs: Iterable[dict], cores: int) -> str:
    """Return the plan in words.

    Args:
        jobs: rule and shell command (None for `all`) of every job that a dry run would do.
        cores: how many runs are trained at a time.
    """
    jobs = [(job["rule"], _options(job["command"] or "")) for job in jobs]
    if not jobs:
        return "Nothing to be done: every run is there, tables and report are up to date."
    new = [(options["--l2"], int(options["--seed"])) for rule, options in jobs if rule == "train"]
    lines = []
    # Where a run is trained for the report, tables are made, and that command has the whole study.
    for made in [options for rule, options in jobs if rule == "aggregate" and new]:
        study, results = json.loads(made["--config"]), Path(made["--results"])
        promised = [(l2, seed) for l2 in study["lambdas"] for seed in study["seeds"]]
        lines.append(f"{len(promised)} runs: {len(promised) - len(new)} kept, {len(new)} to train")
        for l2 in study["lambdas"]:
            if seeds := [seed for label, seed in new if label == l2]:
                lines.append(f"  lambda {l2}: {seed_list(seeds)}")
        records = [read_json(path) for path in sorted(results.glob("runs/*/*/run.json"))]
        lines.append(duration(records, study["training"], len(new), cores))
    others = [rule for rule, _ in jobs if rule not in ("train", "all")]
    return "\n".join([*lines, f"other jobs: {', '.join(dict.fromkeys(others)) or 'none'}"])


def duration(records: Iterable[dict], training: dict, runs: int, cores: int) -> str:
    """Return in words how long `runs` runs take, as those of `records` did.

    Args:
        records: the contents of run.json; diverged runs do not count.
        training: that of a new run, a part of a canonical configuration.
        runs: how many there are to train.
        cores: how many runs are trained at a time.
    """
    records = [record for record in records if record["status"] == "completed"]
    seconds = typical_seconds(records, training)
    if seconds is None:
        return "how long it takes will be known when a run is there"
    total = timedelta(seconds=round(seconds * runs / min(cores, runs)))
    return f"about {total} (h:mm:ss) of training on {cores} cores, going by {len(records)} runs"


def _options(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return dict(zip(words[2::2], words[3::2], strict=False))


def main() -> None:
    """Ask Snakemake and print the plan; what it refuses, this refuses in its words."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", default="all", help="as many runs are trained at a time (all)")
    options, others = parser.parse_known_args()
    cores = len(os.sched_getaffinity(0)) if options.cores == "all" else int(options.cores)
    here = str(Path(__file__).resolve().parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--logger", "plan"]
        + ["--cores", str(cores), *others],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    print(plan(map(json.loads, done.stdout.splitlines()), cores))


if __name__ == "__main__":
    main()
