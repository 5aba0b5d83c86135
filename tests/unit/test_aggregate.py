import math
import shutil
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

import synthetic
from l2study.core import runs as run_files
from l2study.core.columns import HISTORY_COLUMNS
from l2study.core.design import Design, Setup
from l2study.core.files import read_table
from l2study.core.measures import OPTIONAL, RUN_MEASURES
from l2study.core.scope_rows import SEEDS, SEEDS_AND_IMAGES, for_seeds
from l2study.core.seeds import SOURCES
from l2study.tables import build, power, statistics
from l2study.tables.datapackage import absent_columns, as_described, read_descriptions
from l2study.tables.derived import DERIVED_MEASURES, with_derived
from l2study.tables.study_tables import tables_of, write_tables
from tiny import PROJECT

LEDGER_FILE = PROJECT / "reports" / "claims" / "exercise.yaml"
LEDGER = synthetic.ledger_of("penalty", "start")
COSTS = ["seconds_train", "seconds_measures", "cpu_seconds", "peak_memory_mb"]
LOST = {(0.01, 3): 2, (0.001, 0): 1}
CHOSEN = [1, 3, 7]
CROSSED = {"weights": [0, 2], "order": [1, 2, 3], "split": [0]}


class Made(NamedTuple):
    """A made-up study in memory: its set-up, its runs by (label of lambda, seed), its tables."""

    setup: Setup
    runs: dict
    tables: dict

    @classmethod
    def of(cls, **options):
        config, runs = synthetic.made_study(**options)
        setup = Design.of(config, checked=True).base
        by_name = {(run.l2, run.seed): run for run in runs}
        return cls(setup, by_name, tables_of(setup, LEDGER, runs))

    def history(self, l2, seed):
        return pd.DataFrame(self.runs[l2, seed].history, columns=HISTORY_COLUMNS)

    def last(self, l2, seeds, column):
        return np.array([self.history(l2, seed)[column].iloc[-1] for seed in seeds])


def contrasts_of(**options):
    setup, _, runs, images = synthetic.made_runs(**options)
    absent = build.absent_measures(setup, runs)
    return build.contrasts_table(runs, setup.reference, setup.confidence, absent, images)


@pytest.fixture(scope="module")
def study():
    """A study with two diverged runs."""
    return Made.of(diverged=LOST)


@pytest.fixture(scope="module")
def both():
    """The tables of a study with chosen epochs, and of the same with every epoch."""
    made = {"lambdas": [0, 0.01], "epochs": 12, "diverged": {(0.01, 3): 5}}
    return [Made.of(**made, evaluate_at=at).tables for at in (CHOSEN, None)]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a study of two lambdas, two seeds and two epochs, with its tables."""
    folder = tmp_path_factory.mktemp("small")
    config = synthetic.write_study(folder, lambdas=[0, 0.01], seeds=[0, 7], epochs=2)
    write_tables(config, LEDGER_FILE, folder)
    return folder, config


class TestFiles:
    def test_runs_that_are_not_promised_are_ignored(self, small, tmp_path):
        folder, config = small
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        (tmp_path / "runs" / "l2~0.5" / "seed~0").mkdir(parents=True)
        (tmp_path / "runs" / "l2~0" / "seed~99").mkdir()
        (tmp_path / "runs" / "l2~0" / "seed~99" / "history.csv").write_text("nonsense")
        write_tables(config, LEDGER_FILE, tmp_path)
        written = sorted((folder / "tables").glob("*.csv"))
        assert len(written) > 10
        for path in written:
            assert (tmp_path / "tables" / path.name).read_bytes() == path.read_bytes()

    def test_runs_name_the_seed_of_every_source_first(self, small):
        folder, config = small
        runs = read_table(folder / "tables" / "runs.csv")
        first = ["l2", "seed", *(f"seed_{source}" for source in SOURCES), "status", "epochs"]
        assert list(runs)[1 : len(first) + 1] == first
        assert (runs["seed_weights"] == runs["seed"]).all()
        assert runs[["seed_split", "seed_sample"]].isna().all(axis=None)
        expected = [(float(l2), seed) for l2 in config["lambdas"] for seed in config["seeds"]]
        assert list(zip(runs["l2"], runs["seed"], strict=True)) == expected


class TestRuns:
    def test_measures_of_a_completed_run(self, study):
        runs = study.tables["runs"].set_index(["l2", "seed"])
        history, run = study.history("0.0001", 4), study.runs["0.0001", 4]
        row = runs.loc[(0.0001, 4)]
        end = history.iloc[-1]
        assert (row["status"], row["epochs"]) == ("completed", 8)
        for column in ("train_loss_running", "val_ce", "spectral_norm", "penalty"):
            assert row[column] == end[column]
        assert row["val_ce_min"] == history["val_ce"].min()
        assert row["val_ce_min_epoch"] == history["val_ce"].idxmin() == 4
        assert row["val_ce_creep"] == end["val_ce"] - history["val_ce"].min()
        prechelt = 100 * (end["val_ce"] / history["val_ce"].min() - 1)
        assert row["generalisation_loss"] == pytest.approx(prechelt, rel=1e-10)
        assert row["gap_reported"] == end["train_accuracy_running"] - end["val_accuracy"]
        assert row["gap_ce"] == end["val_ce"] - end["train_ce"]
        for name, value in {**run.measured["measures"], **run.record["cost"]}.items():
            assert row[name] == value

    def test_rise_where_only_some_epochs_are_recorded(self, study):
        found = list(study.runs.values())
        histories = build.histories_table(found)
        kept = histories[histories["epoch"].isin([0, 1, 2, 5, 8])].copy()
        # epoch 0 does not count, however low it is
        kept.loc[kept["epoch"] == 0, "val_ce"] = -100.0
        runs = with_derived(kept, build.runs_table(found), None).set_index(["l2", "seed"])
        curves = kept[(kept["l2"] == 0) & (kept["epoch"] > 0)].pivot(
            index="seed", columns="epoch", values="val_ce"
        )
        expected = statistics.rise_after_minimum(curves.to_numpy())
        assert runs.loc[0.0, "val_ce_rise"].tolist() == pytest.approx(expected.tolist())
        assert not np.allclose(expected, study.tables["runs"].query("l2 == 0")["val_ce_rise"])

    def test_a_diverged_run_has_status_and_cost_only(self, study):
        runs = study.tables["runs"].set_index(["l2", "seed"])
        row = runs.loc[(0.01, 3)]
        assert (row["status"], row["epochs"]) == ("diverged", 1)
        assert row[RUN_MEASURES].isna().all()
        assert row[COSTS].notna().all()
        assert (runs["status"] == "diverged").sum() == 2
        assert len(study.tables["histories"].query("l2 == 0.01 and seed == 3")) == 2

    def test_measures_may_be_null_or_the_history_empty(self):
        made = {"lambdas": [0], "seeds": [0, 1], "epochs": 1, "diverged": {(0, 0): 0}}
        config, found = synthetic.made_study(**made)
        found[1].measured["measures"]["inactive_share"] = None
        runs = tables_of(Design.of(config, checked=True).base, LEDGER, found)["runs"]
        assert runs["inactive_share"].isna().all()
        assert pd.isna(runs.loc[0, "epochs"])


class TestGap:
    def test_against_arithmetic(self, study):
        gap = for_seeds(study.tables["gap"]).set_index(["l2", "epoch", "gap"])
        rows = [study.history("0.01", seed).loc[6] for seed in (0, 1, 2, 4, 5)]
        values = np.array([row["train_accuracy"] - row["test_accuracy"] for row in rows])
        row = gap.loc[(0.01, 6, "generalisation")]
        mean = statistics.mean_interval(values, 0.95)
        assert row[["mean", "mean_low", "mean_high", "n"]].tolist() == pytest.approx(mean)
        spread = statistics.variance_interval(values, 0.95)
        names = ["variance", "variance_low", "variance_high", "n"]
        assert row[names].tolist() == pytest.approx(spread)
        assert row["sd"] == pytest.approx(values.std(ddof=1))
        assert row["diverged_seeds"] == "3"

    def test_rows(self, study):
        lambdas, gap = study.setup.config["lambdas"], study.tables["gap"]
        # six kinds at epochs 1 to 8 and four of them at epoch 0
        assert len(for_seeds(gap)) == len(lambdas) * (6 * 8 + 4)
        at_start = {"generalisation", "split", "endpoint", "ce"}
        assert set(gap[gap["epoch"] == 0]["gap"]) == at_start
        # for other images too: all but the lag, at the last epoch
        wide = gap[gap["scope"] == SEEDS_AND_IMAGES]
        assert len(wide) == len(gap) - len(for_seeds(gap)) == len(lambdas) * 5
        assert set(wide["gap"]) == {"reported", *at_start}
        assert (wide["epoch"] == 8).all()
        assert gap["l2"].is_monotonic_increasing
        assert not gap.duplicated(["l2", "epoch", "gap", "scope"]).any()

    def test_one_run_or_none(self):
        diverged = {(0, 3): 1, (0.01, 3): 1, (0.01, 7): 2}
        made = {"lambdas": [0, 0.01], "seeds": [3, 7], "epochs": 2, "diverged": diverged}
        setup, histories, runs, images = synthetic.made_runs(**made)
        absent = build.absent_measures(setup, runs)
        gap = build.gap_table(histories, runs, setup.epochs, 0.95, absent, images)
        alone, nobody = gap[gap["l2"] == 0], gap[gap["l2"] == 0.01]
        assert len(for_seeds(alone)) == len(nobody) == 2 * 6 + 4
        # one run says how right each image is, but nothing of other seeds
        assert len(alone) == len(nobody) + 5
        assert for_seeds(nobody).equals(nobody)
        rest = ["variance", "sd", "mean_low", "mean_high", "variance_low", "variance_high"]
        assert (alone["n"] == 1).all()
        assert alone["mean"].notna().all()
        assert alone[rest].isna().all(axis=None)
        assert (nobody["n"] == 0).all()
        assert nobody[["mean", *rest]].isna().all(axis=None)
        assert set(nobody["diverged_seeds"]) == {"3 7"}


class TestChosenEpochs:
    @pytest.mark.parametrize("name", ["histories", "gap"])
    def test_rows_are_those_of_a_full_history(self, both, name):
        chosen, full = (tables[name] for tables in both)
        expected = full[full["epoch"].isin({0, *CHOSEN, 12})].reset_index(drop=True)
        pd.testing.assert_frame_equal(chosen, expected, check_exact=True)

    def test_the_lowest_value_is_of_an_evaluated_epoch(self, both):
        chosen, full = both
        history = chosen["histories"].query("l2 == 0 and seed == 2").set_index("epoch")["val_ce"]
        runs = chosen["runs"].set_index(["l2", "seed"])
        row = runs.loc[(0, 2)]
        assert row["val_ce_min_epoch"] == history.idxmin() == 7
        assert row["val_ce_min"] == history.min()
        assert row["val_ce_creep"] == history[12] - history.min()
        at_best = chosen["histories"].query("l2 == 0 and seed == 2 and epoch == 7")
        assert row["test_accuracy_best"] == at_best["test_accuracy"].item()
        assert (full["runs"].set_index(["l2", "seed"])["val_ce_min_epoch"].dropna() == 6).all()

    @pytest.mark.parametrize(("end", "kept"), [(4, 3), (3, 2), (0, 0)])
    def test_a_diverged_run_keeps_the_evaluated_epochs_before(self, tmp_path, end, kept):
        made = {"lambdas": [0], "seeds": [0, 1], "epochs": 12, "evaluate_at": CHOSEN}
        config = synthetic.write_study(tmp_path, **made, diverged={(0, 1): end})
        run = synthetic.read_study(tmp_path, config)[1]
        assert run.history[:, 2].tolist() == [0, 1, 3, 7][:kept]


class TestContrasts:
    def test_against_scipy(self, study):
        rows = for_seeds(study.tables["contrasts"]).set_index(["measure", "l2"])
        seeds = [0, 1, 2, 4, 5]
        first = study.last("0.01", seeds, "test_accuracy")
        second = study.last("0", seeds, "test_accuracy")
        row = rows.loc[("test_accuracy", 0.01)]
        test = stats.ttest_rel(first, second)
        low, high = test.confidence_interval(0.95)
        assert row["n"] == 5
        assert row["mean_difference"] == pytest.approx((first - second).mean())
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        assert row["p_t"] == pytest.approx(test.pvalue)
        assert row["p_sign_flip"] == 2 / 2**5
        assert row["d_z"] == pytest.approx(test.statistic / math.sqrt(5))
        assert row["probability_improvement"] == 0
        assert row["p_variance"] == statistics.equal_variances(first, second)
        assert row["margin"] == 0.001
        equivalent = ttost_paired(first, second, -0.001, 0.001)[0]
        assert row["p_equivalent"] == pytest.approx(equivalent)
        assert row["correlation"] == pytest.approx(np.corrcoef(first, second)[0, 1])
        assert row["diverged_seeds"] == "3"
        assert row["reference_l2"] == 0

    def test_improvement_is_higher_accuracy_and_lower_cross_entropy(self):
        made = {"lambdas": [0, 0.01], "seeds": range(3), "epochs": 3}
        table = contrasts_of(**made, effects=synthetic.HELPFUL)
        assert table.loc[table["scope"] == SEEDS_AND_IMAGES, "probability_improvement"].isna().all()
        share = for_seeds(table).set_index("measure")["probability_improvement"]
        assert (share[["train_accuracy", "test_accuracy", "test_accuracy_noise_0.3"]] == 1).all()
        assert (share[["val_ce", "val_ce_min", "test_ce", "ece", "brier"]] == 0).all()
        measures = [m for m in share.index if m.startswith(("gap_", "weight_")) or "_norm" in m]
        assert len(measures) == 16
        neither = ["val_ce_min_epoch", "val_ce_creep", "val_ce_rise", "inactive_share"]
        assert share[[*measures, *neither]].isna().all()

    def test_a_reference_that_has_all_diverged(self):
        lost = {(0, 0): 1, (0, 1): 1}
        made = {"lambdas": [0, 0.001, 0.01], "seeds": [0, 1], "epochs": 2}
        table = contrasts_of(**made, diverged=lost)
        assert set(table["reference_l2"]) == {0.001}
        none = table[table["l2"] == 0]
        assert (none["n"] == 0).all() and (none["diverged_seeds"] == "0 1").all()
        assert none[["mean_difference", "p_t", "p_sign_flip", "p_holm"]].isna().all(axis=None)
        lost |= {(0.001, 0): 1, (0.001, 1): 1, (0.01, 0): 1, (0.01, 1): 1}
        every = contrasts_of(**made, diverged=lost)
        assert (every["n"] == 0).all() and set(every["reference_l2"]) == {0}

    def test_identical_runs_are_no_evidence(self):
        nothing = replace(synthetic.NOTHING, spread=0)
        table = contrasts_of(lambdas=[0, 0.01], seeds=range(3), epochs=2, effects=nothing)
        both = table[table["measure"] == "test_accuracy"].set_index("scope")
        assert len(both) == 2
        for _, row in both.iterrows():
            assert (row["mean_difference"], row["low"], row["high"], row["p_t"]) == (0, 0, 0, 1)
        row = both.loc[SEEDS]
        assert (row["p_sign_flip"], row["probability_improvement"]) == (1, 0.5)
        assert row[["d_z", "p_variance"]].isna().all()

    def test_a_measure_without_a_margin_is_not_shown_to_be_equivalent(self, study):
        rows = study.tables["contrasts"].set_index("measure")
        assert rows.loc["test_ce", ["margin", "p_equivalent"]].isna().all(axis=None)
        margins = rows["margin"].dropna()
        assert set(margins) == {0.001}
        assert all("accuracy" in name or name.startswith("gap_") for name in margins.index)
        assert rows.loc[margins.index, "p_equivalent"].notna().all()


class TestOtherTables:
    def test_power(self, study):
        table = study.tables["power"]
        assert table["scope"].value_counts().to_list() == [3 * 3 * 3] * 2
        table = for_seeds(table)
        row = table.query("l2 == 0.0001 and gap == 'endpoint' and difference == 0.001").iloc[0]
        gaps = [
            study.last(l2, range(6), "train_accuracy") - study.last(l2, range(6), "val_accuracy")
            for l2 in ("0.0001", "0")
        ]
        assert row["sd_difference"] == pytest.approx((gaps[0] - gaps[1]).std(ddof=1))
        counts = table.groupby("l2")[["n", "diverged_seeds"]].agg(set)
        assert counts.loc[0.0001].tolist() == [{6}, {""}]
        assert counts.loc[0.01].tolist() == [{5}, {"3"}]
        spread = statistics.variance_interval(gaps[0] - gaps[1], 0.95)
        for seeds, variance in (
            ("seeds", spread.value),
            ("seeds_low", spread.low),
            ("seeds_high", spread.high),
        ):
            assert row[seeds] == power.seeds_needed(math.sqrt(variance), 0.001, 0.95)


class TestMissing:
    def test_what_is_there_is_used_on_demand(self, small, tmp_path):
        folder, config = small
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        (tmp_path / "runs/l2~0/seed~7/run.json").unlink()
        with pytest.raises(run_files.DamagedRunError, match=r"seed~7/run\.json: missing"):
            write_tables(config, LEDGER_FILE, tmp_path)
        found = synthetic.read_study(tmp_path, config, allow_missing=True)
        assert [(run.l2, run.seed) for run in found] == [("0", 0), ("0.01", 0), ("0.01", 7)]
        write_tables(config, LEDGER_FILE, tmp_path, allow_missing=True)
        contrasts = pd.read_csv(tmp_path / "tables" / "contrasts.csv")
        risen = contrasts["measure"].isin(["val_ce_rise", "creep_hidden"])
        assert set(contrasts.loc[~risen, "n"]) == {1}  # seed 0 is the one pair
        # two epochs, and epoch 0 does not count
        assert set(contrasts.loc[risen, "n"]) == {0}
        (tmp_path / "runs/l2~0.01/seed~7/history.csv").write_text("")
        with pytest.raises(run_files.DamagedRunError, match="seed~7"):
            write_tables(config, LEDGER_FILE, tmp_path, allow_missing=True)

    def test_nothing_at_all_is_too_little(self, small, tmp_path):
        _, config = small
        with pytest.raises(run_files.DamagedRunError, match="none of the runs"):
            write_tables(config, LEDGER_FILE, tmp_path, allow_missing=True)


@pytest.fixture(scope="module")
def crossed():
    """A crossed study, and one of its independent runs alone."""
    made = {"lambdas": [0, 0.01], "epochs": 2, "split": "stratified"}
    return [Made.of(seeds=seeds, **made) for seeds in (CROSSED, [100, 202])]


@pytest.fixture(scope="module")
def by_split():
    made = {"lambdas": [0, 0.01], "seeds": range(3), "epochs": 2}
    return {split: Made.of(**made, split=split).tables for split in ("tail", "stratified")}


class TestCrossed:
    """Of a crossed study, the tables of statistics are those of its independent runs."""

    def test_all_else_is_as_if_the_independent_runs_were_alone(self, crossed):
        every, alone = (made.tables for made in crossed)
        assert (every["choice"]["n"] <= 2).all()
        of_all = {"histories", "runs", "weight_histogram", "variance", "means", "contrasts", "gap"}
        of_all |= {"claims", "course"}
        for name in set(every) - of_all:
            pd.testing.assert_frame_equal(every[name], alone[name])
        # what is not a mean stays that of the independent runs where the means are of all
        means = every["means"].set_index("measure")
        assert set(means.loc["test_accuracy", "n"]) == {6}
        for name, column in (("gap", "variance"), ("contrasts", "p_sign_flip")):
            pd.testing.assert_series_equal(every[name][column], alone[name][column])


class TestExchangeable:
    """The gap that has a value only where chance alone says which images are validation."""

    def test_it_is_training_less_validation_accuracy_of_a_random_split(self, by_split):
        tables = by_split["stratified"]
        runs, gap = tables["runs"], tables["gap"]
        expected = runs["train_accuracy"] - runs["val_accuracy"]
        assert runs["gap_exchangeable"].tolist() == pytest.approx(expected.tolist())
        rows = [gap[gap["gap"] == kind].drop(columns="gap") for kind in
                ("exchangeable", "endpoint")]  # fmt: skip
        # two lambdas, epochs 0, 1 and 2, and the last for other images too
        assert (len(for_seeds(rows[0])), len(rows[0])) == (6, 8)
        pd.testing.assert_frame_equal(*(own.reset_index(drop=True) for own in rows))

    def test_it_is_nowhere_where_the_split_is_the_tail(self, by_split):
        tables = by_split["tail"]
        assert tables["runs"]["gap_exchangeable"].isna().all()
        assert "exchangeable" not in set(tables["gap"]["gap"])
        for name in ("contrasts", "means"):
            random = set(by_split["stratified"][name]["measure"])
            assert random - set(tables[name]["measure"]) == {"gap_exchangeable"}

    def test_noisy_training_labels_take_its_value_away(self):
        config = synthetic.study_config([0], [0, 1], 2, split="stratified")
        assert build.without_value(Setup("base", {}, config, {})) == set()
        config["dataset"]["label_noise"] = 0.2
        assert build.without_value(Setup("base", {}, config, {})) == {"gap_exchangeable"}


OF_A_MODE = ("train_accuracy_training_mode", "gap_lag_averaging", "gap_lag_mode")


class TestModels:
    """Measures that only some models have, and those that a model of one's own cannot have."""

    @staticmethod
    def tables_of(change, **given):
        config, runs = synthetic.made_study(
            lambdas=[0, 0.01], seeds=[3, 7, 8], epochs=3, diverged={(0.01, 3): 0}
        )
        setup = Design.of(config | given, checked=True).base
        return tables_of(setup, LEDGER, [change(run) for run in runs])

    @staticmethod
    def in_training_mode(run):
        """A run whose accuracy in training mode is lower; the one that diverged has no row."""
        if not len(run.history):
            return run
        lower = run.history[:, HISTORY_COLUMNS.index("train_accuracy")] - [0, 0.1, 0.2, 0.3]
        return run._replace(history=np.column_stack([run.history, lower]))

    def test_the_lag_has_two_parts_where_there_is_a_mode_of_training(self):
        tables = self.tables_of(self.in_training_mode)
        gap = tables["gap"].pivot_table(index=["l2", "epoch"], columns="gap", values="mean")
        trained = gap.query("epoch > 0")
        assert (trained["lag_averaging"] + trained["lag_mode"]).tolist() == pytest.approx(
            trained["lag"].tolist()
        )
        assert gap["lag_mode"].loc[0].tolist() == pytest.approx([0, -0.1, -0.2, -0.3])
        for name in ("means", "contrasts", "variance"):
            assert set(OF_A_MODE[1:]) <= set(tables[name]["measure"]), name
        assert not absent_columns(tables) & set(OF_A_MODE)

    def test_nothing_is_said_of_it_where_there_is_none(self):
        tables = self.tables_of(lambda run: run)
        assert absent_columns(tables) == set(OPTIONAL) - {"never_lit_left"}  # of Adam
        assert not set(tables["gap"]["gap"]) & {"lag_averaging", "lag_mode"}
        for name in ("means", "contrasts", "variance"):
            assert not set(tables[name]["measure"]) & set(OF_A_MODE), name
        described = as_described(
            dict.fromkeys(read_descriptions(), pd.DataFrame())
            | {name: tables[name].assign(setup="base") for name in ("runs", "histories")},
            absent=absent_columns(tables),
        )
        for table in (described["runs"], described["histories"]):
            assert not set(table) & set(OF_A_MODE)
            assert "weight_norm" in table

    def test_what_a_model_of_one_s_own_cannot_have_has_no_row(self):
        missing = ["norm_product", "test_accuracy_noise_0.1", "boundary_distance"]

        def own(run):
            measured = run.measured
            if measured:
                nothing = dict.fromkeys(missing)
                measured = measured | {"measures": measured["measures"] | nothing}
            record = run.record | {"regularised_kernels": [[3, 3, 1, 4], [16, 10]]}
            record |= {"config": {"model": model}}
            return run._replace(record=record, measured=measured)

        model = {"build": "models.py:cnn", "code": "0"}
        tables = self.tables_of(own, model=model)
        absent = {*missing, "accuracy_lost_0.1", "penalty_start_ratio", "gap_exchangeable"}
        everything = {*RUN_MEASURES, *DERIVED_MEASURES} - set(OPTIONAL)
        assert everything - set(tables["means"]["measure"]) == absent
        assert not set(tables["contrasts"]["measure"]) & absent
