"""Say what a study would run: its set-ups, new and kept runs, for how long, and how large.

The options are Snakemake's, which makes a plan with them. The time is what runs have taken that are
there, of this study or of a finished one beside it. If there are none, two short runs are made, or
a few steps of a slow model.

Example:
    python scripts/plan.py --cores 4 --configfile mine.yaml
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from l2study.core import processors
from l2study.core.config import ConfigError, read_config, read_keys
from l2study.core.design import Design, Setup
from l2study.core.program import parser
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
        time_runs: see `estimate.time_short_runs`; called where no run is there.
        findings: see `data_findings.findings`.
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
        places = design.data.items()
        anew = {own.data for place, own in places if f"{results}{place}/data.json" in prepared}
        costs, basis = estimate.known_costs(design, Path(results), anew), "finished runs"
        if not costs:
            basis = time_runs(design.base)
            if isinstance(cost := basis, Cost):
                costs = {estimate.kind(design.base.config): cost}
                basis = "two short runs, made now"
                if cost.runs < 2:
                    basis = "a few steps of training, made now, without measuring"
        runs = estimate.expected_runs(design, results, new.__contains__, costs)
        lines += [*what(runs), *variation(design.base)]
        again = [run for run in runs if run.new and Path(run.folder, "run.json").exists()]
        lines += filter(None, [notes.replaced(len(again), again), notes.unnamed(design.config)])
        lines += cost_of([run for run in runs if run.new], costs, basis, cores)
        lines += [f"the data: {line}" for line in findings(design, results, anew)]
    others = [rule for rule in by_rule if rule not in ("train", "all")]
    return "\n".join([*lines, f"other jobs: {', '.join(others) or 'none'}"])


def what(runs: list[Expected]) -> list[str]:
    """Return in words which runs of a study are kept and which are new, a set-up a line; where that
    is one set-up, the new runs are named, a lambda a line."""
    groups = itertools.groupby(runs, lambda run: run.setup.name)
    found = {name: list(of_one) for name, of_one in groups}
    lines = [_counts(f"{len(runs)} runs", runs)]
    if len(found) > 1:
        lines[0] = f"{len(found)} set-ups, {lines[0]}"
        return lines + [f"  {_counts(name, of_one)}" for name, of_one in found.items()]
    for l2 in dict.fromkeys(run.l2 for run in runs):
        if seeds := [run.seed for run in runs if run.l2 == l2 and run.new]:
            lines.append(f"  lambda {l2}: {seed_list(seeds)}")
    return lines


def variation(base: Setup) -> list[str]:
    """Return in lines what a seed changes, where that is not the usual, and which round this is."""
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
    """Return in words how long it takes to train and measure runs on some cores, and how large they
    are.

    `costs` are of `estimate.known_costs`; `basis` says where they are known from, or why not.
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


def _counts(name: str, runs: list[Expected]) -> str:
    new, taken = sum(run.new for run in runs), sum(run.taken for run in runs)
    words = f"{name}: {len(runs) - new} kept, {new - taken} to train"
    return f"{words}, {taken} to take from longer runs" if taken else words


def main() -> None:
    """Ask Snakemake and print the plan; what it refuses, this refuses in its words."""
    command = parser(__doc__, allow_abbrev=False)  # --config is Snakemake's
    command.add_argument("--cores", default="all", help="how many runs to train at a time (all)")
    words = "configurations, whose keys replace those of config.yaml"
    command.add_argument("--configfile", nargs="+", default=[], help=words)
    options, others = command.parse_known_args()
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
