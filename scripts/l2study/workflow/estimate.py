"""How long training and measuring take, by what runs have taken, and how long it will go on."""

import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from l2study.core.design import Design, Setup
from l2study.core.epochs import evaluated_epochs
from l2study.core.files import read_json
from l2study.core.paths import MEASURES, RUN, left_folder
from l2study.data import sources
from l2study.data.preparation import UNKNOWN_ROWS, training_count
from l2study.workflow.jobs import Job, Jobs

JOB_SECONDS = 0.5
"""From the end of one job to the beginning of the next."""

TIMING_SECONDS = 40
"""How long it may take to time short runs."""

RUNS_SECONDS = 20
"""Runs that would take longer are not made; then a few steps must do."""

_TIMED = """
import json, sys, train, measure
from l2study.core.design import Setup
from l2study.core.files import write_json
from l2study.core.program import faults_in_one_line
from l2study.data.preparation import prepare
config, data, seeds, steps, seconds, runs, measures = json.loads(sys.argv[1])
with faults_in_one_line("a short run", data):
    prepare(Setup.of(config), data)
    from l2study.training.step_times import step_times
    known = step_times(config, data, seeds)
write_json(steps, known)
if len(runs) * (2 * known["rows"] * known["train"] + 3 * known["evaluate"]) < seconds:
    for arguments in runs:
        train.main(arguments)
    measure.main(measures)
"""


class Cost(NamedTuple):
    """What a run of some kind takes, as the median of runs; so compiling does not count."""

    train: float
    """Seconds of training by image and epoch."""
    evaluate: float
    """Seconds of one evaluation."""
    measure: float
    """Seconds to measure the final weights."""
    size: float
    """Bytes of its files."""
    runs: int
    """How many runs say so; 0 if a few steps do."""
    rows: int = UNKNOWN_ROWS
    """How many rows these are trained on, where nobody knows it before data are prepared."""

    def seconds(self, config: Mapping) -> float:
        """Return how long it takes to train a run of a canonical configuration."""
        training = config["training"]
        rows = self.rows if _is_made(config["dataset"]) else training_count(config)
        evaluating = len(evaluated_epochs(training)) * self.evaluate
        return training["epochs"] * rows * self.train + evaluating


def _is_made(dataset: Mapping) -> bool:
    """Return whether a function makes the data, so that it alone knows how many rows there are."""
    return "load" in dataset and "train_size" not in dataset


def _rows(setup: Setup, results: Path) -> int:
    """Return how many rows a run is trained on: of data that a function makes, as last prepared."""
    if _is_made(setup.config["dataset"]):
        with suppress(OSError, ValueError, KeyError, TypeError):
            return read_json(Path(f"{results}{setup.data_place}/data.json"))["counts"]["train"]
    return training_count(setup.config)


def kind(config: Mapping) -> str:
    """Return what must be alike in two configurations if an epoch is to take as long in both."""
    training = [config["training"].get(key) for key in ("optimizer", "batch_size")]
    return json.dumps([config["dataset"], config["model"], training], sort_keys=True)


def known_costs(design: Design, results: Path, anew: Collection[str] = ()) -> dict[str, Cost]:
    """Return what runs of a study, or of finished studies beside it, have taken, by their `kind`;
    not of runs with data that will be prepared again, of which `anew` has the `Setup.data`."""
    there = []
    for file in sorted(results.parent.glob("*/tables/datapackage.json")):
        with suppress(ValueError, KeyError, TypeError):  # of another version
            other = Design.of(read_json(file)["config"], checked=True)
            there += [(setup, file.parents[1]) for setup in other.setups]
    there += [(setup, results) for setup in design.setups if setup.data not in anew]
    wanted, found = {kind(setup.config) for setup in design.setups}, {}
    for setup, folder in there:
        alike = kind(setup.config)
        if alike in wanted and (cost := cost_of_runs(setup, folder)):
            found[alike] = cost
    return found


def cost_of_runs(setup: Setup, results: Path) -> Cost | None:
    """Return what the complete runs of a set-up, of which some are read, have taken; None if there
    are none of its kind of settings."""
    rows, folder = _rows(setup, results), Path(f"{results}{setup.place}")
    taken, files = [], sorted(folder.glob(f"{RUN.format(l2='*', seed='*')}/run.json"))
    for file in files[:: len(files) // 100 + 1]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = read_json(file)
            config, cost = setup.config | record["config"], record["cost"]
            if record["status"] == "completed" and kind(config) == kind(setup.config):
                trained = cost["seconds_train"] / (config["training"]["epochs"] * rows)
                evaluated = cost["seconds_evaluate"] / len(evaluated_epochs(config["training"]))
                taken.append((trained, evaluated, _bytes(file.parent)))
    measured = []
    for file in folder.glob(MEASURES.format(l2="*")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            measured += [run["seconds"] for run in read_json(file)["runs"].values()]
    if not taken:
        return None
    train, evaluate, size = map(statistics.median_low, zip(*taken, strict=True))
    size += _bytes(folder / "measures") / max(len(measured), 1)
    measure = statistics.median_low(measured or [0.0])
    return Cost(train, evaluate, measure, size, len(taken), rows)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())


def time_short_runs(setup: Setup) -> Cost | str:
    """Return what runs of a set-up take, by two of two epochs each, or a few steps of a slow model,
    made now in another process; in words why not, where that is not possible."""
    if sources.is_downloaded(setup.config["dataset"]):
        return "Keras would have to download the data"
    training = setup.config["training"] | {"epochs": 2, "evaluate_at": "all"}
    short = Setup(setup.name, {}, setup.config | {"training": training, "seeds": [0, 1]}, {})
    with TemporaryDirectory() as folder:
        data, runs = f"{folder}/data.json", []
        about = ["--config", json.dumps(short.config), "--data", data, "--l2", "0.001"]
        for seed in (0, 1):
            varied = ",".join(f"{source}={seed}" for source in short.varied)
            run = f"{folder}/{RUN.format(l2='0.001', seed=seed)}"
            runs.append([*about, "--seed", str(seed), "--sources", varied, "--output", run])
        steps, seeds = f"{folder}/steps.json", short.sources(0)
        measures = [*about, "--results", folder]
        work = [short.config, data, seeds, steps, RUNS_SECONDS, runs, measures]
        scripts, others = Path(__file__).resolve().parents[2], os.environ.get("PYTHONPATH", "")
        why = f"not even a few steps were made in {TIMING_SECONDS} seconds"
        try:
            subprocess.run(
                [sys.executable, "-P", "-c", _TIMED, json.dumps(work)],
                env=os.environ | {"PYTHONPATH": f"{scripts}{os.pathsep}{others}"},
                check=True, capture_output=True, timeout=TIMING_SECONDS, text=True,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            why = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
        except (OSError, subprocess.SubprocessError):
            pass
        # If one run alone was trained in time, what it took is compiling as well.
        if (cost := cost_of_runs(short, Path(folder))) and cost.runs > 1:
            return cost
        with suppress(OSError, ValueError):
            return Cost(measure=0.0, runs=0, **read_json(Path(steps)))
        return why


class Expected(NamedTuple):
    """A run of a study, and what is expected of it."""

    setup: Setup
    l2: str
    seed: int
    folder: str
    new: bool
    """Whether it is to be trained."""
    taken: bool
    """Whether it is new, but will be taken from a longer run of which it is the beginning."""
    seconds: float
    """How long its job takes; where no cost is known, only how it compares with others."""


def expected_runs(
    design: Design, results: str, is_new: Callable[[str], bool], costs: Mapping[str, Cost]
) -> list[Expected]:
    """Return what is expected of every run of a study; DataError where its data are damaged.

    `is_new` tells of a run's folder whether that run is to be trained, and `costs` what runs take,
    by their `kind`.
    """
    longest = {setup.name: group[0] for group in design.sharing for setup in group}
    runs = []
    for setup in design.setups:
        each = cost_for(setup, costs).seconds(setup.config)
        for l2, seed in itertools.product(setup.lambdas, setup.seeds):
            longer, folder = (
                f"{results}{one.place}/{RUN.format(l2=l2, seed=seed)}"
                for one in (longest[setup.name], setup)
            )
            new, taken = is_new(folder), False
            if new and longer != folder:
                left = left_folder(longer, setup.config["training"]["epochs"])
                taken = is_new(longer) or Path(left, "run.json").exists()
            seconds = JOB_SECONDS + (0 if taken else each)
            runs.append(Expected(setup, l2, seed, folder, new, taken, seconds))
    return runs


def cost_for(setup: Setup, costs: Mapping[str, Cost]) -> Cost:
    """Return what runs of a set-up take: as those of its kind, or else as all that are known."""
    others = costs.values() or [Cost(1e-5, 0.0, 0.0, 0.0, 0)]
    alike = Cost(*map(statistics.median_low, zip(*others, strict=True)))
    return costs.get(kind(setup.config), alike)


def training_left(
    jobs: Jobs, runs: Iterable[Expected], scale: float | None, now: float
) -> float | None:
    """Return the seconds until all runs are trained, None if that cannot be told yet, at the time
    `now` of the clock of `jobs`; `scale` is how many times as long as expected runs take, if known.
    """
    expected = {run.folder: run for run in runs}

    def seconds(job: Job) -> float:
        return expected[job.folder].seconds if job.folder in expected else 1.0

    running, done = jobs.of("train"), jobs.of("train", "done")
    begun = {job.folder for job in running + done + jobs.of("train", "failed")}
    others = [run for run in expected.values() if run.folder not in begun]
    # Which of the runs that are there are trained again is not known, only how many.
    others = [run.seconds for run in others if run.new] or [run.seconds for run in others]
    waiting = [statistics.fmean(others or [1.0])] * jobs.waiting("train")
    if jobs.cores is None:
        # How long a job waits in a queue says nothing of the job, so the rate of ends counts.
        if not done:
            return None
        rate = (now - min(job.began for job in running + done)) / sum(map(seconds, done))
        return rate * (sum(waiting) + sum(map(seconds, running)))
    if done:
        scale = statistics.median(job.seconds / seconds(job) for job in done)
    elif scale and any(now - job.began > scale * seconds(job) for job in running):
        # The first runs also import and compile, which those of the earlier study did not.
        return None
    if scale is None:
        return None
    rest = [max(scale * seconds(job) - (now - job.began), 0.0) for job in running]
    return time_left([scale * one for one in waiting], rest, jobs.cores)


def time_left(waiting: Collection[float], rest: Collection[float], cores: int) -> float:
    """Return the seconds until all jobs are done, by those of every job that has not begun and the
    rest of those of every other; `cores` jobs run at a time."""
    at_a_time = max(min(cores, len(waiting) + len(rest)), 1)
    return max([(sum(waiting) + sum(rest)) / at_a_time, *rest, *waiting])
