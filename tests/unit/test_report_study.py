import shutil

import pytest

from l2study.report.study import ReportError, read_captions, read_study
from reported import CAPTIONS, write_results


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
    assert "val_loss" in caption.reading
    assert "``" not in caption.reading
    assert caption.reading_html.startswith("<p>")


def test_captions_hold_no_results():
    for name, caption in read_captions(CAPTIONS).items():
        text = caption.description + caption.reading
        allowed = {"0", "1", "15"}  # lambda or epoch 0, epoch 1, bins
        allowed |= {"02", "05", "2", "5", "000", "500"}  # radii of attacks, attacked images
        allowed |= {"01", "93", "3"}  # what is as good as the best, when a curve is drawn
        assert set("".join(c if c.isdigit() else " " for c in text).split()) <= allowed, name


def test_missing_table_is_named(damaged):
    config, folder = damaged
    (folder / "tables" / "gap.csv").unlink()
    with pytest.raises(ReportError, match=r"gap\.csv: cannot be read: .*; run the study"):
        read_study(config, folder, CAPTIONS)


@pytest.mark.parametrize("content", ["", 'a,"b\n'])
def test_damaged_table_is_named(damaged, content):
    config, folder = damaged
    (folder / "tables" / "runs.csv").write_text(content)
    with pytest.raises(ReportError, match=r"runs\.csv: is not what datapackage") as error:
        read_study(config, folder, CAPTIONS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["{", None])
def test_damaged_record_is_named(damaged, content):
    config, folder = damaged
    record = folder / "runs" / "l2~0" / "seed~1" / "run.json"
    record.unlink() if content is None else record.write_text(content)
    with pytest.raises(ReportError, match=r"seed~1/run\.json"):
        read_study(config, folder, CAPTIONS)


def test_captions_need_two_paragraphs(tmp_path):
    with pytest.raises(ReportError, match="no captions"):
        read_captions(tmp_path)
    (tmp_path / "gap.rst").write_text("One paragraph.\n")
    with pytest.raises(ReportError, match=r"gap\.rst: needs a paragraph"):
        read_captions(tmp_path)
