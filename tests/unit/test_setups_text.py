import dataclasses
import re

import numpy as np
import pytest

import set_ups
from l2study.core.design import Design, Setup
from l2study.report import figures, page, setups_text, summary
from l2study.report.navigation import groups, path_to, tables_folder
from l2study.report.setup_names import crossed, ordered, words
from l2study.report.setups_figures import MARKS, deciding
from l2study.report.study import ReportError, Study, read_captions, read_study
from l2study.report.table_cells import Verdict
from l2study.report.templates import paragraphs
from reported import CAPTIONS, add_across, made_up, write_results
from synthetic import study_config
from tiny import PROJECT

ACROSS = PROJECT / "reports" / "captions_across"


def study_of(factors, full=False, setup="base", claims=set_ups.CLAIMS, verdict=None, **made):
    table = set_ups.setups_table(factors, full, **made)
    tables = set_ups.across_tables(table, claims, verdict)
    config = study_config([0, 1e-3, 1e-2], [0, 1], 20)
    found = [
        Setup(
            row["setup"],
            {name: row[name] for name in factors},
            config,
            {part.split("~")[0]: {"training"} for part in row["setup"].split(",") if "~" in part},
        )
        for row in table.to_dict("records")
    ]
    return Study("made-up", config, tables, {}, setup=setup, setups=found)


@pytest.fixture(scope="module")
def one_at_a_time():
    return study_of(set_ups.ROBUSTNESS, missing=["optimizer~sgd"], diverged={"batch_size~32": 2})


@pytest.fixture(scope="module")
def full():
    return study_of(set_ups.WHEN, full=True)


def draw(study, name):
    return figures.draw(name, study)


def texts(drawing):
    return [text.get_text() for text in drawing.findobj(lambda a: hasattr(a, "get_text"))]


def marks(ax):
    """The marks of a panel, by their labels."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


# --- names ----------------------------------------------------------------------------------------


def test_levels_are_in_order_of_their_numbers_and_all_comes_last():
    assert ordered(["all", "500", "10000", "2000", "500"]) == ["500", "2000", "10000", "all"]
    assert ordered(["sgd", "1e-5", "0.001", "adam"]) == ["1e-5", "0.001", "adam", "sgd"]


def test_set_ups_are_crossed_only_if_all_levels_of_two_factors_are_combined():
    table = set_ups.setups_table(set_ups.WHEN, full=True)
    assert crossed(table) == ("train_size", "learning_rate")
    assert crossed(table.iloc[:-1]) is None
    assert crossed(set_ups.setups_table(set_ups.WHEN)) is None
    assert crossed(set_ups.setups_table(set_ups.ROBUSTNESS)) is None


# --- figures --------------------------------------------------------------------------------------


def test_every_figure_across_set_ups_has_a_caption_and_the_other_way_round():
    assert set(figures.ACROSS) == {path.stem for path in ACROSS.glob("*.rst")}
    assert not set(figures.ACROSS) & set(figures.FIGURES)


def test_captions_hold_no_results():
    for caption in read_captions(ACROSS).values():
        assert set(re.findall(r"\d+", caption.description + caption.reading)) <= {"0"}


def test_verdict_map_has_a_mark_for_every_verdict_and_none_for_what_is_missing(one_at_a_time):
    (ax,) = draw(one_at_a_time, "verdict_map").axes
    verdicts = one_at_a_time.tables["verdicts"]
    shown = marks(ax)
    assert len(shown) == len(verdicts) == 88
    columns = [tick.get_text() for tick in ax.get_xticklabels()]
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert columns[0] == "base ★"
    assert "optimizer sgd" in columns
    near = set_ups.setups_table(set_ups.ROBUSTNESS).query("close_to_given == 'yes'")["setup"]
    assert [c for c in columns if "★" in c] == [f"{words(name)} ★" for name in near]
    for row in verdicts.itertuples():
        mark = shown[f"{row.setup} {row.id}"]
        (x,), (y,) = mark.get_data()
        assert columns[x].removesuffix(" ★") == words(row.setup)
        assert rows[y] == row.id
        marker, colour, filled = MARKS[row.verdict]
        assert (mark.get_marker(), mark.get_mec()) == (marker, colour)
        assert (mark.get_mfc() == colour) == filled


def test_verdicts_differ_without_colour():
    assert len({(marker, filled) for marker, _, filled in MARKS.values()}) == len(MARKS)


def test_verdict_of_another_name_is_drawn_and_in_the_key():
    study = study_of(set_ups.WHEN, claims=["one"], verdict=lambda claim, name: "not tested")
    assert "not tested" in texts(draw(study, "verdict_map"))


def test_many_set_ups_are_rows_of_the_map():
    study = study_of({"width": ("128", [str(n) for n in range(1, 31)])}, claims=["one", "two"])
    (ax,) = draw(study, "verdict_map").axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["one", "two"]
    assert len(ax.get_yticklabels()) == 31


@pytest.mark.slow  # draws
@pytest.mark.parametrize("name", figures.ACROSS)
def test_every_text_is_inside_the_figure(name):
    long = {"optimizer": ("adam", ["a-very-long-name-of-a-level-that-somebody-chose-to-give-it"])}
    for factors, combined in ((set_ups.ROBUSTNESS, False), (set_ups.WHEN, True), (long, False)):
        drawing = draw(study_of(factors, combined), name)
        drawing.draw_without_rendering()
        width, height = drawing.bbox.size
        shown = [text for ax in drawing.axes for text in (*ax.texts, ax.title, ax.xaxis.label)]
        shown += [text for ax in drawing.axes for text in ax.get_yticklabels()]
        for text in shown:
            box = text.get_window_extent()
            inside = box.x0 > -3 and box.x1 < width + 3 and box.y0 > -3 and box.y1 < height + 3
            assert inside or not text.get_text().strip(), text.get_text()
        assert all(ax.get_window_extent().width > width / 4 for ax in drawing.axes)


def test_specification_shows_the_estimand_that_decided_in_the_base_everywhere(one_at_a_time):
    drawing = draw(one_at_a_time, "specification")
    assert len(drawing.axes) == len(set_ups.CLAIMS)
    claims = one_at_a_time.tables["all_claims"]
    for ax, claim in zip(drawing.axes, set_ups.CLAIMS, strict=True):
        own = claims[(claims["id"] == claim) & (claims["decisive"] == "yes")].set_index("setup")
        shown = {label.split()[1]: line for label, line in marks(ax).items() if claim in label}
        assert set(shown) == set(own.index)
        for name, line in shown.items():
            assert line.get_xdata()[0] == pytest.approx(100 * own.loc[name, "estimate"])
        downwards = sorted(shown.values(), key=lambda line: line.get_ydata()[0])
        places = [line.get_xdata()[0] for line in downwards]
        assert places == sorted(places)
        (bound,) = [line for line in ax.lines if line.get_gid() == "below"]
        assert bound.get_xdata()[0] == pytest.approx(100 * own["below"].iloc[0])
        assert not [line for line in ax.lines if line.get_gid() == "above"]
        assert "no estimate" in [text.get_text() for text in ax.texts]
        assert ax.get_yticklabels()[-1].get_text() == "optimizer sgd"


def test_specification_takes_the_verdict_of_the_set_up(one_at_a_time):
    rows = deciding(one_at_a_time.tables["verdicts"], one_at_a_time.tables["all_claims"], "creep")
    found = rows.set_index("setup")["verdict"]
    assert (found["base"], found["train_size~1000"]) == ("artefact", "not resolved")


def test_specification_says_where_nothing_decided_in_the_base():
    study = study_of(set_ups.WHEN, claims=["one", "two"])
    claims = study.tables["all_claims"]
    claims.loc[(claims["id"] == "one") & (claims["setup"] == "base"), "estimate"] = np.nan
    drawing = draw(study, "specification")
    assert "No estimate decided this claim in the base." in texts(drawing)
    assert not marks(drawing.axes[0])
    assert marks(drawing.axes[1])


def test_levels_of_combined_factors_stand_beside_the_estimates(full):
    ax = draw(full, "specification").axes[0]
    written = [text.get_text().removesuffix(" ★") for text in ax.texts]
    assert written.count("500") == written.count("2000") == 3
    assert written.count("0.01") == written.count("0.1") == 4


def test_benefit_of_two_crossed_factors_is_a_map_with_numbers(full):
    drawing = draw(full, "benefit")
    worth, chosen = drawing.axes
    assert [t.get_text() for t in worth.get_yticklabels()] == ["500", "2000", "10000", "all"]
    assert [t.get_text() for t in worth.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    best = full.tables["best"].merge(full.tables["setups"])
    for row in best.itertuples():
        x = ["0.001", "0.01", "0.1"].index(row.learning_rate)
        y = ["500", "2000", "10000", "all"].index(row.train_size)
        (text,) = [t.get_text() for t in worth.texts if t.get_position() == (x + 0.5, y + 0.5)]
        number, ends = text.replace("−", "-").split("\n")
        assert float(number) == pytest.approx(100 * row.test_accuracy_difference, abs=0.005)
        low, high = (float(end) for end in ends.split(" to "))
        assert (low, high) == pytest.approx(
            (100 * row.test_accuracy_low, 100 * row.test_accuracy_high), abs=0.0051
        )
        hatched = [p for p in worth.patches if p.get_gid() == f"open {row.setup}"]
        assert len(hatched) == (row.resolved != "yes")
        (text,) = [t.get_text() for t in chosen.texts if t.get_position() == (x + 0.5, y + 0.5)]
        assert float(text.split("\n")[0]) == row.best_l2


def test_benefit_of_other_set_ups_is_a_row_each(one_at_a_time):
    (ax,) = draw(one_at_a_time, "benefit").axes
    shown = marks(ax)
    best = one_at_a_time.tables["best"].set_index("setup")
    found = {name: line for name, line in shown.items() if name in best.index}
    assert len(found) == 11
    for name, line in found.items():
        row = best.loc[name]
        assert line.get_xdata()[0] == pytest.approx(100 * row["test_accuracy_difference"])
        assert (line.get_mfc() == "white") == (row["resolved"] == "no")
    assert "no best lambda" in [text.get_text() for text in ax.texts]


# --- sentences ------------------------------------------------------------------------------------


def found(verdict, **options):
    study = study_of(set_ups.ROBUSTNESS, claims=["one"], verdict=verdict, **options)
    return setups_text.claim_in_setups(study, "one")


def test_verdicts_on_a_claim_are_grouped_the_most_frequent_first():
    odd = {"base": "artefact", "train_size~1000": "artefact", "epochs~8": "contradicted"}
    facts = found(lambda claim, name: odd.get(name, "supported"), missing=["optimizer~sgd"])
    assert list(facts["verdicts"]) == ["supported", "artefact", "contradicted"]
    assert facts["verdicts"]["artefact"] == ["base", "train_size~1000"]
    assert facts["verdicts"]["contradicted"] == ["epochs~8"]
    assert facts["without"] == ["optimizer~sgd"]
    assert facts["close"] == {"artefact": 1, "supported": 2}


def test_of_equally_frequent_verdicts_that_of_the_base_leads():
    facts = found(lambda claim, name: "artefact" if name[:2] in ("ba", "ep") else "supported")
    assert [len(names) for names in facts["verdicts"].values()] == [6, 6]
    assert list(facts["verdicts"]) == ["artefact", "supported"]


def test_at_most_four_set_ups_are_named():
    odd = ("base", "batch_size~32", "batch_size~128", "epochs~8", "epochs~30")
    facts = found(lambda claim, name: "artefact" if name in odd else "not resolved")
    (text,) = paragraphs("claim_in_setups", **facts | {"close": {}})
    assert text == (
        "Not resolved in 7 of 12 set-ups; artefact in the base and with batch size 32, batch size"
        " 128, epochs 8 and 1 more."
    )


def test_what_is_lost_is_named_with_its_number(one_at_a_time, full):
    setups = one_at_a_time.tables["setups"]
    assert setups_text.lost(setups, "diverged") == [("batch size 32", 2, 10)]
    assert setups_text.lost(setups, "missing") == [("optimizer sgd", 10, 10)]
    assert setups_text.lost(full.tables["setups"], "missing") == []


def test_interactions_are_counted_at_the_best_lambda_of_the_base(one_at_a_time):
    rows = one_at_a_time.tables["interactions"]
    facts = setups_text.interactions(one_at_a_time)
    shown = rows[(rows["l2"] == 1e-5) & (rows["p_holm"] < 0.05)]["setup"].tolist()
    assert (facts["l2"], facts["reference"], len(facts["compared"])) == (1e-5, 0, 10)
    assert 0 < len(shown) < 10 and list(facts["differing"]) == shown
    assert facts["incomparable"] == ["optimizer~sgd"]


def test_interactions_are_counted_at_every_lambda_if_the_reference_is_best_in_the_base():
    study = study_of(set_ups.WHEN, full=True)
    best, rows = study.tables["best"], study.tables["interactions"]
    best.loc[best["setup"] == "base", "best_l2"] = 0.0
    rows["p_holm"] = 0.4
    rows.loc[(rows["setup"] == "train_size~500") & (rows["l2"] == 1e-2), "p_holm"] = 0.01
    facts = setups_text.interactions(study)
    assert (facts["l2"], len(facts["compared"])) == (None, 11)
    assert list(facts["differing"]) == ["train_size~500"]


def test_advice_names_the_best_lambda_of_the_base_and_counts_those_of_the_others(full):
    best = full.tables["best"].copy()
    best["best_l2"] = [0.01] + [0.001] * 4 + [0.0] * (len(best) - 6) + [np.nan]
    study = dataclasses.replace(full, tables=full.tables | {"best": best})
    text = setups_text.advice(study)
    assert "Use lambda 0.01 in the base" in text
    assert f"0 in {len(best) - 6}, 0.001 in 4 and 0.01 in 1." in text
    best.loc[best["setup"] == "base", "best_l2"] = np.nan
    assert "chooses no lambda" in setups_text.advice(study)


# --- tables ---------------------------------------------------------------------------------------


def test_map_table_has_the_verdicts_and_leads_to_the_pages(full):
    rows = setups_text.map_table(full)
    assert len(rows) == 12
    verdicts = full.tables["verdicts"].set_index(["setup", "id"])["verdict"]
    for row, name in zip(rows, full.tables["setups"]["setup"], strict=True):
        assert {c: row[c] for c in set_ups.CLAIMS} == {
            c: Verdict(verdicts[name, c]) for c in set_ups.CLAIMS
        }
    link = rows[2]["Set-up"]
    assert (link.text, bool(link.beneath)) == ("learning rate 0.1", True)
    assert link.address == "../setups/learning_rate~0.1/report/report.html"


def test_set_up_without_runs_has_a_row_without_verdicts(one_at_a_time):
    for table in (setups_text.map_table, setups_text.best_table):
        (row,) = [r for r in table(one_at_a_time) if r["Set-up"].text == "optimizer sgd"]
        assert row["Set-up"].beneath == "no runs"
        assert set(map(str, list(row.values())[1:])) <= {"", "–"}


# --- links to other set-ups -----------------------------------------------------------------------


def test_addresses_from_the_base_and_from_another_set_up(full):
    name = "train_size~500,learning_rate~0.01"
    there = dataclasses.replace(full, setup=name)
    below = "setups/train_size~500%2Clearning_rate~0.01/report/report.html"
    assert (path_to(full, name), path_to(full, "base")) == (f"../{below}", "../report/report.html")
    assert path_to(there, name) == f"../../../{below}"
    assert (tables_folder(full), tables_folder(there)) == ("../tables", "../../../tables")


def test_links_mark_the_page_that_they_are_on_and_are_grouped_by_factor(one_at_a_time):
    found = groups(dataclasses.replace(one_at_a_time, setup="epochs~8"))
    assert list(found) == ["batch size", "epochs", "split", "optimizer", "train size"]
    links = [link for of_factor in found.values() for link in of_factor]
    assert [link.text for link in links if link.current] == ["8"]
    # a set-up without any run has no page to lead to
    assert [link.text for link in links if not link.address] == ["sgd"]


def test_links_to_combined_levels_are_grouped_by_the_first_factor(full):
    found = groups(full)
    levels = ["train size all", "train size 500", "train size 2000", "train size 10000"]
    assert list(found) == levels
    assert [len(links) for links in found.values()] == [2, 3, 3, 3]


def test_the_page_has_the_links(one_at_a_time):
    text = page.header(one_at_a_time).data
    assert len(re.findall("<a ", text)) == 11 and "sgd (no runs)" in text
    assert re.findall(r'aria-current="page">([^<]*)<', text) == ["base"]


def test_one_set_up_has_neither_links_nor_overview(tmp_path):
    study = made_up(tmp_path, lambdas=[0, 1e-2], seeds=[0, 1], epochs=2)
    assert groups(study) == {}
    assert page.overview(study) is None
    assert "set-ups" not in page.header(study).data
    assert "setup" not in study.tables["runs"]


# --- reading --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    write_results(folder, lambdas=[0, 1e-2], seeds=[0, 1, 2], epochs=4)
    return folder, add_across(folder, set_ups.WHEN, full=True)


def test_study_is_read_with_the_rows_of_its_set_up(written):
    folder, config = written
    name = "train_size~500,learning_rate~0.01"
    base = read_study(config, folder, CAPTIONS, across=ACROSS)
    other = read_study(config, folder, CAPTIONS, name, ACROSS)
    assert set(base.captions) - set(other.captions) == set(figures.ACROSS)
    assert len(base.tables["runs"]) == len(other.tables["runs"]) == 6
    assert len(other.tables["all_claims"]) == 12 * len(other.tables["claims"])
    assert other.tables["claims"]["estimate"].iloc[0] != base.tables["claims"]["estimate"].iloc[0]
    assert base.tables["setups"]["train_size"].tolist()[:4] == ["all", "all", "all", "500"]
    assert other.config["dataset"] == {"name": "mnist", "train_size": 500}
    assert other.config["training"]["learning_rate"] == 0.01
    assert [one.name for one in other.setups] == base.tables["setups"]["setup"].tolist()
    assert [count for _, count in other.environments] == [6]
    with pytest.raises(ReportError, match="nonsense: there is no such set-up; there are base, "):
        read_study(config, folder, CAPTIONS, "nonsense")


def test_summary_of_another_set_up_says_which_and_has_no_overview(written):
    folder, config = written
    text = summary.summary(read_study(config, folder, CAPTIONS, "learning_rate~0.1", ACROSS))
    assert text.startswith("# L2 regularisation study: made-up, learning rate 0.1\n")
    assert "Across the set-ups" not in text
    assert "(../../../tables/claims.csv)" in text


def test_set_ups_of_the_made_up_study_are_those_of_its_configuration(written):
    _, config = written
    from l2study.core.config import read_config

    names = [one.name for one in Design.of(read_config(config)).setups]
    assert names == set_ups.setups_table(set_ups.WHEN, full=True)["setup"].tolist()
