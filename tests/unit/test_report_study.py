import re
import shutil

import pandas as pd
import pytest

from l2study.report.study import ReportError, load, read_captions, read_study
from reported import CAPTIONS, write_results
from tiny import PROJECT


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The configuration and the folder of a study."""
    folder = tmp_path_factory.mktemp("small")
    return write_results(folder, lambdas=[0, 1e-3], seeds=[0, 1], epochs=1), folder


@pytest.fixture
def damaged(small, tmp_path):
    """The configuration of a study, and a copy of its folder to damage."""
    return small[0], shutil.copytree(small[1], tmp_path / "copy")


def test_reads_tables_captions_and_environments(small):
    config, folder = small
    study = read_study(config, folder, CAPTIONS)
    written = {path.stem for path in (folder / "tables").glob("*.csv")}
    assert set(study.tables) == {*written, "all_claims", "verdicts"}
    assert study.name == folder.name
    assert study.config["lambdas"] == ["0", "0.001"]
    ((environment, count),) = study.environments
    assert (environment["keras"], count) == ("3.0", 4)
    assert study.data == {}


def test_captions_describe_first_and_are_plain_and_html():
    caption = read_captions(CAPTIONS)["creep"]
    assert caption.description.endswith(".")
    assert "val_loss" in caption.reading and "``" not in caption.reading
    assert caption.reading_html.startswith("<p>")


def test_captions_hold_no_results_and_are_of_two_sentences():
    for name, caption in read_captions(CAPTIONS).items():
        text = f"{caption.description} {caption.reading}"
        assert len(re.findall(r"\.(?=\s|$)", text)) == 2, name
        # L2, lambda 0, the outermost bins, what is as good as the best
        assert set(re.findall(r"\d+", text)) <= {"0", "1", "2", "01"}, name


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tables/gap.csv", None, r"gap\.csv: cannot be read: .*; run the study"),
        ("tables/runs.csv", "", r"runs\.csv: is not what datapackage"),
        ("tables/runs.csv", 'a,"b\n', r"runs\.csv: is not what datapackage"),
        ("runs/l2~0/seed~1/run.json", None, r"seed~1/run\.json"),
        ("runs/l2~0/seed~1/run.json", "{", r"seed~1/run\.json"),
    ],
)
def test_missing_or_damaged_file_is_named(damaged, name, content, words):
    config, folder = damaged
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    with pytest.raises(ReportError, match=words) as error:
        read_study(config, folder, CAPTIONS)
    assert "\n" not in str(error.value)


def test_captions_need_two_paragraphs(tmp_path):
    with pytest.raises(ReportError, match="no captions"):
        read_captions(tmp_path)
    (tmp_path / "gap.rst").write_text("One paragraph.\n")
    with pytest.raises(ReportError, match=r"gap\.rst: needs a paragraph"):
        read_captions(tmp_path)


def test_code_for_a_notebook_runs_as_the_page_says(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mnist").symlink_to(PROJECT / "reference" / "mnist")
    (tmp_path / "scripts").symlink_to(PROJECT / "scripts")
    monkeypatch.chdir(tmp_path)
    text = (PROJECT / "docs" / "results.md").read_text()
    (code,) = re.findall(r"^```python\n(import sys\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    made = {}
    exec(code, made)
    assert made["accuracy"]["l2"].tolist() == made["curves"].columns.tolist()
    assert made["accuracy"]["l2"].tolist() == [0, 1e-5, 1e-4, 1e-3, 1e-2]
    assert made["curves"].index[[0, 1, -1]].tolist() == [0, 1, 50]
    assert "interval" in made["what"]


def test_loaded_tables_have_the_types_that_are_described(small, damaged):
    tables = load(small[1])
    written = {path.stem for path in (small[1] / "tables").glob("*.csv")}
    assert set(tables) == written
    assert all(table.attrs["columns"].keys() == set(table) for table in tables.values())
    assert tables["histories"][["l2", "seed", "setup"]].dtypes.astype(str).tolist() == [
        "float64", "Int64", "str",
    ]  # fmt: skip
    empty = tables["contrasts"]["diverged_seeds"]
    assert empty.isna().all() and pd.api.types.is_string_dtype(empty)
    shutil.rmtree(damaged[1] / "tables")
    with pytest.raises(ReportError, match="has no finished tables; run the study to its end first"):
        load(damaged[1])
    with pytest.raises(ReportError, match="there is no such folder"):
        load(damaged[1] / "absent")
