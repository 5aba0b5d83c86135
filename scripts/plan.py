"""Say what a study would run: its set-ups, new and kept runs, for how long, and how large.

The options are Snakemake's, which makes a plan with them. The time is what runs have taken that are
there, of this study or of a finished one beside it. If there are none, two short runs are made, or
a few steps of a slow model.

Example:
    python scripts/plan.py --cores 4 --configfile mine.yaml
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from l2study.core import processors
from l2study.core.config import ConfigError, read_config, read_keys
from l2study.core.design import Design, Setup
from l2study.core.seeds import USUAL
from l2study.core.wording import seed_list
from l2study.workflow import data_findings, estimate, notes
from l2study.workflow.estimate import Cost, Expected


def plan(
    jobs: Iterable[dict],
    cores: int,
    time_runs: Callable[[Setup], Cost | str] = estimate.time_short_runs,
    findings: Callable[[Design, str, Collection[str]], list[str]] = data_findings.findings,
) -> str:
    """Return the plan in words.

    Args:
        jobs: every job that would be done: its `rule`, its `output` as a list of paths, and its
            `params` by name.
        cores: how many runs are trained at a time.
        time_runs: returns what a run takes where none is there, or why that is not known.
        findings: returns what there is to say of the data.

    Raises:
        DataError: a file of the data is absent or damaged.
    """
    by_rule: dict[str, list[dict]] = {}
    for job in jobs:
        by_rule.setdefault(job["rule"], []).append(job)
    if not by_rule:
        return "Nothing to be done: every run is there, tables and report are up to date."
    new = {job["params"]["folder"] for job in by_rule.get("train", [])}
    prepared = {job["output"][0] for job in by_rule.get("prepare", [])}
    lines = []
    # Where a run is trained for the report, tables are made, and that job has the whole study.
    for made in [job["params"] for job in by_rule.get("aggregate", []) if new]:
        design, results = Design.of(read_config(made["config"]), checked=True), made["results"]
        anew = {
            setup.data
            for setup in design.setups
            if f"{results}{setup.data_place}/data.json" in prepared
        }
        costs, basis = estimate.known_costs(design, Path(results), anew), "finished runs"
        if not costs:
            cost = time_runs(design.base)
            known = isinstance(cost, Cost)
            costs = {estimate.kind(design.base.config): cost} if known else {}
            basis = _timed(cost) if known else cost
        runs = estimate.expected_runs(design, results, new.__contains__, costs)
        lines += [*what(runs), *variation(design.base)]
        again = [run for run in runs if run.new and Path(run.folder, "run.json").exists()]
        lines += filter(None, [notes.replaced(len(again), again), notes.unnamed(design.config)])
        lines += cost_of([run for run in runs if run.new], costs, basis, cores)
        lines += [f"the data: {line}" for line in findings(design, results, anew)]
    others = [rule for rule in by_rule if rule not in ("train", "all")]
    return "\n".join([*lines, f"other jobs: {', '.join(others) or 'none'}"])


def what(runs: list[Expected]) -> list[str]:
    """Return in words which runs of a study are kept and which are new, a set-up a line.

    Where there is one set-up, the new runs are named, a lambda a line.
    """
    found = _by_setup(runs)
    lines = [_counts(f"{len(runs)} runs", runs)]
    if len(found) > 1:
        lines[0] = f"{len(found)} set-ups, {lines[0]}"
        return lines + [f"  {_counts(name, of_one)}" for name, of_one in found.items()]
    for l2 in dict.fromkeys(run.l2 for run in runs):
        if seeds := [run.seed for run in runs if run.l2 == l2 and run.new]:
            lines.append(f"  lambda {l2}: {seed_list(seeds)}")
    return lines


def variation(base: Setup) -> list[str]:
    """Return in lines what a seed changes in a study, where that is not the usual, and in which
    round the study is."""
    if base.is_crossed:
        levels = " x ".join(f"{len(own)} {s}" for s, own in base.config["seeds"].items())
        return [
            f"crossed design, {levels}: {base.seed_count} runs of every lambda,"
            f" {len(base.independent_seeds)} of which share no level"
        ]
    usual = tuple(base.varied) == USUAL
    lines = [] if usual else [f"a seed changes {', '.join(base.varied)}"]
    if rounds := base.until:
        lines.append(
            f"seeds in rounds: {rounds['now']} up to this one, {rounds['max_seeds']} at most"
        )
    if base.extends:
        lines.append(
            f"lambdas in rounds: {base.lambdas[0]} to {base.lambdas[-1]} in this one,"
            f" {base.reach[0]} to {base.reach[-1]} at most"
        )
    return lines


def cost_of(new: list[Expected], costs: dict[str, Cost], basis: str, cores: int) -> list[str]:
    """Return in words how long it takes to train and measure runs, and how large they are.

    Args:
        new: the runs.
        costs: what runs take, see `estimate.known_costs`.
        basis: where that is known from, or why it is not.
        cores: how many runs are trained at a time.
    """
    if not costs:
        return [f"no estimate of the time before a run has been trained: {basis}"]
    each = [estimate.cost_for(run.setup, costs) for run in new]
    seconds = [run.seconds + cost.measure for run, cost in zip(new, each, strict=True)]
    minutes = max(round(estimate.time_left(seconds, [], cores) / 60), 1)
    return [
        f"about {minutes // 60}:{minutes % 60:02} (h:mm) of training and measuring on"
        f" {cores} core{'s' * (cores > 1)}, based on {basis}",
        f"about {max(round(sum(cost.size for cost in each) / 1e6), 1):,} MB for the files of runs",
    ]


def _timed(cost: Cost) -> str:
    if cost.runs > 1:
        return "two short runs, made now"
    return "a few steps of training, made now, without measuring"


def _by_setup(runs: Iterable[Expected]) -> dict[str, list[Expected]]:
    found = {}
    for run in runs:
        found.setdefault(run.setup.name, []).append(run)
    return found


def _counts(name: str, runs: list[Expected]) -> str:
    new, taken = sum(run.new for run in runs), sum(run.taken for run in runs)
    words = f"{name}: {len(runs) - new} kept, {new - taken} to train"
    return f"{words}, {taken} to take from longer runs" if taken else words


def main() -> None:
    """Ask Snakemake and print the plan; what it refuses, this refuses in its words."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --config is Snakemake's
    )
    parser.add_argument("--cores", default="all", help="how many runs to train at a time (all)")
    parser.add_argument(
        "--configfile",
        nargs="+",
        default=[],
        help="configurations, whose keys replace those of config.yaml",
    )
    options, others = parser.parse_known_args()
    try:
        # Snakemake shows a traceback for a file that is absent or not YAML.
        for file in options.configfile:
            read_keys(file)
    except ConfigError as error:
        sys.exit(f"config: {error}")
    if options.configfile:
        others += ["--configfile", *options.configfile]
    cores = processors.usable() if options.cores == "all" else int(options.cores)
    here = str(Path(__file__).resolve().parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--executor", "plan", "--logger", "plan"]
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
