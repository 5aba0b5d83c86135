import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from frictionless import Package, validate

import aggregate as command
from l2study.core.files import read_table
from l2study.core.measures import GAPS, MEASURES, OPTIONAL, RUN_MEASURES
from l2study.core.seeds import SOURCES
from l2study.tables import datapackage, judge, power, study_tables
from l2study.tables.derived import DERIVED_MEASURES
from reported import EDGE_CASES, write_results
from synthetic import write_study
from tiny import PROJECT

pytestmark = pytest.mark.slow  # makes whole studies, and draws or reads them

MADE = {"lambdas": [0, 0.001, 0.01], "seeds": range(4), "epochs": 3, "study": "Made-up_2",
        "diverged": {(0.01, 3): 2, (0.001, 0): 1}}  # fmt: skip
SEEDS = {"seed", *(f"seed_{source}" for source in SOURCES)}
CSV = list(datapackage.read_descriptions())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of the tables of a study in which two runs diverged."""
    folder = tmp_path_factory.mktemp("study")
    write_results(folder, **MADE)
    return folder / "tables"


def faults(folder):
    """Return what Frictionless finds wrong with the tables in `folder`."""
    return validate(str(folder / "datapackage.json")).flatten(["type", "message"])


class TestPackage:
    def test_frictionless_finds_nothing(self, study):
        assert faults(study) == []

    @pytest.mark.parametrize("case", sorted(EDGE_CASES))
    def test_nor_in_an_odd_study(self, edge_case_results, case):
        assert faults(edge_case_results(case) / "tables") == []

    def test_describes_every_file_beside_it(self, study):
        package = Package(str(study / "datapackage.json"))
        there = {path.name for path in study.iterdir()} - {"datapackage.json"}
        assert {resource.path for resource in package.resources} == there
        assert {f"{name}.csv" for name in CSV} < there
        for name in CSV:
            header = (study / f"{name}.csv").read_text().partition("\n")[0].split(",")
            assert package.get_resource(name).schema.field_names == header

    def test_says_which_study_it_is(self, study):
        descriptor = json.loads((study / "datapackage.json").read_text())
        assert descriptor["name"] == "made-up_2"
        assert descriptor["config"]["study"] == "Made-up_2"

    def test_says_where_predictions_are_and_what_they_are(self, study):
        """Of every lambda there is the file that is named, and it has the arrays that are named."""
        descriptor = json.loads((study / "datapackage.json").read_text())
        about = descriptor["predictions"]
        assert list(about["path"]) == ["base"]
        lambdas = descriptor["config"]["lambdas"]
        named = {study.parent / about["path"]["base"].format(l2=l2) for l2 in lambdas}
        assert named == set(study.parent.glob("measures/*.npz"))
        kinds = {"unsigned integer": "u", "float32": "f"}
        for path in named:
            with np.load(path) as arrays:
                parts = {name.split("/")[1].partition("@")[0] for name in arrays}
                found = {name.split("/")[2]: arrays[name].dtype.kind for name in arrays}
            assert parts == set(about["parts"])
            assert found == {name: kinds[a["type"]] for name, a in about["arrays"].items()}

    def test_says_where_predictions_of_other_set_ups_are_and_names_classes(
        self,
    ):
        about = datapackage.predictions({"base": {"class_names": ["cat", "dog"]}, "width~9": {}})
        assert about["class_names"] == {"base": ["cat", "dog"]}
        assert about["path"] == {
            "base": "measures/l2~{l2}.predictions.npz",
            "width~9": "setups/width~9/measures/l2~{l2}.predictions.npz",
        }

    def test_wrong_values_are_found(self, study, tmp_path):
        wrong = {
            "runs": (",completed,", ",finished,", "constraint-error"),
            "histories": ("\nbase,0,0,1,", "\nbase,0,0,0,", "primary-key"),
            "gap": ("\nbase,0,1,reported,", "\nbase,0,1,,", "constraint-error"),
            "choice": ("\nbase,val_ce,yes,best,", "\nbase,val_ce,yes,worst,", "constraint-error"),
            "means": ("\nbase,0,", "\nbase,-1,", "constraint-error"),
            "weight_histogram": ("\nbase,0,0,", "\nbase,0,77,", "foreign-key"),
        }
        shutil.copytree(study, tmp_path, dirs_exist_ok=True)
        for table, (old, new, _) in wrong.items():
            path = tmp_path / f"{table}.csv"
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new, 1))
        tasks = validate(str(tmp_path / "datapackage.json")).tasks
        found = {task.name: {fault.type for fault in task.errors} for task in tasks}
        for table, (_, _, expected) in wrong.items():
            assert expected in found[table], table
            assert found[table] & {"hash-count", "byte-count"}, table


class TestDescriptions:
    def test_every_column_is_described_and_every_number_has_a_unit(self):
        for name, table in datapackage.read_descriptions().items():
            assert len(table["description"]) > 20, name
            for field in table["schema"]["fields"]:
                about = (name, field["name"])
                assert field["description"].endswith("."), about
                assert field["type"] in ("number", "integer", "string"), about
                assert ("unit" in field) == (
                    field["type"] != "string" and field["name"] not in SEEDS
                ), about

    def test_every_table_has_a_caption_for_the_report_of_snakemake(self):
        captions = (PROJECT / "reports" / "tables").glob("*.rst")
        assert {path.stem for path in captions} == set(CSV)

    def test_nothing_is_described_that_no_table_has(self):
        content = yaml.safe_load(datapackage.SCHEMA.read_text())
        used = {
            column
            for table in content["tables"].values()
            for column, own in table["columns"].items()
            if own is None
        }
        assert used - set(MEASURES) - {"measures", "derived"} == set(content["columns"])
        for name, table in content["tables"].items():
            named = {*table["required"], *table.get("primaryKey", [])}
            assert named <= set(table["columns"]), name

    def test_has_the_words_of_the_code(self):
        tables = {n: t["schema"]["fields"] for n, t in datapackage.read_descriptions().items()}
        allowed = {
            (name, field["name"]): field["constraints"]["enum"]
            for name, columns in tables.items()
            for field in columns
            if "enum" in field.get("constraints", {})
        }
        assert allowed[("gap", "gap")] == list(GAPS)
        assert allowed[("power", "gap")] == list(power.POWER_GAPS)
        rows = [judge.WITHIN, judge.OUTSIDE, judge.OPEN, judge.NOT_JUDGED]
        assert allowed[("claims", "verdict")] == rows
        conclusions = [judge.HOLDS, judge.FAILS, judge.OPEN, judge.NOT_JUDGED]
        assert allowed[("claims", "conclusion")] == conclusions
        # no word of a row is one of a claim, unless it says the same
        assert set(rows) & set(conclusions) == {judge.OPEN, judge.NOT_JUDGED}
        words = {field["name"]: field["description"] for field in tables["gap"]}["gap"]
        for kind, (first, second) in GAPS.items():
            same = "the same" if kind == "exchangeable" else f"{first} - {second}"
            assert f"{kind} is {same}" in words

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            (lambda table: table.assign(invented=1), "invented"),
            (lambda table: table.drop(columns="difference"), "difference"),
        ],
    )
    def test_a_table_that_differs_is_not_written(self, tmp_path, monkeypatch, change, word):
        config = write_study(tmp_path, lambdas=[0, 1e-3], seeds=[0, 1], epochs=1)
        monkeypatch.setattr(
            study_tables, "power_table", lambda *given: change(power.power_table(*given))
        )
        ledger = PROJECT / "reports" / "claims" / "exercise.yaml"
        with pytest.raises(datapackage.DescriptionError) as error:
            command.write_tables(config, ledger, tmp_path)
        assert "the columns of power" in str(error.value) and word in str(error.value)
        assert not (tmp_path / "tables").exists()

    def test_columns_are_in_the_order_described_and_those_that_are_not_there_empty(self):
        tables = dict.fromkeys(datapackage.read_descriptions(), pd.DataFrame())
        row = {"difference": 0.1, "gap": "reported", "n": 2, "l2": 0.0, "setup": "base"}
        row["scope"] = "seeds"
        power = datapackage.as_described(tables | {"power": pd.DataFrame([row])})["power"]
        fields = datapackage.read_descriptions()["power"]["schema"]["fields"]
        assert list(power) == [field["name"] for field in fields]
        assert power["sd_difference"].isna().all() and power["seeds"].dtype == "Int64"


class TestParquet:
    @pytest.mark.parametrize("name", ["histories", "runs"])
    def test_has_the_rows_of_the_csv(self, study, name):
        found = pq.read_table(study / f"{name}.parquet").to_pandas()
        expected = read_table(study / f"{name}.csv")
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)

    def test_has_the_types_described_and_no_value_where_there_is_none(self, study):
        table = pq.read_table(study / "runs.parquet")
        kinds = {field.name: str(field.type) for field in table.schema}
        whole = {*SEEDS, "epochs", "val_ce_min_epoch"}
        assert {name for name, kind in kinds.items() if kind == "int64"} == whole
        assert {name for name, kind in kinds.items() if kind == "string"} == {"setup", "status"}
        frame = pd.DataFrame(table.to_pylist())
        lost = frame[frame["status"] == "diverged"]
        assert sorted(zip(lost["l2"], lost["seed"], strict=True)) == sorted(MADE["diverged"])
        measures = [m for m in (*RUN_MEASURES, *DERIVED_MEASURES) if m not in OPTIONAL]
        assert lost[measures].drop(columns="penalty_error").isna().all(axis=None)
        # null, not NaN, which would count as a number elsewhere
        for column in measures:
            values = [v for v in table[column].to_pylist() if v is not None]
            assert np.isfinite(values).all(), column
        assert not table.schema.field("l2").nullable
        assert table.schema.field("test_accuracy").metadata[b"unit"] == b"fraction"

    def test_is_whole_or_not_there(self, study, tmp_path):
        table = datapackage.read_descriptions()["runs"]["schema"]["fields"]
        frame = read_table(study / "runs.csv").assign(status=1.5)
        with pytest.raises(Exception, match=r"1\.5|string|str"):
            datapackage.write_parquet(frame, table, tmp_path / "runs.parquet")
        assert list(tmp_path.iterdir()) == []
