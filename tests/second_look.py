"""Every deciding row of a claims table, computed again from the files of the runs.

With pandas and scipy alone, and nothing of the project's code: so that ledger, tables and code
cannot drift apart unseen.
"""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

GAPS = {
    "gap_reported": "train_accuracy_running - val_accuracy",
    "gap_lag": "train_accuracy_running - train_accuracy",
    "gap_generalisation": "train_accuracy - test_accuracy",
    "gap_split": "test_accuracy - val_accuracy",
    "gap_endpoint": "train_accuracy - val_accuracy",
}


IMAGES = {
    "val_accuracy": {("right", "val"): 1},
    "test_accuracy": {("right", "test"): 1},
    "val_ce": {("ce", "val"): 1},
    "test_ce": {("ce", "test"): 1},
    "gap_reported": {("right", "val"): -1},
    "gap_generalisation": {("right", "test"): -1},
    "gap_split": {("right", "test"): 1, ("right", "val"): -1},
    "gap_endpoint": {("right", "val"): -1},
    "test_accuracy_best": {("right", "test@best"): 1},
}
"""What is added up over which images, and how."""

WIDE = "seeds and images"


class Runs:
    """The files of a study's runs."""

    def __init__(self, results):
        self.histories, self.measures, self.completed = {}, {}, {}
        for path in results.glob("runs/*/*/run.json"):
            record = json.loads(path.read_text())
            run = (float(record["l2"]), record["seed"])
            self.completed[run] = record["status"] == "completed"
            self.histories[run] = pd.read_csv(path.with_name("history.csv"))
        for path in results.glob("measures/*.json"):
            content = json.loads(path.read_text())
            for seed, found in content["runs"].items():
                self.measures[float(content["l2"]), int(seed)] = found["measures"]
        self.lambdas = sorted({l2 for l2, _ in self.histories})
        self.last = max(history["epoch"].max() for history in self.histories.values())
        self.predictions = {}
        for path in results.glob("measures/*.predictions.npz"):
            l2 = float(path.name.removesuffix(".predictions.npz").removeprefix("l2~"))
            with np.load(path) as arrays:
                for name in arrays:
                    seed, part, field = name.removeprefix("seed~").split("/")
                    self.predictions[l2, int(seed), part, field] = arrays[name]

    def part(self, part, epoch):
        """Return what the predictions of a part after an epoch are called."""
        last = epoch is None or epoch == self.last or "@" in part
        return part if last else f"{part}@{epoch}"

    def of_images(self, what, l2, seeds, epoch):
        """Return what is said of every image of a part, with a row for every seed."""
        quantity, part = what[0], self.part(what[1], epoch)
        found = []
        for seed in seeds:
            label, predicted, probability = (
                self.predictions[l2, seed, part, field]
                for field in ("label", "predicted", "probability")
            )
            right, ce = (
                1.0 * (label == predicted),
                -np.log(np.maximum(probability, np.finfo("f4").tiny, dtype=float)),
            )
            found.append(right if quantity == "right" else ce)
        return np.stack(found)

    def of(self, measure, l2, epoch=None):
        """Return a measure of the completed runs of one lambda, by seed."""
        runs = [run for run, completed in self.completed.items() if run[0] == l2 and completed]
        if measure in ("val_ce_rise", "val_loss_rise"):
            return self.rise(measure.removesuffix("_rise"), sorted(runs))
        return pd.Series({run[1]: self.one(measure, run, epoch) for run in runs}, dtype=float)

    def one(self, measure, run, epoch):
        history = self.histories[run].set_index("epoch")
        row = history.loc[history.index.max() if epoch is None else epoch]
        if measure in history:
            return row[measure]
        if measure in GAPS:
            return history.eval(GAPS[measure])[row.name]
        if measure in self.measures[run]:
            return self.measures[run][measure]
        if measure == "start_loss":
            return history.loc[0, "train_loss"]
        if measure == "first_running_loss":
            return history.loc[1, "train_loss_running"]
        if measure.startswith("accuracy_lost_"):
            sd = measure.removeprefix("accuracy_lost_")
            return row["test_accuracy"] - self.measures[run][f"test_accuracy_noise_{sd}"]
        if measure.endswith("_best"):
            return history.loc[history["val_ce"].idxmin(), measure.removesuffix("_best")]
        raise AssertionError(f"say how {measure} is computed")

    def rise(self, column, runs):
        """Each half of the seeds looks for the minimum in the mean curve of the other half."""
        curves = pd.DataFrame(
            {run[1]: self.histories[run].query("epoch > 0")[column].to_numpy() for run in runs}
        )
        smooth = curves.rolling(3).mean().dropna().reset_index(drop=True)
        rises = {}
        for half in (0, 1):
            own, other = list(smooth)[half::2], list(smooth)[1 - half :: 2]
            mean = smooth[other].mean(axis=1)
            place = max(np.flatnonzero(np.isclose(mean, mean.min(), rtol=0, atol=1e-12)))
            rises |= (smooth[own].iloc[-1] - smooth[own].iloc[place]).to_dict()
        return pd.Series(rises)

    def largest_error_of_the_penalty(self, l2):
        worst = 0.0
        for run in (run for run in self.histories if run[0] == l2):
            history = self.histories[run]
            for part in ("train", "val"):
                loss = history[f"{part}_loss"]
                error = loss - history[f"{part}_ce"] - l2 * history["weight_norm"] ** 2
                worst = max(worst, (error.abs() / loss.clip(lower=1)).max())
        return worst


def interval(values, confidence):
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return (values.mean() if len(values) else math.nan), math.nan, math.nan
    if np.ptp(values) == 0:
        return (values.iloc[0],) * 3
    return values.mean(), *stats.t.interval(
        confidence, len(values) - 1, values.mean(), stats.sem(values)
    )


def wide_interval(values, tables, confidence):
    """Return mean and interval for other seeds and images, by sums of squares written out.

    The tables have a row for each seed of `values` and a column for each image.
    """
    value, low, high = interval(values, confidence)
    seeds = len(values)
    of_seeds = stats.sem(values) ** 2
    variance, spread, least = of_seeds, of_seeds**2 / (seeds - 1), seeds - 1
    for coefficient, table in tables:
        images, mean = table.shape[1], table.mean()
        by_image, by_seed = table.mean(axis=0), table.mean(axis=1)
        of_images = seeds * ((by_image - mean) ** 2).sum() / (images - 1)
        left = ((table - by_image[None, :] - by_seed[:, None] + mean) ** 2).sum()
        left /= (seeds - 1) * (images - 1)
        if of_images > left:
            unit = coefficient**2 / (seeds * images)
            variance += unit * (of_images - left)
            spread += (unit * of_images) ** 2 / (images - 1)
            spread += (unit * left) ** 2 / ((seeds - 1) * (images - 1))
            least = min(least, images - 1)
    if variance == 0:
        return value, value, value
    half = stats.t.ppf((1 + confidence) / 2, max(variance**2 / spread, least)) * variance**0.5
    half = max(half, (high - low) / 2)
    return value, value - half, value + half


def of_images(row):
    """Return whether a row can be for other images."""
    return row["measure"] in IMAGES and row["statistic"] in ("mean", "difference")


def values_of(runs, row):
    """Return the values of every seed, of a mean or a difference, and the lambdas behind them."""
    epoch = None if pd.isna(row["epoch"]) else int(row["epoch"])
    values, lambdas = runs.of(row["measure"], row["l2"], epoch), [row["l2"]]
    if row["statistic"] == "difference":
        values = values - runs.of(row["measure"], row["against"], epoch)
        lambdas.append(row["against"])
    return values[np.isfinite(values)], lambdas, epoch


def estimate(runs, row, confidence):
    """Return estimate, ends of the interval, and on which side of the bounds it is."""
    above = -math.inf if pd.isna(row["above"]) else row["above"]
    below = math.inf if pd.isna(row["below"]) else row["below"]
    epoch = None if pd.isna(row["epoch"]) else int(row["epoch"])
    measure, l2, against = row["measure"], row["l2"], row["against"]
    match row["statistic"]:
        case "largest":
            assert measure == "penalty_error"
            value = runs.largest_error_of_the_penalty(l2)
            return value, math.nan, math.nan, "within" if value < below else "outside"
        case "trend":
            table = pd.DataFrame({x: runs.of(measure, x, epoch) for x in runs.lambdas})
            table = table.dropna(axis=1, how="all").dropna()
            ranks = [stats.spearmanr(list(table), values).statistic for values in table.to_numpy()]
            order = np.argsort(list(table)) + 1
            up, down = (
                stats.page_trend_test(table.to_numpy(), predicted_ranks=o).pvalue
                for o in (order, order[::-1])
            )
            agrees, differs = (up, down) if math.isfinite(above) else (down, up)
            side = "within" if agrees < (1 - confidence) / 2 else "open"
            side = "outside" if differs < (1 - confidence) / 2 else side
            return np.mean(ranks), math.nan, math.nan, side
        case "mean" | "difference":
            values, lambdas, epoch = values_of(runs, row)
            if row["scope"] == "seeds":
                value, low, high = interval(values, confidence)
            else:
                tables = [
                    (c, np.subtract(*at) if len(at) == 2 else at[0])
                    for what, c in IMAGES[measure].items()
                    for at in [[runs.of_images(what, x, values.index, epoch) for x in lambdas]]
                ]
                value, low, high = wide_interval(values, tables, confidence)
        case "ratio":
            pairs = np.log(runs.of(measure, l2, epoch) / runs.of(measure, against, epoch))
            value, low, high = np.exp(interval(pairs, confidence))
    if low > above and high < below:
        return value, low, high, "within"
    return value, low, high, "outside" if high <= above or low >= below else "open"


def can_be_wide(runs, row):
    """Return whether every prediction is kept that a row for other images needs."""
    values, lambdas, epoch = values_of(runs, row)
    return all(
        (l2, seed, runs.part(part, epoch), "label") in runs.predictions
        for l2 in lambdas
        for seed in values.index
        for _, part in IMAGES[row["measure"]]
    )


def in_one_scope(runs, rows):
    """Return the deciding rows of a claim, all for other images if all of such means can be."""
    means = [row for row in rows if of_images(row) and len(values_of(runs, row)[0])]
    narrow = [row for row in rows if row["measure"] in IMAGES and not of_images(row)]
    wide = means and not narrow and all(can_be_wide(runs, row) for row in means)
    return [row | {"scope": WIDE if wide and row in means else "seeds"} for row in rows]


def judged(runs, rows, confidence):
    """Return what a claim comes to by its deciding rows: of its figure, and of its conclusion."""
    wider, words = 1 - (1 - confidence) / len(rows), {"figure": [], "conclusion": []}
    for row in rows:
        sides = {estimate(runs, row, level)[3] for level in (confidence, wider)}
        # outside needs the wider interval; a note says what holds a row back
        side = "within" if "within" in sides else "open" if "open" in sides else "outside"
        words[row["decides"]].append("open" if row["note"] else side)
    return _said(words["figure"], "yes", "no"), _said(words["conclusion"], "holds", "fails")


def _said(sides, within, outside):
    if not sides:
        return None
    return outside if "outside" in sides else "open" if "open" in sides else within


def check(results, confidence):
    """Hold every deciding row of a study against what its runs say; return how many there are."""
    runs = Runs(results)
    claims = pd.read_csv(results / "tables" / "claims.csv")
    claims = claims.astype(object).where(claims.notna(), None)
    count = 0
    for _, own in claims.groupby("id", sort=False):
        *rows, whole = own.to_dict("records")
        also = [row for row in rows if row["estimand"].startswith("the same rules after epoch ")]
        deciding = [row for row in rows if row["decides"] in ("figure", "conclusion")]
        assert whole["estimand"] == "overall"
        missing = [row for row in deciding if row["verdict"] == "not judged"]
        if missing:
            words = {whole["conclusion"] if row["decides"] == "conclusion" else
                     whole["figure_found"] for row in missing}  # fmt: skip
            assert words == {"not judged"}
            continue
        count += len(deciding)
        _rows(runs, deciding, confidence)
        assert (whole["figure_found"], whole["conclusion"]) == judged(runs, deciding, confidence)
        scopes = {row["scope"] for row in deciding}
        assert whole["scope"] == (WIDE if WIDE in scopes else "seeds")
        alone = [row | {"scope": "seeds"} for row in deciding]
        by_seeds = judged(runs, alone, confidence)
        assert (whole["figure_found_seeds"], whole["conclusion_seeds"]) == by_seeds
        _after(runs, deciding, also, whole, by_seeds, confidence)
    return count


def _rows(runs, deciding, confidence):
    """Check the deciding rows of a claim."""
    assert deciding == in_one_scope(runs, deciding)
    wider = 1 - (1 - confidence) / len(deciding)
    chosen = min(runs.lambdas, key=lambda l2: runs.of("val_ce", l2).mean())
    for row in deciding:
        value, low, high, side = estimate(runs, row, confidence)
        *_, low_wider, high_wider, side_wider = estimate(runs, row, wider)
        found = [row[name] for name in ("estimate", "low", "high", "low_adjusted", "high_adjusted")]
        expected = [value, low, high, low_wider, high_wider]
        found = [math.nan if one is None else one for one in found]
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), row["estimand"]
        side = side if side == "within" else "outside" if side_wider == "outside" else "open"
        assert row["verdict"] == ("open" if row["note"] else side), row
        if row["at"]:
            expected = {"chosen": chosen, "largest": max(runs.lambdas), "every": row["l2"]}
            assert row["l2"] == expected[row["at"]]


def _after(runs, deciding, also, whole, by_seeds, confidence):
    """Check what is said of a claim by the same rules after other epochs."""
    changed = set()
    for row in also:
        epoch = int(row["estimand"].rpartition(" ")[2])
        then = [one | {"epoch": epoch if one["epoch"] else one["epoch"]} for one in deciding]
        then = in_one_scope(runs, then)
        if whole["scope"] == "seeds":
            then = [one | {"scope": "seeds"} for one in then]
        found = judged(runs, then, confidence)
        assert (row["figure_found"], row["conclusion"]) == found
        wide = WIDE in {one["scope"] for one in then}
        here = (whole["figure_found"], whole["conclusion"]) if wide else by_seeds
        for one, other in zip(here, found, strict=True):
            opposite = {one, other} in ({"yes", "no"}, {"holds", "fails"})
            changed.add("yes" if opposite else "open" if "open" in (one, other) else "no")
    expected = next((word for word in ("yes", "open", "no") if word in changed), None)
    assert whole["changes_with_epoch"] == expected
