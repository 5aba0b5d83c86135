import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from frictionless import validate
from scipy import stats
from statsmodels.stats.multitest import multipletests

import synthetic
from l2study.core.config import ConfigError, check
from l2study.core.design import Design, Setup
from l2study.core.files import write_json, write_table
from l2study.core.measures import OPTIONAL
from l2study.report.study import verdicts
from l2study.tables import across, build, datapackage
from l2study.tables.ledger import LedgerError, read_ledger
from l2study.tables.study_tables import tables_of

LEDGER = synthetic.ledger_of()
LAWS = Path(__file__).parents[2] / "reports" / "claims" / "laws.yaml"
OVERFITTING = synthetic.Effects(
    test_accuracy=(0.960, 0.980), val_ce_min=(0.16, 0.08), creep=(0.03, 0.001)
)
"""Validation chooses lambda 0.01, which has the highest test accuracy."""
FACTORS = ["batch_size", "noise"]
COMPARED = [name for name in build.COMPARED if name != "gap_exchangeable"]
"""What is compared in set-ups whose validation images are the last of the file."""


def setup(config, **levels):
    """Return a set-up with `levels` in place of the base's."""
    own = {"batch_size": "200", "noise": "none"}
    name = ",".join(f"{factor}~{level}" for factor, level in levels.items()) or "base"
    return Setup(name, own | levels, config, {factor: {"dataset"} for factor in levels})


@pytest.fixture(scope="module")
def study():
    """The design of a study and their tables: the base, two others, and one without a run."""
    made = [
        synthetic.made_tables("start", lambdas=(0, 1e-4, 0.01), epochs=3, **options)
        for options in (
            {"diverged": {(0.01, 3): 2, (0, 5): 1}},
            {"diverged": {(0.01, 0): 2}, "effects": OVERFITTING, "random_state": 1},
            {"effects": synthetic.NOTHING, "random_state": 2},
        )
    ]
    config = made[0][0].config
    of_study = (
        setup(config),
        setup(config, batch_size="32"),
        setup(config, batch_size="32", noise="0.2"),
        setup(config, noise="0.4"),
    )
    studied = {s.name: tables for s, (_, tables) in zip(of_study, made, strict=False)}
    return Design(config, of_study), studied


@pytest.fixture(scope="module")
def lost():
    """The tables of a set-up in which every run diverged."""
    diverged = {(l2, seed): 1 for l2 in (0, 0.01) for seed in (0, 1)}
    return synthetic.made_tables("start", lambdas=[0, 0.01], seeds=[0, 1], diverged=diverged)[1]


@pytest.fixture(scope="module")
def table(study):
    """The interactions of `study`."""
    return across.interactions_table(*study)


def close(claims, high=0.95, low=0.5):
    """Return `claims` with other estimates of the first running losses."""
    claims = claims.copy()
    own = (claims["measure"] == "first_running_loss") & (claims["statistic"] == "mean")
    for l2, value in ((0.01, high), (0.0001, low)):
        claims.loc[own & (claims["l2"] == l2), "estimate"] = value
    return claims


class TestSetups:
    def test_levels_and_runs(self, study):
        table = across.setups_table(*study, LEDGER)
        assert list(table) == [
            "setup", *FACTORS, "runs", "completed", "diverged", "missing", "matches_exercise",
        ]  # fmt: skip
        assert table.to_numpy().tolist() == [
            ["base", "200", "none", 18, 16, 2, 0, "no"],
            ["batch_size~32", "32", "none", 18, 17, 1, 0, "no"],
            ["batch_size~32,noise~0.2", "32", "0.2", 18, 18, 0, 0, "no"],
            ["noise~0.4", "200", "0.4", 18, 0, 0, 18, ""],
        ]

    @pytest.mark.parametrize(
        ("found", "other", "expected"),
        [
            ({}, {}, "yes"),
            ({"high": 1.098, "low": 0.416}, {}, "yes"),
            ({"high": 1.1}, {}, "no"),
            ({"low": 0.4155}, {}, "no"),
            ({"low": math.nan, "high": 2.0}, {}, ""),
            # a row that differs in one thing does not count
            ({}, {"estimand": "the same rules after epoch 2"}, "yes"),
            ({}, {"measure": "start_loss"}, "yes"),
            ({}, {"l2": 0.001}, "yes"),
            ({}, {"epoch": 2}, "yes"),
            ({}, {"id": "penalty"}, "yes"),
        ],
    )
    def test_close_to_the_figures_given(self, study, found, other, expected):
        claims = close(study[1]["base"]["claims"], **found)
        if other:
            own = claims[(claims["given"] == 0.9991) & (claims["measure"] == "first_running_loss")]
            claims = pd.concat([claims, own.assign(estimate=99.0, **other)], ignore_index=True)
        assert across.matches_exercise(LEDGER, claims) == expected

    @pytest.mark.parametrize("name", ["setup", "best_l2"])
    def test_a_factor_does_not_have_the_name_of_another_column(self, name):
        levels = {"a": {"training": {"batch_size": 32}}}
        config = synthetic.study_config([0], [0, 1], 3)
        with pytest.raises(ConfigError, match="another column"):
            Design.of(config | {"factors": {name: levels}})

    @pytest.mark.parametrize(
        "wrong",
        [{"claim": "start", "rows": ["running_high", "middling"]}, {"claim": "start", "rows": []}],
    )
    def test_a_ledger_that_names_what_it_does_not_have(self, tmp_path, wrong):
        path = tmp_path / "ledger.yaml"
        path.write_text(yaml.safe_dump(LEDGER | {"exercise_check": wrong}))
        with pytest.raises(LedgerError, match="exercise_check"):
            read_ledger(path)


def test_what_is_not_judged_has_no_estimate():
    _, tables = synthetic.made_tables("negative-gap", lambdas=[0, 0.001], seeds=[0, 1])
    (row,) = verdicts(tables["claims"].assign(setup="base")).to_dict("records")
    assert row["conclusion"] == "not judged" and math.isnan(row["estimate"])


class TestInteractions:
    def test_against_scipy(self, study, table):
        _, studied = study
        wide = {n: t["runs"].pivot(index="seed", columns="l2") for n, t in studied.items()}
        compared = 0
        for row in table[table["measure"].isin(COMPARED[::4])].itertuples():
            own, base = wide[row.setup][row.measure], wide["base"][row.measure]
            effects = {"own": own[row.l2] - own[0.0], "base": base[row.l2] - base[0.0]}
            effects = pd.DataFrame(effects).dropna()
            difference = effects["own"] - effects["base"]
            assert row.n == len(effects)
            if len(effects) < 2 or np.ptp(difference) < 1e-9:
                continue
            test = stats.ttest_1samp(difference, 0.0)
            interval = test.confidence_interval(0.95)
            found = (row.effect, row.effect_in_base, row.difference, row.low, row.high, row.p_t)
            expected = (*effects.mean(), difference.mean(), *interval, test.pvalue)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), row
            compared += 1
        assert compared > 30
        assert set(table["reference_l2"]) == {0}

    def test_seeds_that_diverged_in_either(self, table):
        first = table.drop_duplicates(["setup", "l2"])
        assert first[["setup", "diverged_seeds", "n"]].to_numpy().tolist() == [
            ["batch_size~32", "5", 5],
            ["batch_size~32", "0 3 5", 3],
            ["batch_size~32,noise~0.2", "5", 5],
            ["batch_size~32,noise~0.2", "3 5", 4],
        ]

    def test_holm_over_the_setups(self, table):
        wide = table.pivot(index=["measure", "l2"], columns="setup", values=["p_t", "p_holm"])
        wide = wide.dropna()
        for place in (0, 40, 80):
            again = multipletests(wide["p_t"].iloc[place], method="holm")[1]
            np.testing.assert_allclose(wide["p_holm"].iloc[place], again)

    def test_no_rows_where_there_is_nothing_to_compare(self, study, lost):
        of_study, studied = study
        base, other = studied["base"], studied["batch_size~32"]
        runs = other["runs"]
        without = {"runs": runs[runs["l2"] > 0]}
        for now in (
            {"base": base},
            {"batch_size~32": other},
            {"base": base, "batch_size~32": without},
            {"base": without, "batch_size~32": other},
        ):
            assert across.interactions_table(of_study, now).empty
        table = across.interactions_table(of_study, {"base": base, "batch_size~32": lost})
        assert table["n"].tolist() == [0] * len(set(COMPARED) - set(OPTIONAL))
        assert set(table["diverged_seeds"]) == {"0 1 3 5"}


@pytest.mark.slow  # Frictionless reads every row
def test_frictionless_finds_nothing(study, tmp_path):
    of_study, studied = study
    own = {
        "setups": across.setups_table(of_study, studied, LEDGER),
        "interactions": across.interactions_table(of_study, studied),
        "best": pd.concat(t["best"].assign(setup=n) for n, t in studied.items()),
    }
    tables = dict.fromkeys(datapackage.read_descriptions(FACTORS), pd.DataFrame()) | own
    for name, table in datapackage.as_described(tables, FACTORS).items():
        write_table(table, tmp_path / f"{name}.csv")
        fields = datapackage.read_descriptions(FACTORS)[name]["schema"]["fields"]
        datapackage.write_parquet(table, fields, tmp_path / f"{name}.parquet")
    package = datapackage.data_package(of_study.config, {}, {}, tmp_path, FACTORS)
    write_json(tmp_path / "datapackage.json", package)
    assert validate(str(tmp_path / "datapackage.json")).flatten(["type", "message"]) == []


ROWS = {"base": 40_000, "images~500": 500, "images~5000": 5000, "images~800": 800}
"""Of set-ups that differ in the number of training images alone."""
APART = math.log10(2)
"""How far, in decades, a best lambda of 8 / rows is from 4 / rows."""
NONE = math.nan


@pytest.mark.parametrize(
    ("best", "epochs", "off", "apart", "conclusions", "notes"),
    [
        # all sizes agree
        ([4 / rows for rows in ROWS.values()], 100, [0] * 4, [0] * 4, ["holds"] * 4, []),
        # one size is apart
        ([4 / 40_000, 4 / 500, 4 / 5000, 8 / 800], 100, [-APART / 3] * 3 + [APART],
         [APART] * 3 + [0], ["holds"] * 3 + ["fails"], []),
        # a size that is trained for another number of steps does not compare
        ([4 / 40_000, 4 / 500, 4 / 5000, 8 / 800], 101, [0, 0, 0, NONE],
         [0, 0, 0, NONE], ["holds"] * 3 + ["not judged"], ["no_other_sizes"]),
        # of the first, the best lambda is at an end of the grid
        ([1e-5, 4 / 500, 4 / 5000, 4 / 800], 100, [NONE, 0, 0, 0],
         [NONE, 0, 0, 0], ["open"] + ["holds"] * 3, ["best_at_end"]),
    ],
)  # fmt: skip
def test_the_law_of_transfer_over_set_ups(best, epochs, off, apart, conclusions, notes):
    ledger = read_ledger(LAWS)
    ledger["claims"] = [one for one in ledger["claims"] if one["id"] in ("transfer", "balance")]
    config, runs = synthetic.made_study(
        lambdas=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), seeds=range(3), epochs=2
    )
    levels = {
        rows: {"dataset": {"train_size": rows}, "training": {"epochs": its}}
        for rows, its in ((500, 160), (5000, 16), (800, epochs))
    }
    config |= {"training": config["training"] | {"batch_size": 100}}
    design = Design.of(check(config | {"factors": {"images": levels}}))
    one, studied = tables_of(design.base, ledger, runs), {}
    assert set(one["claims"]["note"].dropna()) == {"no_value", "no_other_sizes"}
    for setup, l2 in zip(design.setups, best, strict=True):
        val_ce = 0.1 * np.log10(one["runs"]["l2"] / l2) ** 2
        studied[setup.name] = one | {"runs": one["runs"].assign(val_ce=val_ce)}
    found = across.judged_over_setups(design, studied, ledger, ROWS)
    for claims in found.values():
        assert claims["id"].drop_duplicates().tolist() == ["balance", "transfer"]
    claims = pd.concat(found).query("id == 'transfer'")
    estimates = claims.set_index("statistic")["estimate"]
    assert estimates["transfer"].tolist() == pytest.approx(off, abs=1e-9, nan_ok=True)
    assert estimates["transfer_spread"].tolist() == pytest.approx(apart, abs=1e-9, nan_ok=True)
    assert claims.query("estimand == 'overall'")["conclusion"].tolist() == conclusions
    assert claims["note"].dropna().unique().tolist() == notes
