"""How often 95 % intervals cover the truth, and 5 % tests reject it: the methods used, and others.

Made-up studies of which the truth is known. The methods of this project stand beside those that it
does not use, some of which fail. The tests hold the former against the same arithmetic done another
way, and simulate few of them.

    python benchmarks/coverage.py > benchmarks/results/coverage.txt
"""

import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special, stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from l2study.tables import dose_response as dose
from l2study.tables import statistics
from l2study.tables.choice import Choice
from l2study.tables.crossed import grand_mean
from l2study.tables.gain import counting_choice, regret
from l2study.tables.image_intervals import spread_of, wide_mean
from l2study.tables.rounds import rounds
from l2study.tables.spread import pooled_sd
from l2study.tables.variance import component_sources, components

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
STUDIES = 2000
SHAPES = {"normal": stats.norm(), "t(5)": stats.t(5), "Laplace": stats.laplace(),
          "gamma(4)": stats.gamma(4), "uniform": stats.uniform()}  # fmt: skip

CHOSEN = ((0.0,) * 5, (0.0, 0.3, 0.9, 1.1, 1.0), (0.0, 0.5, 1.5, 3.0, 1.0), (0.0,) * 13)
"""The accuracies at the lambdas of made-up studies, in standard deviations of a run."""


GROUP_SIZES = {
    "equal": lambda draw, count: np.full(count, 20),
    "uneven": lambda draw, count: draw.integers(5, 60, count),
    "lognormal": lambda draw, count: np.ceil(20 * np.exp(0.8 * draw.normal(size=count))).astype(
        int
    ),
}
"""How many images each of so many groups has."""


def covered(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    """Return the share of intervals that hold the truth."""
    return float(np.mean((low <= truth) & (truth <= high)))


def variances(n: int, shape: str) -> dict[str, float]:
    """Return the coverage of intervals of a variance over n runs."""
    table = SHAPES[shape].rvs(size=(STUDIES, n), random_state=2)
    truth = SHAPES[shape].var()
    bonett = statistics.variance_interval(table, 0.95)
    squares = (n - 1) * table.var(axis=1, ddof=1)
    upper, lower = stats.chi2.ppf([0.975, 0.025], n - 1)
    logs = np.log(table.var(axis=1, ddof=1))
    without = [np.delete(table, place, axis=1).var(axis=1, ddof=1) for place in range(n)]
    pseudo = n * logs - (n - 1) * np.log(without)
    half = stats.t.ppf(0.975, n - 1) * pseudo.std(axis=0, ddof=1) / math.sqrt(n)
    centre = pseudo.mean(axis=0)
    return {
        "Bonett (used)": covered(bonett.low, bonett.high, truth),
        "chi-square": covered(squares / upper, squares / lower, truth),
        "jackknife": covered(centre - half, centre + half, math.log(truth)),
    }


def pooled(seeds: int, sds: tuple[float, ...], correlation: float) -> dict[str, float]:
    """Return the coverage of intervals of a standard deviation pooled over lambdas."""
    lambdas, truth = len(sds), math.sqrt(np.mean(np.square(sds)))
    root = np.linalg.cholesky(correlation + (1 - correlation) * np.eye(lambdas))
    draw = np.random.default_rng(3).standard_normal((STUDIES, lambdas, seeds))
    found = {"Box (used)": 0, "as if independent and alike": 0}
    for values in root @ draw * np.reshape(sds, (-1, 1)):
        own = pooled_sd(values, 0.95)
        found["Box (used)"] += int(own.low <= truth <= own.high)
        df = lambdas * (seeds - 1)
        low, high = own.sd * np.sqrt(df / stats.chi2.ppf([0.975, 0.025], df))
        found["as if independent and alike"] += int(low <= truth <= high)
    return {name: count / STUDIES for name, count in found.items()}


def equal_variances(n: int, shape: str) -> dict[str, float]:
    """Return the level of 5 % tests that paired values have equal variances, which they have."""
    draw = SHAPES[shape].rvs(size=(3, STUDIES, n), random_state=6)
    first, second = draw[:2] + 0.7 * draw[2]
    p_t = stats.pearsonr(first + second, first - second, axis=1).pvalue
    return {
        "exchange (used)": float(np.mean(statistics.equal_variances(first, second) < 0.05)),
        "Pitman and Morgan's t": float(np.mean(p_t < 0.05)),
    }


def right_answers(seeds: int, lower: float, studies: int = 300) -> dict[str, float]:
    """Return the coverage of intervals of an accuracy for other seeds and other images.

    Right and wrong answers to 5,000 images by a logistic model with the components of variance of
    the default study without L2; with a `lower` logit at a second lambda, of a paired difference.
    """
    logit, difficulty, of_seed, images = 17.0, 8.0, 0.15, 5000
    draw = np.random.default_rng([seeds, int(lower)])

    def expected(mean: float) -> float:
        points = np.linspace(-9, 9, 20_001)
        right = special.expit(mean + math.hypot(difficulty, of_seed) * points)
        return float(np.trapezoid(right * stats.norm.pdf(points), points))

    truth = expected(logit) - (expected(logit - lower) if lower else 0.0)
    found = {"seeds and images (used)": 0, "seeds alone": 0}
    for _ in range(studies):
        logits = logit + difficulty * draw.normal(size=images)
        shifts = of_seed * draw.normal(size=(seeds, 1))
        table = (draw.random((seeds, images)) < special.expit(logits + shifts)).astype(float)
        if lower:
            other = 0.5 * shifts + math.sqrt(0.75) * of_seed * draw.normal(size=(seeds, 1))
            table -= draw.random((seeds, images)) < special.expit(logits - lower + other)
        values = table.mean(axis=1)
        means = wide_mean(values, [(1.0, spread_of(table))]), statistics.mean_of(values)
        for name, mean in zip(found, means, strict=True):
            ends = mean.interval(0.95)
            found[name] += int(ends.low <= truth <= ends.high)
    return {name: count / studies for name, count in found.items()}


def grouped(seeds: int, groups: int, sizes: str, studies: int = STUDIES) -> dict[str, float]:
    """Return the coverage of intervals of a mean for other seeds and other groups of images.

    Groups, images, seeds, seeds by groups and the rest add variances 0.1, 0.5, 0.002, 0.02 and 0.4.
    Every group has 20 images, or they have from 5 to 59, or by a lognormal law about 20.
    """
    draw = np.random.default_rng([seeds, groups, list(GROUP_SIZES).index(sizes)])
    sds = np.sqrt([0.1, 0.5, 0.002, 0.02, 0.4])
    held = {"groups (used)": 0, "number of groups less one": 0, "images as if independent": 0}
    for _ in range(studies):
        group = np.repeat(range(groups), GROUP_SIZES[sizes](draw, groups))
        group = np.unique(group, return_inverse=True)[1]
        shape = (seeds, len(group))
        table = sds[0] * draw.normal(size=groups)[group] + sds[1] * draw.normal(size=len(group))
        table = table + sds[2] * draw.normal(size=(seeds, 1)) + sds[4] * draw.normal(size=shape)
        table += sds[3] * draw.normal(size=(seeds, groups))[:, group]
        own, values = spread_of(table, group), table.mean(axis=1)
        ratio = (1 - 1 / own.groups) * groups / (groups - 1)
        plain = own._replace(groups=groups, image=own.image * ratio, rest=own.rest * ratio)
        for name, spread in zip(held, (own, plain, spread_of(table)), strict=True):
            ends = wide_mean(values, [(1.0, spread)]).interval(0.95)
            held[name] += int(ends.low <= 0 <= ends.high)
    return {name: count / studies for name, count in held.items()}


def two_sources(variances: tuple[float, float, float], studies: int = 500) -> dict[str, float]:
    """Return the coverage of intervals of the components of a design of 4 x 4 runs."""
    draw, sources = np.random.default_rng(11), ("weights", "order")
    sds, counts = np.sqrt(variances), dict.fromkeys(component_sources(sources), 0)
    truth = dict(zip(counts, (*variances, sum(variances)), strict=True))
    for _ in range(studies):
        values = sds[0] * draw.normal(size=(4, 1)) + sds[1] * draw.normal(size=4)
        for part in components(values + sds[2] * draw.normal(size=(4, 4)), sources, 0.95):
            counts[part.source] += int(part.low <= truth[part.source] <= part.high)
    return {name: count / studies for name, count in counts.items()}


def crossed_mean(shape: tuple[int, ...], effect: float, rest: float) -> dict[str, float]:
    """Return the coverage of intervals of the mean of a crossed design, whose sources are alike."""
    draw, counts = np.random.default_rng(5), {"mean squares (used)": 0, "runs that share none": 0}
    counts |= {"as if independent": 0}
    for _ in range(STUDIES):
        values = rest * draw.standard_normal(shape)
        for axis, count in enumerate(shape):
            values += effect * draw.standard_normal(
                [count if axis == own else 1 for own in range(len(shape))]
            )
        diagonal = [values[(place,) * len(shape)] for place in range(min(shape))]
        means = grand_mean(values), *map(statistics.mean_of, (diagonal, values.ravel()))
        for name, mean in zip(counts, means, strict=True):
            ends = mean.interval(0.95)
            counts[name] += int(ends.low <= 0 <= ends.high)
    return {name: count / STUDIES for name, count in counts.items()}


def looking(needed: int) -> dict[str, float]:
    """Return the coverage of intervals of a study whose seeds are added until one is narrow."""
    half_width, held, student = 1.96 / math.sqrt(needed), 0, 0
    for values in np.random.default_rng(0).standard_normal((STUDIES, 200)):
        wanted, over = rounds({"a": values}, half_width, 200, 0.95)
        last, own = over[-1].cells["a"], statistics.mean_interval(values[:wanted], 0.95)
        held += int(abs(last.mean) <= last.half_width)
        student += int(own.low <= 0 <= own.high)
    return {"largest spread (used)": held / STUDIES, "Student": student / STUDIES}


def chosen(truth: Sequence[float], seeds: int = 10, studies: int = 400) -> dict[str, float]:
    """Return the coverage of intervals of what the chosen lambda adds over the first one, and the
    mean of the expected regret over the true one, of choosing by all seeds and by one.

    `truth` is the accuracy at each lambda in standard deviations of a run. What makes a run good in
    validation makes it good in the test, too: their correlation is 0.7.
    """
    draw, truth = np.random.default_rng(13), np.array(truth)
    lambdas = [float(place) for place in range(len(truth))]
    held, found, true = {"counts the choice (used)": 0, "Student": 0}, [], []
    for _ in range(studies):
        noise = draw.normal(size=(3, len(truth), seeds))
        validation = truth[:, None] + noise[0]
        tested = truth[:, None] + 0.7 * noise[0] + math.sqrt(0.51) * noise[1]
        index = pd.MultiIndex.from_product([lambdas, range(seeds)], names=["l2", "seed"])
        columns = {"val_ce": -validation.ravel(), "test_accuracy": tested.ravel()}
        runs = pd.DataFrame(columns, index).reset_index().assign(status="completed")
        own = Choice(runs, "val_ce")
        right = truth[int(own.best)] - truth[0]
        student = own.difference("test_accuracy", own.best, 0.0, own.widest).interval(0.95)
        for name, ends in zip(
            held, (counting_choice(own, "test_accuracy", 0.0, 0.95), student), strict=True
        ):
            held[name] += int(ends.low <= right <= ends.high)
        found.append(regret(own, "test_accuracy"))
        alone = truth[validation.argmax(axis=0)]
        true.append((truth.max() - truth[int(own.best)], truth.max() - alone.mean()))
    shares = {name: count / studies for name, count in held.items()}
    for name, estimate, real in zip(
        ("regret", "regret of one seed"), np.mean(found, axis=0), np.mean(true, axis=0), strict=True
    ):
        shares |= {
            f"{name}, estimated": estimate,
            "true" if "one" not in name else "true of one": real,
        }
    return shares


def left_out(study: str, setups: slice = slice(None)) -> dict[str, list[dose.Cell]]:
    """Return what is left out of set-ups of a reference, in the order of their names, by measure.

    Predictions are not kept there, so the bands are for other seeds alone.
    """
    runs = pd.read_csv(REFERENCE / study / "tables" / "runs.csv")
    found = {measure: [] for measure in dose.DOSE_MEASURES}
    for setup in sorted(set(runs["setup"]))[setups]:
        for measure, cells in found.items():
            table = runs[runs["setup"] == setup].pivot(index="seed", columns="l2", values=measure)
            cells += dose.left_out(dose.points(measure, table.dropna(), 0.95))
    return found


def bands(study: str, factor: float, setups: slice = slice(None)) -> dict[str, float]:
    """Return the coverage of bands with this factor of the bound of their own error."""
    used, dose.CURVATURE = dose.CURVATURE, factor
    cells = left_out(study, setups)
    dose.CURVATURE = used
    return {measure: dose.checked(own).covered for measure, own in cells.items()}


def smallest_factor(study: str, setups: slice) -> float:
    """Return the smallest multiple of 1/4 with which the bands of every measure cover 95 %."""
    factors = (quarters / 4 for quarters in itertools.count())
    return next(f for f in factors if min(bands(study, f, setups).values()) >= 0.95)


def show(what: str, found: dict[str, float]) -> None:
    """Print a line of shares."""
    print(f"{what:36}", "  ".join(f"{name} {share:.3f}" for name, share in found.items()))


def curves() -> None:
    """Print the coverage of bands of curves, on what their factor was chosen by and elsewhere."""
    print("Bands of curves over lambda: share that has a mean that was left out")
    halves = {"set-ups 1, 3, 5 ...": slice(0, None, 2), "set-ups 2, 4, 6 ...": slice(1, None, 2)}
    for (own, half), (other, rest) in itertools.permutations(halves.items(), 2):
        factor = smallest_factor("when-it-helps", half)
        show(f"  factor {factor} by {own}", bands("when-it-helps", factor, half))
        show(f"  factor {factor} on {other}", bands("when-it-helps", factor, rest))
    for study in ("robustness", "lenet", "mnist", "mnist1d", "tabular"):
        show(f"  factor {dose.CURVATURE} on {study}", bands(study, dose.CURVATURE))


def main() -> None:
    """Print every table; it takes some minutes."""
    print("Intervals of a variance: share that covers it")
    for n in (5, 7, 10, 30):
        for shape in SHAPES:
            show(f"  {n} values, {shape}", variances(n, shape))
    print("Intervals of a standard deviation pooled over 5 lambdas: share that covers it")
    for seeds in (5, 7, 10):
        for sds, name in (((1.0,) * 5, "alike"), ((0.08, 0.09, 0.1, 0.11, 0.22), "unlike")):
            for correlation in (0.0, 0.5, 0.8):
                what = f"  {seeds} seeds, {name}, correlation {correlation}"
                show(what, pooled(seeds, sds, correlation))
    print("Tests of equal variances of 10 pairs: share below 0.05 though they are equal")
    for shape in ("normal", "t(5)", "Laplace"):
        show(f"  {shape}", equal_variances(10, shape))
    print("Intervals of an accuracy and of a paired difference of two: share that covers it")
    for seeds, lower in itertools.product((5, 10), (0.0, 1.0)):
        name = "difference" if lower else "accuracy"
        show(f"  {seeds} seeds, {name}", right_answers(seeds, lower))
    print("Intervals of a mean for other seeds and other groups of images: share that covers it")
    for design in itertools.product((5, 10), (5, 10, 20, 50), GROUP_SIZES):
        show("  {} seeds, {} groups, {}".format(*design), grouped(*design))
    print("Intervals of components of variance of 4 x 4 runs: share that covers it")
    for variances_of in ((0.7, 0.1, 0.2), (0.02, 0.02, 0.96), (0, 0.2, 0.8)):
        show(f"  {variances_of}", two_sources(variances_of))
    print("Intervals of the mean of a crossed design: share that covers it")
    for shape in ((4, 4), (3, 5), (4, 4, 4), (2, 3, 4), (2, 3, 2, 3)):
        for effect, rest in ((1.0, 1.0), (1.0, 0.3), (0.3, 1.0), (0.0, 1.0)):
            show(f"  {shape}, sources {effect}, rest {rest}", crossed_mean(shape, effect, rest))
    curves()
    print("Intervals of what the chosen lambda adds: share that covers it; regret, in sd of a run")
    for truth in CHOSEN:
        show(f"  {truth}", chosen(truth))
    print("Intervals of a mean, of seeds added until they are narrow: share that covers it")
    for needed in (12, 20, 40):
        show(f"  {needed} seeds needed", looking(needed))


if __name__ == "__main__":
    main()
