"""Claims of made-up studies, held against the files of their runs by other code."""

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
        {"effects": HELPFUL},
        {"effects": HARMFUL, "epochs": 12},
        {"effects": NOTHING, "seeds": range(5)},
        {"effects": Effects(creep=(0.001, 0.001), spread=3)},
        {"diverged": {(0.01, 3): 2, (0.0001, 1): 4}},
    ],
    ids=str,
)
def test_every_deciding_row(tmp_path, options, ledger):
    config = synthetic.write_study(tmp_path, **options)
    write_tables(config, PROJECT / "reports" / "claims" / f"{ledger}.yaml", tmp_path)
    assert second_look.check(tmp_path, 0.95) > (20 if ledger == "exercise" else 8)


def test_it_sees_a_number_that_is_off(tmp_path):
    config = synthetic.write_study(tmp_path)
    write_tables(config, PROJECT / "reports" / "claims" / "exercise.yaml", tmp_path)
    path = tmp_path / "tables" / "claims.csv"
    claims = pd.read_csv(path)
    row = claims.index[(claims["measure"] == "weight_norm") & (claims["decides"] == "yes")][0]
    claims.loc[row, "estimate"] *= 1.0001
    claims.to_csv(path, index=False)
    with pytest.raises(AssertionError, match="norm of the regularised weights"):
        second_look.check(tmp_path, 0.95)
