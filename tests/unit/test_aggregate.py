import math
import shutil

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
from l2study.core.scope_rows import SEEDS_AND_IMAGES, for_seeds
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


def made(**options):
    """Return the tables of a made-up study."""
    return synthetic.made_tables("penalty", "start", **options)[1]


def history_of(tables, l2, seed):
    return tables["histories"].query("l2 == @l2 and seed == @seed").set_index("epoch")


def contrasts_of(**options):
    setup, _, runs, images = synthetic.made_runs(**options)
    absent = build.absent_measures(setup, runs)
    return build.contrasts_table(runs, setup.reference, setup.confidence, absent, images)


@pytest.fixture(scope="module")
def runs():
    """The runs of a study of which two diverged."""
    return synthetic.made_study(diverged=LOST)[1]


@pytest.fixture(scope="module")
def tables():
    """The tables of the same study."""
    return made(diverged=LOST)


@pytest.fixture(scope="module")
def both():
    """The tables of a study with chosen epochs, and of the same with every epoch."""
    options = {"lambdas": [0, 0.01], "epochs": 12, "diverged": {(0.01, 3): 5}}
    return [made(**options, evaluate_at=at) for at in (CHOSEN, None)]


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
    def test_measures_of_a_completed_run(self, runs, tables):
        (run,) = (run for run in runs if (run.l2, run.seed) == ("0.0001", 4))
        history = pd.DataFrame(run.history, columns=HISTORY_COLUMNS)
        end, lowest = history.iloc[-1], history["val_ce"].min()
        expected = {
            "epochs": 8,
            "val_ce_min": lowest,
            "val_ce_min_epoch": 4,
            "val_ce_creep": end["val_ce"] - lowest,
            "generalisation_loss": 100 * (end["val_ce"] / lowest - 1),  # Prechelt's
            "gap_reported": end["train_accuracy_running"] - end["val_accuracy"],
            "gap_ce": end["val_ce"] - end["train_ce"],
            **end[["train_loss_running", "val_ce", "spectral_norm", "penalty"]],
            **run.measured["measures"],
            **run.record["cost"],
        }
        row = tables["runs"].set_index(["l2", "seed"]).loc[(0.0001, 4)]
        assert row["status"] == "completed"
        assert row[list(expected)].to_dict() == pytest.approx(expected, rel=1e-10)

    def test_rise_where_only_some_epochs_are_recorded(self, runs, tables):
        histories = build.histories_table(runs)
        kept = histories[histories["epoch"].isin([0, 1, 2, 5, 8])].copy()
        # epoch 0 does not count, however low it is
        kept.loc[kept["epoch"] == 0, "val_ce"] = -100.0
        found = with_derived(kept, build.runs_table(runs), None).query("l2 == 0")["val_ce_rise"]
        curves = kept.query("l2 == 0 and epoch > 0").pivot_table("val_ce", "seed", "epoch")
        expected = statistics.rise_after_minimum(curves.to_numpy())
        assert found.tolist() == pytest.approx(expected.tolist())
        assert not np.allclose(expected, tables["runs"].query("l2 == 0")["val_ce_rise"])

    def test_a_diverged_run_has_status_and_cost_only(self, tables):
        runs = tables["runs"].set_index(["l2", "seed"])
        row = runs.loc[(0.01, 3)]
        assert (row["status"], row["epochs"]) == ("diverged", 1)
        assert row[RUN_MEASURES].isna().all() and row[COSTS].notna().all()
        assert (runs["status"] == "diverged").sum() == 2
        assert len(history_of(tables, 0.01, 3)) == 2

    def test_measures_may_be_null_or_the_history_empty(self):
        config, found = synthetic.made_study(
            lambdas=[0], seeds=[0, 1], epochs=1, diverged={(0, 0): 0}
        )
        found[1].measured["measures"]["inactive_share"] = None
        runs = tables_of(Design.of(config, checked=True).base, LEDGER, found)["runs"]
        assert runs["inactive_share"].isna().all()
        assert pd.isna(runs.loc[0, "epochs"])


class TestGap:
    def test_against_arithmetic(self, tables):
        gap = for_seeds(tables["gap"]).set_index(["l2", "epoch", "gap"])
        rows = [history_of(tables, 0.01, seed).loc[6] for seed in (0, 1, 2, 4, 5)]
        values = np.array([row["train_accuracy"] - row["test_accuracy"] for row in rows])
        row = gap.loc[(0.01, 6, "generalisation")]
        mean = statistics.mean_interval(values, 0.95)
        assert row[["mean", "mean_low", "mean_high", "n"]].tolist() == pytest.approx(mean)
        spread = statistics.variance_interval(values, 0.95)
        names = ["variance", "variance_low", "variance_high", "n"]
        assert row[names].tolist() == pytest.approx(spread)
        assert row["sd"] == pytest.approx(values.std(ddof=1))
        assert row["diverged_seeds"] == "3"

    def test_rows(self, tables):
        gap = tables["gap"]
        # four lambdas, six kinds at epochs 1 to 8 and four of them at epoch 0
        assert len(for_seeds(gap)) == 4 * (6 * 8 + 4)
        at_start = {"generalisation", "split", "endpoint", "ce"}
        assert set(gap[gap["epoch"] == 0]["gap"]) == at_start
        # for other images too: all but the lag, at the last epoch
        wide = gap[gap["scope"] == SEEDS_AND_IMAGES]
        assert len(wide) == len(gap) - len(for_seeds(gap)) == 4 * 5
        assert set(wide["gap"]) == {"reported", *at_start}
        assert (wide["epoch"] == 8).all()
        assert gap["l2"].is_monotonic_increasing
        assert not gap.duplicated(["l2", "epoch", "gap", "scope"]).any()

    def test_one_run_or_none(self):
        diverged = {(0, 3): 1, (0.01, 3): 1, (0.01, 7): 2}
        setup, histories, runs, images = synthetic.made_runs(
            lambdas=[0, 0.01], seeds=[3, 7], epochs=2, diverged=diverged
        )
        absent = build.absent_measures(setup, runs)
        gap = build.gap_table(histories, runs, setup.epochs, 0.95, absent, images)
        alone, nobody = gap[gap["l2"] == 0], gap[gap["l2"] == 0.01]
        assert len(for_seeds(alone)) == len(nobody) == 2 * 6 + 4
        # one run says how right each image is, but nothing of other seeds
        assert len(alone) == len(nobody) + 5
        assert for_seeds(nobody).equals(nobody)
        rest = ["variance", "sd", "mean_low", "mean_high", "variance_low", "variance_high"]
        assert (alone["n"] == 1).all() and alone["mean"].notna().all()
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
        history = history_of(chosen, 0, 2)
        ce = history["val_ce"]
        row = chosen["runs"].set_index(["l2", "seed"]).loc[(0, 2)]
        assert row["val_ce_min_epoch"] == ce.idxmin() == 7
        assert (row["val_ce_min"], row["val_ce_creep"]) == (ce.min(), ce[12] - ce.min())
        assert row["test_accuracy_best"] == history.loc[7, "test_accuracy"]
        assert (full["runs"]["val_ce_min_epoch"].dropna() == 6).all()

    @pytest.mark.parametrize(("end", "kept"), [(4, 3), (3, 2), (0, 0)])
    def test_a_diverged_run_keeps_the_evaluated_epochs_before(self, tmp_path, end, kept):
        options = {"lambdas": [0], "seeds": [0, 1], "epochs": 12, "evaluate_at": CHOSEN}
        config = synthetic.write_study(tmp_path, **options, diverged={(0, 1): end})
        run = synthetic.read_study(tmp_path, config)[1]
        assert run.history[:, 2].tolist() == [0, 1, 3, 7][:kept]


class TestContrasts:
    def test_against_scipy(self, tables):
        wide = tables["runs"].pivot(index="seed", columns="l2", values="test_accuracy")
        first, second = wide[[0.01, 0.0]].dropna().T.to_numpy()
        test = stats.ttest_rel(first, second)
        low, high = test.confidence_interval(0.95)
        expected = {
            "n": 5,
            "mean_difference": (first - second).mean(),
            "low": low,
            "high": high,
            "p_t": test.pvalue,
            "p_sign_flip": 2 / 2**5,
            "d_z": test.statistic / math.sqrt(5),
            "probability_improvement": 0,
            "p_variance": statistics.equal_variances(first, second),
            "margin": 0.001,
            "p_equivalent": ttost_paired(first, second, -0.001, 0.001)[0],
            "correlation": np.corrcoef(first, second)[0, 1],
            "reference_l2": 0,
        }
        rows = for_seeds(tables["contrasts"]).set_index(["measure", "l2"])
        row = rows.loc[("test_accuracy", 0.01)]
        assert row[list(expected)].to_dict() == pytest.approx(expected)
        assert row["diverged_seeds"] == "3"

    def test_improvement_is_higher_accuracy_and_lower_cross_entropy(self):
        options = {"lambdas": [0, 0.01], "seeds": range(3), "epochs": 3}
        table = contrasts_of(**options, effects=synthetic.HELPFUL)
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
        options = {"lambdas": [0, 0.001, 0.01], "seeds": [0, 1], "epochs": 2}
        table = contrasts_of(**options, diverged=lost)
        assert set(table["reference_l2"]) == {0.001}
        none = table[table["l2"] == 0]
        assert (none["n"] == 0).all() and (none["diverged_seeds"] == "0 1").all()
        assert none[["mean_difference", "p_t", "p_sign_flip", "p_holm"]].isna().all(axis=None)
        lost |= {(0.001, 0): 1, (0.001, 1): 1, (0.01, 0): 1, (0.01, 1): 1}
        every = contrasts_of(**options, diverged=lost)
        assert (every["n"] == 0).all() and set(every["reference_l2"]) == {0}

    def test_a_measure_without_a_margin_is_not_shown_to_be_equivalent(self, tables):
        rows = tables["contrasts"].set_index("measure")
        assert rows.loc["test_ce", ["margin", "p_equivalent"]].isna().all(axis=None)
        margins = rows["margin"].dropna()
        assert set(margins) == {0.001}
        assert all("accuracy" in name or name.startswith("gap_") for name in margins.index)
        assert rows.loc[margins.index, "p_equivalent"].notna().all()


def test_power(tables):
    table = tables["power"]
    assert table["scope"].value_counts().to_list() == [3 * 3 * 3] * 2
    table = for_seeds(table)
    counts = table.groupby("l2")[["n", "diverged_seeds"]].agg(set)
    assert counts.loc[[0.0001, 0.01]].to_numpy().tolist() == [[{6}, {""}], [{5}, {"3"}]]
    row = table.query("l2 == 0.0001 and gap == 'endpoint' and difference == 0.001").iloc[0]
    gaps = tables["runs"].pivot(index="seed", columns="l2", values="gap_endpoint")
    spread = statistics.variance_interval(gaps[0.0001] - gaps[0.0], 0.95)
    assert row["sd_difference"] == pytest.approx(math.sqrt(spread.value))
    found = row[["seeds", "seeds_low", "seeds_high"]].tolist()
    assert found == [power.seeds_needed(math.sqrt(v), 0.001, 0.95) for v in spread[:3]]


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


def test_tables_of_a_crossed_study_are_those_of_its_independent_runs_alone():
    options = {"lambdas": [0, 0.01], "epochs": 2, "split": "stratified"}
    every, alone = (made(seeds=seeds, **options) for seeds in (CROSSED, [100, 202]))
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

    def test_it_is_that_of_training_and_validation_where_the_split_is_random(self):
        options = {"lambdas": [0, 0.01], "seeds": range(3), "epochs": 2}
        random, tail = (made(**options, split=split) for split in ("stratified", "tail"))
        runs, gap = random["runs"], random["gap"]
        expected = runs["train_accuracy"] - runs["val_accuracy"]
        assert runs["gap_exchangeable"].tolist() == pytest.approx(expected.tolist())
        rows = [gap[gap["gap"] == kind].drop(columns="gap") for kind in
                ("exchangeable", "endpoint")]  # fmt: skip
        # two lambdas, epochs 0, 1 and 2, and the last for other images too
        assert (len(for_seeds(rows[0])), len(rows[0])) == (6, 8)
        pd.testing.assert_frame_equal(*(own.reset_index(drop=True) for own in rows))
        assert tail["runs"]["gap_exchangeable"].isna().all()
        for name, column in (("gap", "gap"), ("contrasts", "measure"), ("means", "measure")):
            (only,) = set(random[name][column]) - set(tail[name][column])
            assert only.removeprefix("gap_") == "exchangeable"

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
        both = trained["lag_averaging"] + trained["lag_mode"]
        assert both.tolist() == pytest.approx(trained["lag"].tolist())
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
