import copy
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
from l2study.core.config import ConfigError
from l2study.core.epochs import evaluated_epochs
from l2study.core.files import write_json
from l2study.core.setups import Setup, setups
from l2study.core.table_files import read_table, write_table
from l2study.tables import across, build, datapackage, decision_tables
from l2study.tables.claims import claims_table
from l2study.tables.derived import with_derived
from l2study.tables.ledger import LedgerError, read_ledger

CLAIMS = Path(__file__).parents[2] / "reports" / "claims"
LEDGER = read_ledger(CLAIMS / "exercise.yaml")
OVERFITTING = synthetic.Effects(
    test_accuracy=(0.960, 0.980), val_ce_min=(0.16, 0.08), creep=(0.03, 0.001)
)
"""Validation chooses lambda 0.01, which has the highest test accuracy."""
FACTORS = ["batch_size", "noise"]
COMPARED = [name for name in build.CONTRAST_MEASURES if name != "gap_exchangeable"]
"""What is compared in set-ups whose validation images are the last of the file."""


def tables_of(folder, **options):
    """Return the tables of a made-up set-up, as `aggregate` makes them of one configuration."""
    config = synthetic.write_study(folder, **options)
    found = synthetic.read_study(folder, config)
    histories = build.histories_table(found)
    runs = with_derived(histories, build.runs_table(found), build.regularised_kernels(found))
    reference = float(config["reference_lambda"])
    choice = decision_tables.choice_table(runs, reference, 0.95)
    epochs = evaluated_epochs(config["training"])
    return config, {
        "runs": runs,
        "choice": choice,
        "answer": decision_tables.answer_table(runs, choice, reference, 0.95),
        "claims": claims_table(LEDGER, histories, runs, choice, epochs, 0.95),
    }


def setup(config, **levels):
    """Return a set-up with `levels` in place of the base's."""
    own = {"batch_size": "200", "noise": "none"}
    name = ",".join(f"{factor}~{level}" for factor, level in levels.items()) or "base"
    return Setup(name, own | levels, config, {factor: {"dataset"} for factor in levels})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The set-ups of a study and their tables: the base, two others, and one without a run."""
    made = [
        tables_of(tmp_path_factory.mktemp("setup"), **options)
        for options in (
            {"diverged": {(0.01, 3): 2, (0, 5): 1}},
            {"diverged": {(0.01, 0): 2}, "effects": OVERFITTING, "random_state": 1},
            {"effects": synthetic.NOTHING, "random_state": 2},
        )
    ]
    config = made[0][0]
    of_study = [
        setup(config),
        setup(config, batch_size="32"),
        setup(config, batch_size="32", noise="0.2"),
        setup(config, noise="0.4"),
    ]
    return of_study, {s.name: tables for s, (_, tables) in zip(of_study, made, strict=False)}


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """The tables of a set-up in which every run diverged."""
    diverged = {(l2, seed): 1 for l2 in (0, 0.01) for seed in (0, 1)}
    return tables_of(
        tmp_path_factory.mktemp("lost"), lambdas=[0, 0.01], seeds=[0, 1], diverged=diverged
    )


@pytest.fixture(scope="module")
def table(study):
    """The interactions of `study`."""
    return across.interactions_table(*study, 0.95)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """The tables of a set-up in which validation chooses lambda 0.01."""
    return tables_of(tmp_path_factory.mktemp("chosen"), effects=OVERFITTING)[1]


def close(claims, high=0.95, low=0.5):
    """Return `claims` with other estimates of the first running losses."""
    claims = claims.copy()
    own = (claims["measure"] == "first_running_loss") & (claims["statistic"] == "mean")
    for l2, value in ((0.01, high), (0.0001, low)):
        claims.loc[own & (claims["l2"] == l2), "estimate"] = value
    return claims


class TestSetups:
    def test_levels_and_runs(self, study):
        table = across.setups_table(*study, 24, LEDGER)
        assert list(table) == [
            "setup", *FACTORS, "runs", "completed", "diverged", "missing", "close_to_given",
        ]  # fmt: skip
        assert table.to_numpy().tolist() == [
            ["base", "200", "none", 24, 22, 2, 0, "no"],
            ["batch_size~32", "32", "none", 24, 23, 1, 0, "no"],
            ["batch_size~32,noise~0.2", "32", "0.2", 24, 24, 0, 0, "no"],
            ["noise~0.4", "200", "0.4", 24, 0, 0, 24, ""],
        ]

    def test_runs_that_are_not_there_are_missing(self, study):
        of_study, studied = study
        tables = studied["base"] | {"runs": studied["base"]["runs"].iloc[2:]}
        table = across.setups_table(of_study[:1], {"base": tables}, 24, LEDGER)
        assert table["missing"].tolist() == [2]

    def test_without_factors_there_is_the_base(self, study):
        of_study, studied = study
        base = of_study[0]._replace(levels={})
        table = across.setups_table([base], {"base": studied["base"]}, 24, LEDGER)
        assert list(table) == across.SETUP_COLUMNS
        assert table["setup"].tolist() == ["base"]

    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            ({}, "yes"),
            ({"high": 1.098, "low": 0.416}, "yes"),
            ({"high": 1.1}, "no"),
            ({"high": 0.89}, "no"),
            ({"low": 0.4155}, "no"),
            ({"low": math.nan}, ""),
            ({"low": math.nan, "high": 2.0}, ""),
        ],
    )
    def test_close_to_the_figures_given(self, study, found, expected):
        claims = close(study[1]["base"]["claims"], **found)
        assert across.close_to_given(LEDGER, claims) == expected

    def test_other_rows_of_the_claim_do_not_count(self, study):
        claims = close(study[1]["base"]["claims"])
        claims.loc[claims["measure"] == "start_loss", "estimate"] = 99.0
        claims.loc[claims["statistic"] != "mean", "estimate"] = math.nan
        assert across.close_to_given(LEDGER, claims) == "yes"

    @pytest.mark.parametrize(
        "other",
        [
            {"estimand": "the same rules after epoch 2"},
            {"statistic": "largest"},
            {"measure": "start_loss"},
            {"l2": 0.001},
            {"against": 0.0},
            {"epoch": 2},
            {"given": 0.5},
            {"id": "penalty"},
        ],
    )
    def test_a_row_that_differs_in_one_thing_does_not_count(self, study, other):
        claims = close(study[1]["base"]["claims"])
        own = claims[(claims["given"] == 0.9991) & (claims["measure"] == "first_running_loss")]
        assert len(own) == 1
        claims = pd.concat([claims, own.assign(estimate=99.0, **other)], ignore_index=True)
        assert across.close_to_given(LEDGER, claims) == "yes"

    def test_a_ledger_that_recognises_nothing(self, study):
        ledger = {key: LEDGER[key] for key in LEDGER if key != "recognised_by"}
        assert across.close_to_given(ledger, study[1]["base"]["claims"]) == ""

    def test_a_study_without_these_lambdas(self, tmp_path):
        _, tables = tables_of(tmp_path, lambdas=[0, 0.001], seeds=[0, 1])
        assert across.close_to_given(LEDGER, tables["claims"]) == ""

    @pytest.mark.parametrize("name", [*across.SETUP_COLUMNS, "l2", "best_l2"])
    def test_a_factor_does_not_have_the_name_of_another_column(self, name):
        levels = {"a": {"training": {"batch_size": 32}}}
        config = synthetic.study_config([0], [0, 1], 3)
        assert len(setups(config | {"factors": {"mine": levels}})) == 2
        with pytest.raises(ConfigError, match="another column") as error:
            setups(config | {"factors": {name: levels}})
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"claim": "start", "rows": ["running_high", "middling"]},
            {"claim": "no-such", "rows": ["running_high"]},
            {"claim": "start", "rows": []},
            {"claim": "start"},
        ],
    )
    def test_a_ledger_that_names_what_it_does_not_have(self, tmp_path, wrong):
        ledger = copy.deepcopy(LEDGER) | {"recognised_by": wrong}
        path = tmp_path / "ledger.yaml"
        path.write_text(yaml.safe_dump(ledger))
        with pytest.raises(LedgerError, match="recognised_by") as error:
            read_ledger(path)
        assert "\n" not in str(error.value)


class TestVerdicts:
    def test_are_those_of_the_claims(self, study):
        table = across.verdicts_table(study[1])
        assert list(table) == across.VERDICT_COLUMNS
        expected = []
        for name, tables in study[1].items():
            claims = tables["claims"]
            whole = claims[claims["estimand"] == "overall"]
            expected += [[name, *row] for row in whole[["id", "claim", "verdict"]].to_numpy()]
        found = table[["setup", "id", "claim", "verdict"]].to_numpy().tolist()
        assert found == expected
        assert set(table["scope"]) == {"seeds"}
        assert table["verdict"].nunique() >= 4

    def test_rest_on_the_row_that_the_words_speak_of(self, study):
        table = across.verdicts_table(study[1])
        judged = 0
        for row in table.itertuples():
            claims = study[1][row.setup]["claims"]
            claim = claims[claims["id"] == row.id]
            words = claim.loc[claim["estimand"] == "overall", "decided_by"].item()
            assert words.lower().startswith(f"{row.estimand.lower()} is "), row
            (place,) = np.flatnonzero(claim["decisive"] == "yes")
            source = claim.iloc[place]
            for column in across.VERDICT_COLUMNS[4:-1]:
                value = getattr(row, column)
                missing = pd.isna(source[column])
                assert pd.isna(value) if missing else value == source[column], column
            if row.verdict in ("supported", "contradicted") and not math.isnan(row.low):
                inside = not (row.low <= row.above or row.high >= row.below)
                outside = row.high <= row.above or row.low >= row.below
                assert (inside, outside) == (
                    row.verdict == "supported", row.verdict == "contradicted",
                )  # fmt: skip
                judged += 1
        assert judged > 8

    def test_what_is_not_judged_has_no_estimate(self, tmp_path):
        _, tables = tables_of(tmp_path, lambdas=[0, 0.001], seeds=[0, 1])
        table = across.verdicts_table({"base": tables}).set_index("id")
        row = table.loc["negative-gap"]
        assert row["verdict"] == "not judged"
        assert math.isnan(row["estimate"])
        assert row["estimand"]

    def test_every_claim_has_one_decisive_row(self, study):
        for tables in study[1].values():
            claims = tables["claims"]
            assert (
                claims.groupby("id")["decisive"].agg(list).map(lambda d: d.count("yes")) == 1
            ).all()
            assert (claims["decisive"].isna() == (claims["estimand"] == "overall")).all()


class TestInteractions:
    def test_rows(self, study, table):
        assert list(table) == across.INTERACTION_COLUMNS
        names = ["batch_size~32", "batch_size~32,noise~0.2"]
        expected = [
            (name, measure, l2)
            for name in names
            for measure in COMPARED
            for l2 in (0.0001, 0.001, 0.01)
        ]
        assert list(table[["setup", "measure", "l2"]].itertuples(index=False)) == expected
        said = table.drop_duplicates("setup")[["factor", "level"]].to_numpy().tolist()
        assert said == [["batch_size", "32"], ["batch_size,noise", "32,0.2"]]
        assert (table["reference_l2"] == 0).all()

    def test_against_scipy(self, study, table):
        _, studied = study
        wide = {
            name: tables["runs"].pivot(index="seed", columns="l2")
            for name, tables in studied.items()
        }
        compared = 0
        for row in table[table["measure"].isin(COMPARED[::4])].itertuples():
            own, base = wide[row.setup][row.measure], wide["base"][row.measure]
            effects = pd.DataFrame(
                {"own": own[row.l2] - own[0.0], "base": base[row.l2] - base[0.0]}
            )
            effects = effects.dropna()
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
        assert compared > 50

    def test_seeds_that_diverged_in_either(self, table):
        first = table[table["setup"] == "batch_size~32"].drop_duplicates("l2").set_index("l2")
        second = table[table["setup"] != "batch_size~32"].drop_duplicates("l2").set_index("l2")
        assert first["diverged_seeds"].tolist() == ["5", "5", "0 3 5"]
        assert first["n"].tolist() == [5, 5, 3]
        assert second["diverged_seeds"].tolist() == ["5", "5", "3 5"]

    def test_holm_over_the_setups(self, table):
        wide = table.pivot(index=["measure", "l2"], columns="setup", values=["p_t", "p_holm"])
        wide = wide.dropna()
        assert len(wide) > 100
        p = wide["p_t"]
        smaller, larger = p.min(axis=1), p.max(axis=1)
        first = (2 * smaller).clip(upper=1)
        expected = p.eq(smaller, axis=0).mul(first, axis=0)
        expected = expected.where(expected > 0, np.maximum(first, larger), axis=0)
        np.testing.assert_allclose(wide["p_holm"], expected, rtol=1e-12, atol=1e-300)
        for place in (0, 50, 100):
            again = multipletests(p.iloc[place], method="holm")[1]
            np.testing.assert_allclose(wide["p_holm"].iloc[place], again)

    def test_the_base_against_itself_differs_in_nothing(self, study):
        of_study, studied = study
        table = across.interactions_table(
            of_study[:2], {"base": studied["base"], "batch_size~32": studied["base"]}, 0.95
        )
        some = table[table["n"] > 1]
        assert (some[["difference", "low", "high"]] == 0).all(axis=None)
        assert (some[["p_t", "p_holm"]] == 1).all(axis=None)

    def test_mere_rounding_is_no_difference(self, study):
        of_study, studied = study
        runs = studied["base"]["runs"].copy()
        runs["test_accuracy"] += 1e-15 * (runs["seed"] % 3) * (runs["l2"] > 0)
        other = studied["base"] | {"runs": runs}
        table = across.interactions_table(
            of_study[:2], {"base": studied["base"], "batch_size~32": other}, 0.95
        )
        found = table[table["measure"] == "test_accuracy"]
        assert (found["difference"] == 0).all()
        assert (found["p_t"] == 1).all()

    def test_one_seed_and_none(self, study):
        of_study, studied = study
        for seeds, n in (([1], 1), ([5], 0), ([], 0)):
            runs = studied["batch_size~32"]["runs"]
            other = {"runs": runs[runs["seed"].isin(seeds)]}
            studied_now = {"base": studied["base"], "batch_size~32": other}
            table = across.interactions_table(of_study[:2], studied_now, 0.95)
            assert table["low"].isna().all()
            assert table["p_t"].isna().all()
            if seeds:
                accuracy = table[table["measure"] == "test_accuracy"]
                assert accuracy["n"].tolist() == [n] * 3
                assert accuracy["difference"].notna().tolist() == [n == 1] * 3

    def test_no_rows_where_there_is_nothing_to_compare(self, study, lost):
        of_study, studied = study
        base, other = studied["base"], studied["batch_size~32"]
        runs = other["runs"]
        without = {"runs": runs[runs["l2"] > 0]}
        only = {"runs": runs[runs["l2"] == 0]}
        for now in (
            {},
            {"base": base},
            {"batch_size~32": other},
            {"base": base, "batch_size~32": without},
            {"base": without, "batch_size~32": other},
            {"base": base, "batch_size~32": only},
        ):
            table = across.interactions_table(of_study, now, 0.95)
            assert list(table) == across.INTERACTION_COLUMNS
            assert table.empty
        table = across.interactions_table(of_study, {"base": base, "batch_size~32": lost[1]}, 0.95)
        assert table["n"].tolist() == [0] * len(COMPARED)
        assert set(table["diverged_seeds"]) == {"0 1 3 5"}


class TestBest:
    def test_against_scipy(self, chosen):
        row = across.best_table({"base": chosen}).iloc[0]
        assert list(row.index) == across.BEST_COLUMNS
        runs = chosen["runs"]
        means = runs.groupby("l2")["val_ce"].mean()
        assert row["best_l2"] == means.idxmin() == 0.01
        assert (row["reference_l2"], row["n"], row["resolved"]) == (0, 6, "yes")
        choice = chosen["choice"].set_index("rule").loc["best"]
        for column, source in (("share", "share"), ("best_l2_low", "l2_low"),
                               ("best_l2_high", "l2_high")):  # fmt: skip
            assert row[column] == choice[source]
        for measure in ("test_accuracy", "test_ce"):
            wide = runs.pivot(index="seed", columns="l2", values=measure)
            test = stats.ttest_rel(wide[0.01], wide[0.0])
            found = [row[f"{measure}_{part}"] for part in ("difference", "low", "high")]
            difference = (wide[0.01] - wide[0.0]).mean()
            assert found == pytest.approx([difference, *test.confidence_interval(0.95)])

    def test_a_bootstrap_interval_of_several_lambdas(self, chosen):
        choice = chosen["choice"].copy()
        choice.loc[choice["rule"] == "best", ["l2_low", "l2_high", "share"]] = [0.001, 0.03, 0.7]
        row = across.best_table({"base": chosen | {"choice": choice}}).iloc[0]
        assert (row["best_l2_low"], row["best_l2_high"], row["share"]) == (0.001, 0.03, 0.7)

    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [(0.1, 0.3, "yes"), (-0.1, 0.3, "no"), (-0.3, -0.1, "yes"), (0.0, 0.3, "no"),
         (math.nan, math.nan, "no")],
    )  # fmt: skip
    def test_resolved_if_the_interval_of_accuracy_excludes_0(self, chosen, low, high, expected):
        answer = chosen["answer"].copy()
        answer.loc[answer["measure"] == "test_accuracy", ["low", "high"]] = [low, high]
        assert (
            across.best_table({"base": chosen | {"answer": answer}}).loc[0, "resolved"] == expected
        )

    def test_the_reference_gains_nothing_over_itself(self, tmp_path):
        _, tables = tables_of(tmp_path)
        row = across.best_table({"base": tables}).iloc[0]
        assert row["best_l2"] == row["reference_l2"] == 0
        assert (row["test_accuracy_difference"], row["test_ce_difference"]) == (0, 0)
        assert row[[c for c in row.index if c.endswith(("accuracy_low", "ce_low", "high"))]].drop(
            "best_l2_high"
        ).isna().all()  # fmt: skip
        assert (row["resolved"], row["n"]) == ("no", 6)

    def test_a_reference_without_a_completed_run_is_not_compared_with(self, tmp_path):
        diverged = {(0, seed): 1 for seed in range(6)}
        _, tables = tables_of(tmp_path, diverged=diverged, effects=OVERFITTING)
        row = across.best_table({"base": tables}).iloc[0]
        assert (row["best_l2"], row["reference_l2"]) == (0.01, 0.0001)

    def test_no_lambda_to_choose(self, lost):
        row = across.best_table({"base": lost[1]}).iloc[0]
        assert (row["setup"], row["n"], row["resolved"]) == ("base", 0, "")
        assert row.drop(["setup", "n", "resolved"]).isna().all()

    def test_a_setup_without_runs_has_no_row(self, study):
        table = across.best_table(study[1])
        assert table["setup"].tolist() == list(study[1])
        assert across.best_table({}).columns.tolist() == across.BEST_COLUMNS


class TestDescriptions:
    def test_are_of_the_columns_of_the_code(self):
        found = {
            name: [field["name"] for field in table["schema"]["fields"]]
            for name, table in datapackage.read_descriptions(FACTORS).items()
        }
        first, *others = across.SETUP_COLUMNS
        assert found["setups"] == [first, *FACTORS, *others]
        assert found["verdicts"] == across.VERDICT_COLUMNS
        assert found["interactions"] == across.INTERACTION_COLUMNS
        assert found["best"] == across.BEST_COLUMNS

    def test_of_a_factor_names_it(self):
        fields = datapackage.read_descriptions(FACTORS)["setups"]["schema"]["fields"]
        assert fields[2] == {
            "name": "noise",
            "type": "string",
            "description": "The level of the factor noise in this set-up.",
        }

    @pytest.mark.slow  # Frictionless reads every row
    @pytest.mark.parametrize("which", ["study", "lost", "nothing"])
    def test_frictionless_finds_nothing(self, study, lost, tmp_path, which):
        of_study, studied = study
        config = of_study[0].config
        studied = {"study": studied, "lost": {"base": lost[1]}, "nothing": {}}[which]
        own = {
            "setups": across.setups_table(of_study, studied, 24, LEDGER),
            "verdicts": across.verdicts_table(studied),
            "interactions": across.interactions_table(of_study, studied, 0.95),
            "best": across.best_table(studied),
        }
        tables = {
            name: own.get(
                name, pd.DataFrame(columns=[f["name"] for f in table["schema"]["fields"]])
            )
            for name, table in datapackage.read_descriptions(FACTORS).items()
        }
        for name, table in datapackage.with_types(tables, FACTORS).items():
            write_table(table, tmp_path / f"{name}.csv")
            fields = datapackage.read_descriptions(FACTORS)[name]["schema"]["fields"]
            datapackage.write_parquet(table, fields, tmp_path / f"{name}.parquet")
            again = read_table(tmp_path / f"{name}.csv")
            assert list(again) == list(table)
            assert len(again) == len(table)
        package = datapackage.data_package(config, {}, {}, tmp_path, FACTORS)
        write_json(tmp_path / "datapackage.json", package)
        assert validate(str(tmp_path / "datapackage.json")).flatten(["type", "message"]) == []

    def test_a_factor_that_is_not_described_is_found(self, study):
        tables = {
            name: pd.DataFrame(columns=[f["name"] for f in table["schema"]["fields"]])
            for name, table in datapackage.read_descriptions().items()
        }
        tables["setups"] = across.setups_table(*study, 24, LEDGER)
        with pytest.raises(datapackage.DescriptionError, match="batch_size, noise"):
            datapackage.with_types(tables)
