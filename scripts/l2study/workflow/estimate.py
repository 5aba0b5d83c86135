"""How long training and measuring take, how much room the files need, and how long it will go on.

A run is counted in operations of its matrix products, and these in seconds at the speed that the
machine has in one such product. The constants were fitted to runs of 25 set-ups, of the studies
robustness, when-it-helps and width (4 to 1,024 units), on one core of an AMD EPYC with 9.1e10
operations per second. The processor time of a run, without compiling, was 0.99 times the expected
in the median set-up, and 0.7 to 1.4 times in all. By the clock, runs of another day took 1.04 to
1.2 times the expected where little else was at work. They took five times where much was. Measuring
alone took 0.7 to 1.1 times the expected, with networks of 4 to 1,024 units on MNIST.
"""

import contextlib
import itertools
import math
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from l2study.core.design import Design, Setup
from l2study.core.epochs import evaluated_epochs
from l2study.core.files import read_json
from l2study.core.paths import RUN, left_folder
from l2study.core.variation import varied
from l2study.data import sources
from l2study.workflow.jobs import Job, Jobs

USUAL_RATE = 90e9
"""Operations per second of a single-precision matrix product, on one core of a usual machine."""

EFFICIENCY = 0.75
"""The speed of training and evaluation as a share of that of one matrix product."""

UPDATE = 20
"""What it takes to update the weights after a batch, in images that the batch could have more."""

STEP_SECONDS = 50e-6
"""What else a training step takes, whatever its size."""

EPOCH_SECONDS = 2e-3
"""What else an epoch takes, whatever its size."""

RUN_SECONDS = 0.1
"""What else a run takes: reading the data, building the network, writing the files."""

COMPILE_SECONDS = 3.8
"""Compiling the programs of a set-up, once in each process that trains it."""

TRACE_SECONDS = 0.7
"""Tracing the programs that measure a set-up and drawing noise, once in each process."""

MEASURING_SECONDS = 0.2
"""What else measuring a run takes, whatever its size."""

JOB_SECONDS = 0.5
"""From the end of one job to the beginning of the next."""

PREDICTION_BYTES = 4
"""What is kept of a validation or test image: its label and the prediction, compressed."""

ATTACKED_IMAGES = 5000
"""Test images that measuring attacks at most, see `l2study.measuring.network`."""


class Extent(NamedTuple):
    """How large the data and the network of a set-up are."""

    train: int
    """Rows to train on, as are `validation` and `test` rows."""
    validation: int
    test: int
    image: int
    """Bytes of a prepared image."""
    kernels: tuple[int, ...]
    """Weights of every layer, from the first, without biases."""
    biases: int
    classes: int
    stored: int
    """Rows of the prepared files."""

    @property
    def rows(self) -> int:
        """All rows."""
        return self.train + self.validation + self.test


def extent(config: Mapping) -> Extent:
    """Return how large the data and the network of a set-up are, going by the data's headers.

    There are taken to be 10 classes, but for cifar100.

    Args:
        config: the canonical configuration of the set-up.

    Raises:
        DataError: a file of the data is absent or damaged.
    """
    dataset = config["dataset"]
    known = sources.outline(dataset) or sources.DOWNLOADS[dataset["name"]]
    train = math.floor(known.train * (1.0 - config["validation"]["fraction"]))
    inputs = math.prod(known.shape)
    classes = 100 if sources.source_name(dataset) == "cifar100" else 10
    units = [*config["model"]["hidden_units"], classes]
    used = dataset.get("train_size") or train
    by_seed = {"split", "sample"} & set(varied(config))
    return Extent(
        train=used,
        validation=known.train - train,
        test=known.test,
        image=inputs * np.dtype(known.dtype).itemsize,
        kernels=tuple(a * b for a, b in zip([inputs, *units], units, strict=False)),
        biases=sum(units),
        classes=classes,
        stored=known.test + (known.train if by_seed else used + known.train - train),
    )


def training_seconds(training: Mapping, size: Extent, rate: float) -> float:
    """Return the seconds that a run takes once its programs are compiled.

    Args:
        training: the part `training` of a canonical configuration.
        size: of its data and network.
        rate: operations per second of this machine, see `machine_rate`.
    """
    rate *= EFFICIENCY
    weights = sum(size.kernels)
    steps = math.ceil(size.train / training["batch_size"])
    # Forward, and the gradients by weights and inputs; the images need no gradient.
    of_image = 6 * weights - 2 * size.kernels[0]
    epoch = (size.train * of_image + steps * UPDATE * 6 * weights) / rate
    epoch += EPOCH_SECONDS + steps * STEP_SECONDS
    evaluation = size.rows * 2 * weights / rate + EPOCH_SECONDS
    evaluations = len(evaluated_epochs(training))
    return RUN_SECONDS + training["epochs"] * epoch + evaluations * evaluation


def measuring_seconds(size: Extent, rate: float) -> float:
    """Return the seconds to measure the final weights of a run, once programs are traced.

    Args:
        size: of its data and network.
        rate: operations per second of this machine, see `machine_rate`.
    """
    # Passes through the network, forward or backward: the derivatives of every class and the
    # images, their noise and the validation images; and attacks of 1 and of 10 steps at two radii.
    passes = size.test * (size.classes + 2) + size.validation
    passes += min(size.test, ATTACKED_IMAGES) * 44
    return MEASURING_SECONDS + passes * 2 * sum(size.kernels) / (EFFICIENCY * rate)


def run_bytes(training: Mapping, size: Extent) -> int:
    """Return the bytes that a run's weights, history, record, measures and predictions take."""
    weights = 4 * (sum(size.kernels) + size.biases)
    predictions = PREDICTION_BYTES * (size.validation + size.test)
    return weights + 270 * len(evaluated_epochs(training)) + 7000 + predictions


def data_bytes(size: Extent) -> int:
    """Return the bytes that the prepared data of a set-up take."""
    return size.stored * (size.image + 4)


def machine_rate(seconds: float = 0.3) -> float:
    """Return the operations per second of a single-precision matrix product on this machine.

    The fastest of many products counts, as if nothing else were at work. NumPy must have been told
    to use one thread, before it was imported.

    Args:
        seconds: how long to measure.
    """
    a, b = np.ones((256, 784), np.float32), np.ones((784, 128), np.float32)
    fastest, end = math.inf, time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        a @ b
        fastest = min(fastest, time.perf_counter() - begun)
    return 2 * 256 * 784 * 128 / fastest


def typical(pairs: Iterable[tuple[float, float]]) -> float | None:
    """Return the median of the ratios of `pairs`, each weighted by its second number.

    None if there is no pair whose second number is above 0.
    """
    ratios = sorted((a / b, b) for a, b in pairs if b > 0)
    half, below = sum(weight for _, weight in ratios) / 2, 0.0
    for (ratio, weight), (following, _) in zip(ratios, [*ratios[1:], (0, 0)], strict=False):
        below += weight
        if math.isclose(below, half):
            return (ratio + following) / 2
        if below > half:
            return ratio
    return None


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
    size: Extent
    seconds: float
    """How long its job takes, without compiling programs."""


def expected_runs(
    design: Design,
    results: str,
    is_new: Callable[[str], bool],
    rate: float = USUAL_RATE,
) -> list[Expected]:
    """Return every run of a study with what is expected of it.

    Args:
        design: of the study.
        results: the folder of the study's results.
        is_new: tells of a run's folder whether that run is to be trained.
        rate: operations per second of this machine, see `machine_rate`. Without it, only how the
            seconds of the runs compare is of use.

    Raises:
        DataError: a file of the data is absent or damaged.
    """
    longest = {setup.name: group[0] for group in design.sharing for setup in group}
    runs = []
    for setup in design.setups:
        size = extent(setup.config)
        each = training_seconds(setup.config["training"], size, rate)
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
            runs.append(Expected(setup, l2, seed, folder, new, taken, size, seconds))
    return runs


def actual_and_expected(
    runs: Iterable[Expected], rate: float = USUAL_RATE
) -> list[tuple[float, float]]:
    """Return the actual and the expected seconds of each of `runs` that is there and completed.

    What is expected goes by the settings that the run was trained with. A record that cannot be
    read is left out.

    Args:
        runs: as `expected_runs` returns them.
        rate: as given there.
    """
    pairs = []
    for run in runs:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = read_json(Path(run.folder, "run.json"))
            if record["status"] == "completed":
                seconds = training_seconds(record["config"]["training"], run.size, rate)
                pairs.append((record["cost"]["seconds_total"], seconds))
    return pairs


def training_left(
    jobs: Jobs, runs: Iterable[Expected], scale: float | None, now: float
) -> float | None:
    """Return the seconds until all runs are trained, or None if that cannot be told yet.

    Args:
        jobs: what has become of the jobs.
        runs: all runs of the study.
        scale: how many times as long as expected runs took earlier, if that is known.
        now: seconds, of the clock of `jobs`.
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
        scale = typical((job.seconds, seconds(job)) for job in done)
    elif scale and any(now - job.began > scale * seconds(job) for job in running):
        # The first runs also import and compile, which those of the earlier study did not.
        return None
    if scale is None:
        return None
    rest = [max(scale * seconds(job) - (now - job.began), 0.0) for job in running]
    return time_left([scale * one for one in waiting], rest, jobs.cores)


def time_left(waiting: Collection[float], rest: Collection[float], cores: int) -> float:
    """Return the seconds until all jobs are done.

    Args:
        waiting: the seconds of every job that has not begun.
        rest: the seconds that every other job still takes.
        cores: how many jobs run at a time.
    """
    at_a_time = max(min(cores, len(waiting) + len(rest)), 1)
    return max([(sum(waiting) + sum(rest)) / at_a_time, *rest, *waiting])
