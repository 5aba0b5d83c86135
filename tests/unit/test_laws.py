"""Laws as numbers that are 1 where they hold: against made-up runs, and against SGD by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from l2study.core.design import Setup
from l2study.tables import laws

SGD = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 50, "epochs": 30}
NETWORK = {"hidden_units": [8], "activation": "relu", "regularize_output": True}


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
    rows = [{"l2": l2, "seed": 7} | descent(l2, 0.001, 3000) for l2 in (0.0, 0.01, 0.1, 0.5)]
    return pd.DataFrame(rows)


def by_lambda(table, name):
    return table.set_index("l2")[name].to_dict()


def test_gradient_descent_obeys_the_laws_of_weights(runs):
    setup = setup_of(learning_rate=0.001, epochs=100)
    found = laws.with_laws(runs, setup, 1490)  # 30 batches of 50, the last one smaller
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
        (
            {"optimizer": "adam", "model": NETWORK | {"regularizer": "decoupled"}},
            {"never_lit_decay"},
        ),
        ({"model": NETWORK | {"hidden_units": [8, 8]}}, {"never_lit_decay"}),
        ({"model": {"build": "mine.py:net"}}, {"never_lit_decay"}),
    ],
)
def test_a_law_is_asked_only_of_what_it_is_about(runs, change, has):
    found = laws.with_laws(runs, setup_of(**{"epochs": 2} | change), 1500)
    there = found[["never_lit_decay", "never_lit_left", "balance_decay"]].notna().any()
    assert set(there.index[there]) == has


def test_without_the_number_of_rows_or_lambda_0_there_is_no_law(runs):
    assert laws.with_laws(runs, setup_of(), None)["never_lit_decay"].isna().all()
    assert laws.with_laws(runs[runs["l2"] > 0], setup_of(), 1500)["never_lit_decay"].isna().all()


@pytest.mark.parametrize(("shared", "expected"), [(0.0, 1.0), (0.3, 4.0)])
def test_errors_that_are_independent_have_a_ratio_of_one(shared, expected):
    """And one above where the runs of a seed are good or bad about all images alike."""
    draw, found, covered = np.random.default_rng(0), [], 0
    hard = draw.beta(0.5, 5, size=400)
    for _ in range(400):
        chance = 1 / (1 + np.exp(-(np.log(hard / (1 - hard)) + shared * draw.normal(size=(20, 1)))))
        right = (draw.random((20, 400)) > chance).astype(float)
        estimate = laws.independent_errors(right, 0.95)
        found.append(estimate.value)
        covered += estimate.low <= 1 <= estimate.high
    if shared:
        assert np.mean(found) > 1.5 and covered < 320
    else:
        assert np.mean(found) == pytest.approx(1, abs=0.03) and 0.93 <= covered / 400 <= 0.98


def test_runs_of_a_calibrated_ensemble_disagree_as_often_as_they_err():
    """Each run and the label are drawn from the same probabilities of the image."""
    draw, found, covered = np.random.default_rng(1), [], 0
    for _ in range(300):
        chances = draw.dirichlet([4, 1, 1], size=600)
        cumulative = chances.cumsum(axis=1)
        drawn = (draw.random((9, 600))[:, :, None] > cumulative).sum(axis=2)
        estimate = laws.disagreement(drawn[:8], drawn[8], 0.95)
        found.append(estimate.value)
        covered += estimate.low <= 1 <= estimate.high
    assert np.mean(found) == pytest.approx(1, abs=0.01) and 0.93 <= covered / 300 <= 0.99


def test_disagreement_by_hand():
    predicted = np.array([[0, 1, 1, 2], [0, 1, 2, 2], [1, 1, 1, 2]])
    # pairs disagree about 1, 1 and 2 images of 4; the runs err on 1, 2 and 2
    found = laws.disagreement(predicted, np.array([0, 1, 1, 0]), 0.95)
    assert found.value == pytest.approx((4 / 12) / (5 / 12)) and found.n == 3
    assert found.low < found.value < found.high


def test_slopes_are_those_of_powers_of_lambda():
    cells = {
        l2: pd.DataFrame({"x": [5 * l2**-1.0, 2 * l2**0.5, -1.0] if l2 else [9.0] * 3}, [0, 1, 2])
        for l2 in (0.0, 0.001, 0.01, 0.1)
    }
    assert laws.slopes(cells, "x").to_dict() == pytest.approx({0: -1, 1: 0.5})
    assert laws.slopes({0.1: cells[0.1]}, "x").empty
