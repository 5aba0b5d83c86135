import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import compare as command
from aggregate import write_tables
from browsing import launched, opened, overflow, scrolling
from l2study.core.files import read_table
from l2study.core.scope_rows import for_seeds
from l2study.core.wording import fixed
from l2study.report import comparison, style
from reported import with_tables
from requirements import require
from synthetic import HARMFUL, IMAGES, write_study
from tiny import PROJECT

pytestmark = pytest.mark.slow  # makes whole studies, and draws or reads them

FIRST = {"lambdas": [0, 1e-4, 1e-2], "seeds": range(4), "epochs": 3}
SECOND = {
    "lambdas": [0, 5e-4, 1e-2, 1e-1],
    "seeds": [0, 2, 5],
    "epochs": 4,
    "effects": HARMFUL,
    "diverged": {(1e-1, 0): 1, (1e-1, 2): 1, (1e-1, 5): 2, (1e-2, 5): 2},
}


def write_data(folder, checksum):
    """Give a made-up study a manifest of its data, as prepare.py would."""
    counts = {"train": 9, "validation": IMAGES["val"], "test": IMAGES["test"]}
    (folder / "data.json").write_text(
        json.dumps({"sha256": checksum, "counts": counts, "shape": [2, 2], "classes": 3})
    )
    for path in folder.glob("runs/*/*/run.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"data_sha256": checksum}))
    for path in folder.glob("measures/*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"measured_with": {"data_sha256": checksum}}))


def write(folder, options, checksum="a"):
    config = write_study(folder, **options)
    write_data(folder, checksum)
    write_tables(config, PROJECT / "reports" / "claims" / "exercise.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("results")
    return [write(place / "one", FIRST), write(place / "<other>", SECOND, "b")]


@pytest.fixture(scope="module")
def studies(folders):
    return comparison.read_studies(folders)


@pytest.fixture(scope="module")
def page(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("page") / "side by side.html"
    command.main([*map(str, folders), "--output", str(output)])
    return output


def test_numbers_are_those_of_the_tables_of_means(studies, folders):
    table = comparison.comparison_table(studies)
    for folder in folders:
        own = table[table["study"] == folder.name].set_index(["measure", "l2"])
        means = for_seeds(read_table(folder / "tables" / "means.csv")).set_index(["measure", "l2"])
        means = means.loc[list(comparison.COMPARED)]
        assert list(own.index) == list(means.index)
        for column in ("n", "mean", "low", "high"):
            np.testing.assert_array_equal(own[column], means[column])
    lost = own[own["diverged_seeds"] != ""].groupby("l2")[["n", "diverged_seeds"]].agg(set)
    assert lost.to_numpy().tolist() == [[{2}, {"5"}], [{0}, {"0 2 5"}]]


class TestWords:
    def test_differences_are_those_and_no_others(self, studies):
        assert [tuple(row.values()) for row in comparison.differences(studies)] == [
            ("training.epochs", "3", "4"),
            ("lambdas", "0, 0.0001, 0.01", "0, 0.0005, 0.01, 0.1"),
            ("seeds", "0 to 3", "0, 2, 5"),
        ]

    def test_what_can_be_compared(self, studies):
        one, other = studies
        assert comparison.comparability(studies) == {
            "same_data": False,
            "data_known": True,
            "same_seeds": False,
            "epochs": {"one": 3, "<other>": 4},
        }
        assert comparison.comparability([one, replace(other, data=one.data)])["same_data"]
        unknown = comparison.comparability([replace(study, data={}) for study in studies])
        assert not unknown["same_data"] and not unknown["data_known"]

    def test_in_short_is_of_the_lambdas_that_have_completed_runs(self, studies):
        table = comparison.comparison_table(studies)
        found = comparison.in_short(studies[1], table)
        rows = table.set_index(["study", "measure", "l2"])["mean"]
        expected = [f"{100 * rows['<other>', 'test_accuracy', l2]:.2f}" for l2 in (0, 0.01)]
        assert found["ends"] == [0, 0.01]
        assert found["changes"][2] == ("test accuracy", *expected, "%")


def test_claims_of_one_name_but_other_words_are_kept_apart(studies):
    first, second = studies
    claims = second.tables["claims"]
    words = claims["claim"].mask(claims["id"] == "small-weights", "of another ledger")
    changed = with_tables(second, claims=claims.assign(claim=words))
    rows = {row["Claim"]: row for row in comparison.verdicts([first, changed])}
    (own,) = set(claims.loc[claims["id"] == "small-weights", "claim"])
    assert rows["of another ledger"][first.name] == rows[own][second.name] == "–"
    assert "–" not in (rows[own][first.name], rows["of another ledger"][second.name])


@pytest.mark.parametrize("measure", ["gap_reported", "val_ce"])
def test_every_study_has_its_means_where_it_has_lambdas(studies, measure):
    table = comparison.comparison_table(studies)
    drawing = comparison.draw(studies, table, measure)
    assert len(drawing.axes) == (2 if measure in comparison.OF_THE_DATA else 1)
    lines = {line.get_label(): line for ax in drawing.axes for line in ax.lines}
    positions = style.lambda_positions(comparison.lambdas_of(studies))
    scale = 1 if measure == "val_ce" else 100
    for study in studies:
        rows = table[(table["study"] == study.name) & (table["measure"] == measure)]
        line = lines[f"mean:{study.name}"]
        np.testing.assert_allclose(line.get_ydata(), scale * rows["mean"])
        places = [positions[l2] for l2 in rows["l2"]]
        np.testing.assert_allclose(line.get_xdata(), places, atol=0.1)


class TestPage:
    def test_needs_nothing_else_and_names_what_is_lost(self, page):
        text = page.read_text()
        addresses = re.findall(r'src="([^"]+)"', text)
        assert len(addresses) == len(comparison.COMPARED)
        assert all(address.startswith("data:") for address in addresses)
        assert re.findall(r'<a href="([^"]+)"', text) == ["side%20by%20side.csv"]
        assert "<script" not in text and "<other>" not in text
        assert "λ = 0.1 every seed (seeds 0, 2, 5)" in text

    def test_the_table_beside_it_has_the_numbers(self, page, studies):
        found = read_table(page.with_suffix(".csv"))
        pd.testing.assert_frame_equal(found, comparison.comparison_table(studies).replace("", None),
                                      check_dtype=False)  # fmt: skip

    @pytest.mark.parametrize("measure", ["gap_reported", "val_ce"])
    def test_cells_are_those_of_the_table(self, studies, measure):
        table = comparison.comparison_table(studies)
        rows = table[table["measure"] == measure].set_index(["study", "l2"])
        form = fixed(4) if measure == "val_ce" else fixed(2, 100)
        cells = {str(row["λ"]): row for row in comparison.measure_table(studies, table, measure)}
        assert list(cells) == ["0", "0.0001", "0.0005", "0.01", "0.1"]
        one, other = (study.name for study in studies)
        for name, absent, l2 in ((one, other, 1e-4), (other, one, 5e-4)):
            mean, low, high = map(form, rows.loc[name, l2][["mean", "low", "high"]])
            assert str(cells[f"{l2:g}"][name]) == f"{mean} ({low} to {high})"
            assert str(cells[f"{l2:g}"][absent]) == "not in this study"
        assert str(cells["0.1"][other]) == "no run completed"

    def test_verdicts_and_choices_are_those_of_the_tables(self, studies):
        for study in studies:
            overall = study.tables["claims"].query("estimand == 'overall'")
            found = [row[study.name] for row in comparison.verdicts(studies)]
            assert [one.text for one in found] == overall["conclusion"].tolist()
            numbers = [one.beneath.removeprefix("number found: ") for one in found]
            assert numbers == overall["figure_found"].fillna("").tolist()
            choice = for_seeds(study.tables["choice"]).query("configured == 'yes'")
            chosen = [row[study.name].text for row in comparison.choices(studies)]
            assert chosen == [f"λ = {l2:g}" for l2 in choice["l2"]]

    def test_in_a_browser(self, page):
        with launched(require("chromium", "chromium")) as browser:
            for width in (320, 1280):
                with opened(browser, page, width) as tab:
                    assert overflow(tab) == 0
                    loaded = "[...document.images].map(i => i.complete && i.naturalWidth > 0)"
                    assert tab.evaluate(loaded) == [True] * len(comparison.COMPARED)
                    assert width > 320 or scrolling(tab) == []

    def test_the_same_studies_give_the_same_bytes(self, page, folders, tmp_path):
        output = tmp_path / page.name
        command.main([*map(str, folders), "--output", str(output)])
        assert output.read_bytes() == page.read_bytes()


class TestRefused:
    def refused(self, *folders, output="out.html"):
        with pytest.raises(SystemExit) as error:
            command.main([*map(str, folders), "--output", str(output)])
        assert len(str(error.value).splitlines()) == 1
        return str(error.value)

    @pytest.fixture
    def copy(self, folders, tmp_path):
        return shutil.copytree(folders[1], tmp_path / "copy")

    def test_too_few_too_many_or_alike(self, folders, copy, tmp_path):
        assert "1 given; allowed: 2 to 6" in self.refused(folders[0])
        assert "7 given" in self.refused(*folders[:1] * 7)
        assert "same results twice" in self.refused(folders[1], copy)
        other = shutil.copytree(folders[1], tmp_path / "one")
        assert "both folders are called one" in self.refused(folders[0], other)

    def test_another_confidence(self, folders, tmp_path):
        other = write(tmp_path / "ninety", FIRST | {"confidence": 0.9, "random_state": 1})
        assert "confidence 0.95 and 0.9" in self.refused(folders[0], other)

    def test_what_is_no_finished_study(self, folders, tmp_path):
        assert "no such folder" in self.refused(folders[0], tmp_path / "absent")
        assert "has no finished tables" in self.refused(folders[0], tmp_path)

    def test_a_table_that_is_missing_or_of_another_time(self, folders, copy):
        path = copy / "tables" / "runs.csv"
        path.write_text(path.read_text() + "\n")
        assert f"{path}: is not what datapackage.json describes" in self.refused(folders[0], copy)
        path.unlink()
        assert f"{path}: cannot be read" in self.refused(folders[0], copy)

    def test_tables_that_are_of_other_runs_or_of_none(self, folders, copy, tmp_path):
        """As after `snakemake --until train` with other epochs. Tables alone can be compared."""
        path = copy / "runs" / "l2~0.0005" / "seed~2" / "run.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"weights_sha256": "0" * 64}))
        fault = f"{copy}: its tables are not of the runs beside them; run the study to its end"
        assert fault in self.refused(folders[0], copy)
        path.unlink()
        assert str(path) in self.refused(folders[0], copy)
        shutil.rmtree(copy / "runs")
        command.main([str(folders[0]), str(copy), "--output", str(tmp_path / "page.html")])
        assert (tmp_path / "page.html").exists()

    def test_runs_that_are_missing(self, folders, copy):
        path = copy / "tables" / "datapackage.json"
        package = json.loads(path.read_text())
        package["config"]["seeds"] = [0, 2, 5, 6]
        path.write_text(json.dumps(package))
        assert "lacks 4 of its 16 runs" in self.refused(folders[0], copy)

    def test_an_output_that_cannot_be(self, folders, tmp_path):
        assert "does not end in .html" in self.refused(*folders, output=tmp_path / "page.txt")
        (tmp_path / "file").write_text("")
        assert "cannot be written" in self.refused(*folders, output=tmp_path / "file" / "a.html")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
