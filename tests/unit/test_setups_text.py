import dataclasses

import numpy as np
import pytest

import set_ups
from l2study.core.config import read_config
from l2study.core.design import Design, Setup
from l2study.report import figures, page, setups_text
from l2study.report.navigation import groups, path_to, tables_folder
from l2study.report.setup_names import crossed, ordered, words
from l2study.report.setups_figures import MARKS
from l2study.report.study import ReportError, Study, read_study
from l2study.report.table_cells import Verdict
from reported import CAPTIONS, add_across, shown, with_tables, write_results
from synthetic import study_config


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


def marks(ax):
    """The marks of a panel, by their labels."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_levels_are_in_order_of_their_numbers_and_all_comes_last():
    assert ordered(["all", "500", "10000", "2000", "500"]) == ["500", "2000", "10000", "all"]
    assert ordered(["sgd", "1e-5", "0.001", "adam"]) == ["1e-5", "0.001", "adam", "sgd"]


def test_set_ups_are_crossed_only_if_all_levels_of_two_factors_are_combined():
    table = set_ups.setups_table(set_ups.WHEN, full=True)
    assert crossed(table) == ("train_size", "learning_rate")
    assert crossed(table.iloc[:-1]) is None
    assert crossed(set_ups.setups_table(set_ups.WHEN)) is None
    assert crossed(set_ups.setups_table(set_ups.ROBUSTNESS)) is None


def test_verdict_map_has_a_mark_for_every_verdict_and_none_for_what_is_missing(one_at_a_time):
    (ax,) = figures.draw("verdict_map", one_at_a_time).axes
    verdicts = one_at_a_time.tables["verdicts"]
    shown = marks(ax)
    found = verdicts[verdicts["figure_found"] == "yes"]
    rings = {name for name in shown if name.startswith("figure of")}
    assert rings == {f"figure of {row.id}, {row.setup}" for row in found.itertuples()}
    assert len(shown) - len(rings) == len(verdicts) == 88
    columns = [tick.get_text() for tick in ax.get_xticklabels()]
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert columns[0] == "base ★"
    assert "optimizer sgd" in columns
    for row in verdicts.itertuples():
        mark = shown[f"{row.setup} {row.id}"]
        (x,), (y,) = mark.get_data()
        assert columns[x].removesuffix(" ★") == words(row.setup)
        assert rows[y] == row.id
        assert (mark.get_marker(), mark.get_mec()) == MARKS[row.conclusion][:2]


@pytest.mark.slow  # draws
@pytest.mark.parametrize("name", figures.ACROSS)
def test_long_names_stay_inside_the_figure(name):
    long = {"optimizer": ("adam", ["a-very-long-name-of-a-level-that-somebody-chose-to-give-it"])}
    drawing = figures.draw(name, study_of(long))
    drawing.draw_without_rendering()
    width = drawing.bbox.width
    for ax in drawing.axes:
        assert ax.get_window_extent().width > width / 4
        for text in (*ax.texts, *ax.get_yticklabels()):
            box = text.get_window_extent()
            assert not text.get_text() or (box.x0 > -3 and box.x1 < width + 3), text


def test_specification_shows_the_estimand_that_decided_in_the_base_everywhere(one_at_a_time):
    drawing = figures.draw("specification", one_at_a_time)
    assert len(drawing.axes) == len(set_ups.CLAIMS)
    claims = one_at_a_time.tables["all_claims"]
    for ax, claim in zip(drawing.axes, set_ups.CLAIMS, strict=True):
        own = claims[(claims["id"] == claim) & (claims["decisive"] == "yes")].set_index("setup")
        shown = {label.split()[1]: line for label, line in marks(ax).items() if claim in label}
        assert set(shown) == set(own.index)
        for name, line in shown.items():
            assert line.get_xdata()[0] == pytest.approx(100 * own.loc[name, "estimate"])
        (bound,) = [line for line in ax.lines if line.get_gid() == "below"]
        assert bound.get_xdata()[0] == pytest.approx(100 * own["below"].iloc[0])


def test_benefit_of_two_crossed_factors_is_a_map(full):
    worth, _ = figures.draw("benefit", full).axes
    assert [t.get_text() for t in worth.get_yticklabels()] == ["500", "2000", "10000", "all"]
    assert [t.get_text() for t in worth.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    best = full.tables["best"]
    hatched = {p.get_gid() for p in worth.patches if str(p.get_gid()).startswith("open ")}
    assert hatched == {f"open {name}" for name in best[best["resolved"] != "yes"]["setup"]}


def test_benefit_of_other_set_ups_is_a_row_each(one_at_a_time):
    (ax,) = figures.draw("benefit", one_at_a_time).axes
    shown = marks(ax)
    best = one_at_a_time.tables["best"].set_index("setup")
    found = {name: line for name, line in shown.items() if name in best.index}
    assert len(found) == 11
    for name, line in found.items():
        row = best.loc[name]
        assert line.get_xdata()[0] == pytest.approx(100 * row["test_accuracy_difference"])
        assert (line.get_mfc() == "white") == (row["resolved"] == "no")


@pytest.mark.parametrize("name", figures.ACROSS)
def test_the_key_has_a_star_where_a_set_up_is_close_to_the_exercise(one_at_a_time, name):
    setups = one_at_a_time.tables["setups"]
    apart = with_tables(one_at_a_time, setups=setups.assign(matches_exercise="no"))
    starred, plain = (
        {line.get_marker() for line in figures.draw(name, study).legends[0].legend_handles}
        for study in (one_at_a_time, apart)
    )
    assert "*" in starred and "*" not in plain


def test_the_key_says_what_a_hollow_dot_is_where_there_is_one(one_at_a_time):
    best = one_at_a_time.tables["best"]
    for resolved, expected in (
        (["yes"], ["blue"]),
        (["no"], ["white"]),
        (["yes", "no"], ["blue", "white"]),
    ):
        study = with_tables(
            one_at_a_time, best=best.assign(resolved=np.resize(resolved, len(best)))
        )
        key = figures.draw("benefit", study).legends[0]
        dots = [line for line in key.legend_handles if line.get_marker() == "o"]
        fills = ["white" if line.get_mfc() == "white" else "blue" for line in dots]
        assert fills == expected


def found(verdict, **options):
    study = study_of(set_ups.ROBUSTNESS, claims=["one"], verdict=verdict, **options)
    return setups_text.claim_in_setups(study, "one")


def test_verdicts_on_a_claim_are_grouped_the_most_frequent_first():
    odd = {"base": "open", "train_size~1000": "open", "epochs~8": "fails"}
    facts = found(lambda claim, name: odd.get(name, "holds"), missing=["optimizer~sgd"])
    assert list(facts["conclusions"]) == ["holds", "open", "fails"]
    assert facts["conclusions"] | {"holds": None} == {
        "holds": None, "open": ["base", "train_size~1000"], "fails": ["epochs~8"],
    }  # fmt: skip
    assert facts["without"] == ["optimizer~sgd"]
    assert facts["close"] == {"open": 1, "holds": 2}
    assert facts["figure"] is None


def test_interactions_are_counted_at_the_best_lambda_of_the_base(one_at_a_time):
    rows = one_at_a_time.tables["interactions"]
    facts = setups_text.interactions(one_at_a_time)
    shown = rows[(rows["l2"] == 1e-5) & (rows["p_holm"] < 0.05)]["setup"].tolist()
    assert (facts["l2"], facts["reference"], len(facts["compared"])) == (1e-5, 0, 10)
    assert 0 < len(shown) < 10 and list(facts["differing"]) == shown
    assert facts["incomparable"] == ["optimizer~sgd"]


def test_advice_counts_the_best_lambdas_and_what_they_are_worth(full):
    best = full.tables["best"].copy()
    best["best_l2"] = [0.01] + [0.001] * 4 + [0.0] * (len(best) - 6) + [np.nan]
    facts = setups_text.facts(with_tables(full, best=best))
    assert facts["base"] == 0.01
    assert facts["chosen"] == {"0": len(best) - 6, "0.001": 4, "0.01": 1}
    known = best.dropna(subset="best_l2")
    gains = 100 * known["test_accuracy_difference"]
    found = [float(text.replace("−", "-")) for text in facts["gains"]]
    assert found == pytest.approx([gains.min(), gains.max()], abs=0.005)
    assert facts["higher"] == (known["test_accuracy_low"] > 0).sum()


def test_a_lambda_that_a_next_round_trains_takes_the_same_command(full):
    best = full.tables["best"].copy()
    assert [wrong for _, wrong in setups_text.answer(full).state] == [False, False]
    best.loc[[1, 2], ["grid", "next_l2"]] = ["at the end", 0.1]
    narrow = with_tables(full, best=best)
    assert [name for name, _ in setups_text.facts(narrow)["ends"]["at the end"]] == [
        words(name) for name in best.loc[[1, 2], "setup"]
    ]
    (alone,) = (text for text, wrong in setups_text.answer(narrow).state if wrong)
    rounds = {"from": 1e-3, "to": 0.1, "per_decade": 1, "now": ["0", "0.001", "0.01"]}
    config = full.config | {"lambdas": rounds}
    setups = [dataclasses.replace(one, config=config) for one in full.setups]
    extended = dataclasses.replace(narrow, setups=setups)
    (again,) = (text for text, wrong in setups_text.answer(extended).state if wrong)
    assert "same command again" in again and "same command again" not in alone


def test_map_table_has_the_verdicts_and_leads_to_the_pages(full):
    rows = setups_text.map_table(full)
    assert len(rows) == 12
    verdicts = full.tables["verdicts"].set_index(["setup", "id"])
    for row, name in zip(rows, full.tables["setups"]["setup"], strict=True):
        for claim, one in verdicts.loc[name].iterrows():
            found = "number found" if one["figure_found"] == "yes" else ""
            assert row[claim] == Verdict(one["conclusion"], found)
    assert {row["negative-gap"].beneath for row in rows} == {"number found"}
    assert rows[2]["Set-up"].address == "../setups/learning_rate~0.1/report/report.html"


def test_set_up_without_runs_has_a_row_without_verdicts(one_at_a_time):
    for table in (setups_text.map_table, setups_text.best_table):
        (row,) = [r for r in table(one_at_a_time) if r["Set-up"].text == "optimizer sgd"]
        assert row["Set-up"].beneath == "no runs"
        assert set(map(str, list(row.values())[1:])) <= {"", "–"}


def test_addresses_from_the_base_and_from_another_set_up(full):
    name = "train_size~500,learning_rate~0.01"
    there = dataclasses.replace(full, setup=name)
    below = "setups/train_size~500%2Clearning_rate~0.01/report/report.html"
    assert (path_to(full, name), path_to(full, "base")) == (f"../{below}", "../report/report.html")
    assert path_to(there, name) == f"../../../{below}"
    assert (tables_folder(full), tables_folder(there)) == ("../tables", "../../../tables")


def test_links_mark_the_page_that_they_are_on_and_are_grouped_by_factor(one_at_a_time):
    there = dataclasses.replace(one_at_a_time, setup="epochs~8")
    found = groups(there)
    assert list(found) == ["batch size", "epochs", "split", "optimizer", "train size"]
    links = [link for of_factor in found.values() for link in of_factor]
    assert [link.text for link in links if link.address == path_to(there, "epochs~8")] == ["8"]
    assert page.header(there).data.count("aria-current") == 1
    # a set-up without any run has no page to lead to
    assert [link.text for link in links if not link.address] == ["sgd"]


def test_one_set_up_has_neither_links_nor_overview():
    study = shown(lambdas=[0, 1e-2], seeds=[0, 1], epochs=2)
    assert groups(study) == {}
    assert page.overview(study) is None
    assert "set-ups" not in page.header(study).data
    assert "setup" not in study.tables["runs"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    write_results(folder, lambdas=[0, 1e-2], seeds=[0, 1, 2], epochs=4)
    return folder, add_across(folder, set_ups.WHEN, full=True)


def test_study_is_read_with_the_rows_of_its_set_up(written):
    folder, config = written
    name = "train_size~500,learning_rate~0.01"
    base = read_study(config, folder, CAPTIONS)
    other = read_study(config, folder, CAPTIONS, name)
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


def test_set_ups_of_the_made_up_study_are_those_of_its_configuration(written):
    _, config = written
    names = [one.name for one in Design.of(read_config(config)).setups]
    assert names == set_ups.setups_table(set_ups.WHEN, full=True)["setup"].tolist()
