"""How long a study takes, from what its runs took. What Snakemake says is in tests/workflow."""

import pytest

import plan


def record(train, setup=1.0, epochs=4, status="completed"):
    return {
        "status": status,
        "config": {"training": {"epochs": epochs}},
        "cost": {
            "seconds_train": train,
            "seconds_evaluate": 0.5,
            "seconds_total": setup + train + 0.5,
        },
    }


@pytest.mark.parametrize(
    ("records", "epochs", "runs", "cores", "words"),
    [
        ([], 4, 3, 2, "when a run is there"),
        ([record(9, status="diverged")], 4, 3, 2, "when a run is there"),
        # (1 + 9 + 0.5) seconds times 6 runs on 2 cores; no more cores than runs count
        ([record(9)], 4, 6, 2, "about 0:00:32 "),
        ([record(9)], 4, 1, 8, "about 0:00:10 "),
        # twice the epochs, and 9 evaluations for 5: 1 + 2 * 9 + 0.5 * 9 / 5 seconds
        ([record(9)], 8, 4, 2, "about 0:00:40 "),
        ([record(9), record(9), record(999)], 8, 4, 2, "going by 3 runs"),
        ([record(9), record(9), record(999)], 8, 4, 2, "about 0:00:40 "),
    ],
)
def test_duration(records, epochs, runs, cores, words):
    assert words in plan.duration(records, {"epochs": epochs}, runs, cores)


def test_fewer_evaluations_take_less_time():
    """1 + 9 seconds and 3 of 5 evaluations, for 100 runs on a core."""
    training = {"epochs": 4, "evaluate_at": [2]}
    assert "about 0:17:10 " in plan.duration([record(9)], training, 100, 1)
