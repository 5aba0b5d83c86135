"""Laws as numbers that are 1 where they hold: against made-up runs, and against SGD by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from l2study.core.design import Setup
from l2study.tables import laws, statistics

SGD = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 50, "epochs": 30}
NETWORK = {"hidden_units": [8], "activation": "relu", "regularize_output": True}
DECOUPLED = NETWORK | {"regularizer": "decoupled"}

HISTORIES = pd.DataFrame(
    {
        "l2": [0.0] * 4 + [0.01] * 4,
        "seed": 7,
        "epoch": [0, 1, 2, 4] * 2,
        "val_accuracy": [0.1, 0.9, 0.9, 0.8, 0.1, 0.5, 0.6, 0.7],
    }
)


def setup_of(model=NETWORK, **training):
    return Setup.of({"model": dict(model), "training": SGD | training})


def descent(l2, rate, steps):
    """Return what one hidden ReLU layer without biases has after full-batch gradient descent.

    The loss is half a squared error; the last two inputs are never lit.
    """
    draw = np.random.default_rng(0)
    x = np.hstack([draw.normal(size=(20, 3)), np.zeros((20, 2))])
    y = draw.normal(size=(20, 2))
    first, second = draw.normal(size=(5, 8)), 0.3 * draw.normal(size=(8, 2))
    for _ in range(steps):
        hidden = np.maximum(x @ first, 0)
        error = (hidden @ second - y) / len(x)
        of_first = x.T @ ((error @ second.T) * (hidden > 0)) + 2 * l2 * first
        of_second = hidden.T @ error + 2 * l2 * second
        first, second = first - rate * of_first, second - rate * of_second
    norm_in, norm_out = np.linalg.norm(first), np.linalg.norm(second)
    return {
        "weight_norm_never_lit": np.linalg.norm(first[3:]),
        "output_kernel_norm": norm_out,
        "norm_product": norm_in * norm_out,
    }


@pytest.fixture(scope="module")
def runs():
    about = {"seed": 7, "status": "completed"}
    rows = [{"l2": l2} | about | descent(l2, 0.001, 3000) for l2 in (0.0, 0.01, 0.1, 0.5)]
    return pd.DataFrame(rows)


def by_lambda(table, name):
    return table.set_index("l2")[name].to_dict()


def test_gradient_descent_obeys_the_laws_of_weights(runs):
    setup = setup_of(learning_rate=0.001, epochs=100)
    found = laws.with_laws(HISTORIES, runs, setup, 1490)  # 30 batches of 50, the last one smaller
    decay, balance = by_lambda(found, "never_lit_decay"), by_lambda(found, "balance_decay")
    assert math.isnan(decay[0]) and math.isnan(balance[0])
    assert [decay[l2] for l2 in (0.01, 0.1, 0.5)] == pytest.approx([1, 1, 1], abs=1e-9)
    # a step is no flow: the law is exact for small steps
    assert [balance[l2] for l2 in (0.01, 0.1)] == pytest.approx([1, 1], abs=0.01)
    assert math.isnan(balance[0.5])  # exp(-6) is left, less than `LEAST_BALANCE`
    assert found["never_lit_left"].isna().all()


@pytest.mark.parametrize(
    ("change", "has"),
    [
        ({}, {"never_lit_decay", "balance_decay"}),
        ({"momentum": 0.9}, set()),
        ({"learning_rate": {"name": "cosine_decay"}}, set()),
        ({"optimizer": "adam"}, {"never_lit_left"}),
        ({"optimizer": "adam", "model": DECOUPLED}, {"never_lit_decay"}),
        ({"model": NETWORK | {"hidden_units": [8, 8]}}, {"never_lit_decay"}),
        ({"model": {"build": "mine.py:net"}}, {"never_lit_decay"}),
    ],
)
def test_a_law_is_asked_only_of_what_it_is_about(runs, change, has):
    found = laws.with_laws(HISTORIES, runs, setup_of(**{"epochs": 2} | change), 1500)
    there = found[["never_lit_decay", "never_lit_left", "balance_decay"]].notna().any()
    assert set(there.index[there]) == has


def test_the_epoch_of_the_highest_validation_accuracy_is_the_first_such(runs):
    def highest_at(histories, **training):
        found = laws.with_laws(histories, runs, setup_of(**training), 1500)
        return by_lambda(found, "val_accuracy_max_epoch")

    later = pd.DataFrame({"l2": 0.0, "seed": 7, "epoch": range(5, 12), "val_accuracy": 0.2})
    histories = pd.concat([HISTORIES, later])
    epochs = highest_at(histories)
    assert (epochs[0], epochs[0.01]) == (1, 4) and math.isnan(epochs[0.5])
    # none where it may be later, or where Adam or a schedule sets the time scale
    assert math.isnan(highest_at(histories[histories["epoch"] < 11])[0])
    for training in ({"optimizer": "adam"}, {"learning_rate": {"name": "cosine_decay"}}):
        assert math.isnan(highest_at(histories, **training)[0])


def test_without_the_number_of_rows_or_lambda_0_there_is_no_law(runs):
    assert laws.with_laws(HISTORIES, runs, setup_of(), None)["never_lit_decay"].isna().all()
    above = runs[runs["l2"] > 0]
    assert laws.with_laws(HISTORIES, above, setup_of(), 1500)["never_lit_decay"].isna().all()


@pytest.mark.parametrize("lambdas", [1, 3])
@pytest.mark.parametrize("shared", [0.0, 0.4])
def test_errors_that_are_independent_have_a_ratio_of_one(lambdas, shared):
    """And one above where the runs of a seed are good or bad about all images alike."""
    draw, found, covered = np.random.default_rng(0), [], 0
    hard = draw.beta(0.5, 5, size=300)
    odds = np.log(hard / (1 - hard))
    for _ in range(250):
        chance = 1 / (1 + np.exp(-(odds + shared * draw.normal(size=(1, 12, 1)))))
        # two lambdas have half of the draws of a seed in common
        own, common = draw.random((lambdas, 12, 300)), draw.random((12, 300))
        drawn = np.where(draw.random((lambdas, 12, 300)) < 0.5, own, common)
        estimate = laws.independent_errors((drawn > chance).astype(float), 0.95)
        found.append(estimate.value)
        covered += estimate.low <= 1 <= estimate.high
    if shared:
        assert np.mean(found) > 1.8 and covered < 225
    else:
        assert np.mean(found) == pytest.approx(1, abs=0.05) and 0.92 <= covered / 250 <= 0.98


def test_seeds_of_different_quality_widen_the_interval_of_a_disagreement():
    """Five runs that answer at random for a share of the images, which differs between runs."""
    draw, found = np.random.default_rng(2), []
    for _ in range(250):
        cumulative = draw.dirichlet([4, 1, 1], size=3000).cumsum(axis=1)
        label = (draw.random(3000)[:, None] > cumulative).sum(axis=1)
        drawn = (draw.random((5, 3000))[:, :, None] > cumulative).sum(axis=2)
        share = np.clip(0.2 + 0.15 * draw.normal(size=(5, 1)), 0, 1)
        guess = draw.integers(0, 3, size=(5, 3000))
        predicted = np.where(draw.random((5, 3000)) < share, guess, drawn)
        found.append(laws.disagreement(predicted[None], label, 0.95))
    truth = np.exp(np.mean([np.log(estimate.value) for estimate in found]))
    covered = np.mean([estimate.low <= truth <= estimate.high for estimate in found])
    assert 0.92 <= covered <= 0.98


def test_disagreement_by_hand():
    predicted = np.array([[0, 1, 1, 2], [0, 1, 2, 2], [1, 1, 1, 2]])
    # pairs disagree about 1, 1 and 2 images of 4; the runs err on 1, 2 and 2
    found = laws.disagreement(predicted[None], np.array([0, 1, 1, 0]), 0.95)
    assert found.value == pytest.approx((4 / 12) / (5 / 12)) and found.n == 3
    assert found.low < found.value < found.high
    # with a second lambda at which all runs agree, and err on 2 images
    both = np.stack([predicted, np.tile([0, 1, 2, 2], (3, 1))])
    assert laws.disagreement(both, np.array([0, 1, 1, 0]), 0.95).value == pytest.approx(4 / 11)


def test_slopes_are_those_of_powers_of_lambda():
    cells = {
        l2: pd.DataFrame({"x": [5 * l2**-1.0, 2 * l2**0.5, -1.0] if l2 else [9.0] * 3}, [0, 1, 2])
        for l2 in (0.0, 0.001, 0.01, 0.1)
    }
    assert laws.slopes(cells, "x").to_dict() == pytest.approx({0: -1, 1: 0.5})
    assert laws.slopes({0.1: cells[0.1]}, "x").empty


GRID = [0.0, *(float(f"{one}e{power}") for power in range(-6, 0) for one in (1, 3))]
SIZES = [500, 2000, 10_000, 54_000]


def sized(rows, exponent=1.0, shift=0.0, seeds=5, sign=1):
    """Return runs whose measure is a parabola near lambda 5 / rows^exponent, where it is lowest."""
    best = math.log10(5) - exponent * math.log10(rows) + shift
    place = np.log10([1e-9, *GRID[1:]])
    far = place - best
    curve = 0.3 + 0.05 * np.where(np.abs(far) < 1.5, far**2, 3 * np.abs(far) - 2.25)
    cells = [pd.DataFrame({"val_ce": [y] * seeds, "val_accuracy": y}) for y in sign * curve]
    return laws.Sized(rows, dict(zip(GRID, cells, strict=True)))


@pytest.mark.parametrize(("measure", "sign"), [("val_ce", 1), ("val_accuracy", -1)])
def test_the_best_lambda_is_predicted_where_it_goes_as_one_over_the_images(measure, sign):
    sizes = [sized(rows, sign=sign) for rows in SIZES]
    for rank in range(4):
        turned = [sizes[rank], *sizes[:rank], *sizes[rank + 1 :]]
        assert laws.transfer(turned, measure).tolist() == pytest.approx([0] * 5, abs=1e-6)
        assert laws.transfer_spread(turned, measure).tolist() == pytest.approx([0] * 5, abs=1e-6)


def test_another_power_of_the_images_is_no_prediction():
    """As the square root, the best lambda of 500 images is 0.66 decades below what is predicted."""
    sizes = [sized(rows, exponent=0.5, shift=-1) for rows in SIZES]
    off = laws.transfer(sizes, "val_ce").mean()
    others = np.log10(SIZES[1:])
    assert off == pytest.approx((math.log10(500) - others.mean()) / 2, abs=0.01) and off < -0.6
    expected = (others.max() - others.min()) / 2
    assert laws.transfer_spread(sizes, "val_ce").mean() == pytest.approx(expected, abs=0.01)


def test_the_interval_of_a_prediction_holds():
    covered, values = 0, []
    for case in range(60):
        sizes = [sized(rows, shift=0.1 * (rows == 500)) for rows in SIZES]
        draw = np.random.default_rng(case)
        for one in sizes:
            for cell in one.cells.values():
                cell += 0.002 * draw.normal(size=(5, 1))
        found = statistics.mean_interval(laws.transfer(sizes, "val_ce"), 0.95)
        values.append(found.value)
        covered += found.low <= 0.1 <= found.high
    assert np.mean(values) == pytest.approx(0.1, abs=0.01) and covered / 60 >= 0.88


def test_a_best_lambda_at_an_end_is_left_out():
    *some, _ = [sized(rows, shift=0.2 * (rows == 500)) for rows in SIZES]
    at_end = sized(54_000, shift=-2.5)
    found = laws.transfer([*some, at_end], "val_ce")
    assert found.tolist() == pytest.approx([0.2] * 5, abs=0.01)
    assert laws.transfer([at_end, *some], "val_ce").empty
    assert laws.transfer([*some[:2], at_end], "val_ce").empty  # one is left to predict from
    assert laws.transfer([sized(rows, seeds=2) for rows in SIZES], "val_ce").empty
