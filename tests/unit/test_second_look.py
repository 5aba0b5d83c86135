"""Claims of made-up studies, held against the files of their runs by other code."""

from dataclasses import replace

import pandas as pd
import pytest

import second_look
import synthetic
from aggregate import write_tables
from synthetic import HARMFUL, HELPFUL, NOTHING, Effects
from tiny import PROJECT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("ledger", ["exercise", "general"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"effects": replace(HELPFUL, val_ce_min=(0.16, 0.08))},  # validation chooses an L2
        {"effects": HARMFUL, "epochs": 12, "predict_at": [4, 8]},
        {"epochs": 12},  # without predictions after the epoch of the claims
        {"effects": NOTHING, "seeds": range(5)},
        {"effects": Effects(creep=(0.001, 0.001), spread=3)},
        {"diverged": {(0.01, 3): 2, (0.0001, 1): 4}},
    ],
    ids=str,
)
def test_every_deciding_row(tmp_path, options, ledger):
    config = synthetic.write_study(tmp_path, **options)
    write_tables(config, PROJECT / "reports" / "claims" / f"{ledger}.yaml", tmp_path)
    assert second_look.check(tmp_path, 0.95) > (15 if ledger == "exercise" else 5)


def test_it_sees_a_number_that_is_off(tmp_path):
    config = synthetic.write_study(tmp_path)
    write_tables(config, PROJECT / "reports" / "claims" / "exercise.yaml", tmp_path)
    path = tmp_path / "tables" / "claims.csv"
    claims = pd.read_csv(path)
    of_norms = (claims["measure"] == "weight_norm") & (claims["statistic"] == "trend")
    claims.loc[of_norms, "estimate"] *= 1.0001
    claims.to_csv(path, index=False)
    with pytest.raises(AssertionError, match="norm of the regularised weights"):
        second_look.check(tmp_path, 0.95)
