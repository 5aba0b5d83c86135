import dataclasses
import re

import numpy as np
import pytest

import set_ups
from l2study.core.setups import Setup, setups
from l2study.report import figures, page, setups_text, summary
from l2study.report.across_figures import MARKS, deciding
from l2study.report.navigation import chooser, path_to, tables_folder
from l2study.report.setup_names import crossed, ordered, words
from l2study.report.study import ReportError, Study, read_captions, read_study
from l2study.report.table_cells import Link, Verdict
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
    return figures.draw(name, study.tables, 0.95)


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


def sentence(verdict, **options):
    study = study_of(set_ups.ROBUSTNESS, claims=["one"], verdict=verdict, **options)
    study.tables["setups"]["close_to_given"] = ""
    ((_, _, text),) = setups_text.claim_sentences(study)
    return text


def test_claim_that_is_the_same_everywhere():
    assert sentence(lambda claim, name: "supported") == "Supported in all 12 set-ups."


def test_claim_names_the_set_ups_that_differ():
    odd = {"train_size~1000": "contradicted"}
    assert sentence(lambda claim, name: odd.get(name, "supported")) == (
        "Supported in 11 of 12 set-ups; contradicted with train size 1000."
    )
    assert sentence(lambda claim, name: odd.get(name, "supported"), missing=["optimizer~sgd"]) == (
        "Supported in 10 of 11 set-ups; contradicted with train size 1000; no verdict with"
        " optimizer sgd."
    )


def test_claim_names_the_base_and_at_most_four():
    odd = ("base", "batch_size~32", "batch_size~128", "epochs~8", "epochs~30")
    assert sentence(lambda claim, name: "artefact" if name in odd else "not resolved") == (
        "Not resolved in 7 of 12 set-ups; artefact in the base and with batch size 32, batch size"
        " 128, epochs 8 and 1 more."
    )


def test_of_equally_frequent_verdicts_that_of_the_base_leads():
    def halves(claim, name):
        return "artefact" if name[:2] in ("ba", "ep") else "supported"

    assert sentence(halves).startswith("Artefact in 6 of 12 set-ups; supported with ")


def test_claim_says_what_it_is_near_the_figures_of_the_exercise():
    odd = {"train_size~1000": "contradicted"}

    def verdict(claim, name):
        return odd.get(name, "supported")

    study = study_of(set_ups.ROBUSTNESS, claims=["one"], verdict=verdict)
    ((_, _, text),) = setups_text.claim_sentences(study)
    assert text.endswith(" Among the 3 set-ups close to the exercise's figures: supported in each.")


def test_overview_counts_and_says_that_set_ups_are_no_sample(one_at_a_time):
    text = " ".join(setups_text.overview(one_at_a_time))
    assert "12 set-ups" in text
    assert "no sample" in text
    assert "so no test is made over them" in text
    counts = one_at_a_time.tables["verdicts"]["verdict"].value_counts()
    for verdict, count in counts.items():
        assert f"{count} {verdict}" in text
    assert "Runs diverged and left out: batch size 32 (2 of 10)." in text
    assert "Runs missing and left out: optimizer sgd (10 of 10)." in text
    assert "This could not be compared with the base: optimizer sgd." in text


def test_nothing_lost_is_not_mentioned(full):
    assert setups_text.lost(full) == []


def test_interactions_are_counted_at_the_best_lambda_of_the_base(one_at_a_time):
    rows = one_at_a_time.tables["interactions"]
    at = rows[(rows["l2"] == 1e-5) & (rows["p_holm"] < 0.05)]
    first = setups_text.interactions(one_at_a_time)[0]
    assert first.startswith("At lambda 1e-5, the best in the base, ")
    assert f"in {len(at)} of 10 other set-ups: " in first


def test_interactions_are_counted_at_every_lambda_if_the_reference_is_best_in_the_base():
    study = study_of(set_ups.WHEN, full=True)
    best, rows = study.tables["best"], study.tables["interactions"]
    best.loc[best["setup"] == "base", "best_l2"] = 0.0
    rows["p_holm"] = 0.4
    rows.loc[(rows["setup"] == "train_size~500") & (rows["l2"] == 1e-2), "p_holm"] = 0.01
    (text,) = setups_text.interactions(study)
    assert text.startswith("At one lambda at least, ")
    assert "in 1 of 11 other set-ups: train size 500." in text
    rows["p_holm"] = 0.4
    (text,) = setups_text.interactions(study)
    assert "is shown to differ from that in the base in none of 11 other set-ups. That is" in text


# --- tables ---------------------------------------------------------------------------------------


def test_map_table_has_the_verdicts_and_leads_to_the_pages(full):
    rows = setups_text.map_table(full)
    assert len(rows) == 12
    found = full.tables["verdicts"].set_index(["setup", "id"])["verdict"]
    for row, name in zip(rows, full.tables["setups"]["setup"], strict=True):
        assert {c: row[c] for c in set_ups.CLAIMS} == {
            c: Verdict(found[name, c]) for c in set_ups.CLAIMS
        }
    assert rows[2]["Set-up"] == Link(
        "learning rate 0.1", "../setups/learning_rate~0.1/report/report.html",
        "close to the exercise's figures",
    )  # fmt: skip


def test_set_up_without_runs_has_a_row_without_verdicts(one_at_a_time):
    (row,) = [
        r for r in setups_text.map_table(one_at_a_time) if r["Set-up"].text == "optimizer sgd"
    ]
    assert row["Set-up"].beneath == "no runs"
    assert set(list(row.values())[1:]) == {""}
    (row,) = [
        r for r in setups_text.best_table(one_at_a_time) if r["Set-up"].text == "optimizer sgd"
    ]
    assert str(row["Best λ"]) == "–"


# --- links to other set-ups ----------------------------------------------------------------------


def test_addresses_from_the_base_and_from_another_set_up(full):
    name = "train_size~500,learning_rate~0.01"
    assert path_to(full, name) == "../setups/train_size~500%2Clearning_rate~0.01/report/report.html"
    assert path_to(full, "base") == "../report/report.html"
    assert tables_folder(full) == "../tables"
    there = dataclasses.replace(full, setup=name)
    assert path_to(there, "base") == "../../../report/report.html"
    assert path_to(there, "learning_rate~0.1") == (
        "../../../setups/learning_rate~0.1/report/report.html"
    )
    assert tables_folder(there) == "../../../tables"


def test_chooser_marks_the_page_that_it_is_on_and_groups_by_factor(one_at_a_time):
    there = dataclasses.replace(one_at_a_time, setup="epochs~8")
    text = chooser(there)
    assert re.findall(r'aria-current="page">([^<]*)<', text) == ["8"]
    # A set-up without any run has no page to lead to.
    assert len(re.findall("<a ", text)) == 11
    assert "<li>sgd (no runs)</li>" in text
    assert re.findall("<span>(.*?)</span>", text) == [
        "batch size", "epochs", "split", "optimizer", "train size",
    ]  # fmt: skip
    assert re.findall(r"<a [^>]*>([^<]*)<", text)[0] == "base"


def test_chooser_groups_combined_levels_by_the_first_factor(full):
    text = chooser(full)
    assert re.findall("<span>(.*?)</span>", text) == [
        "train size all", "train size 500", "train size 2000", "train size 10000",
    ]  # fmt: skip
    assert re.findall(r'aria-current="page">([^<]*)<', text) == ["base"]


def test_advice_names_the_best_lambda_of_the_base_and_counts_those_of_the_others(full):
    best = full.tables["best"].copy()
    best["best_l2"] = [0.01] + [0.001] * 4 + [0.0] * (len(best) - 6) + [np.nan]
    base, *others = best["setup"]
    assert base == "base"
    study = dataclasses.replace(full, tables=full.tables | {"best": best})
    assert setups_text.advice(study) == (
        "Use lambda 0.01 in the base, which is the configuration without its factors, because it"
        " has the lowest validation cross-entropy there, as a mean over seeds."
        f" Of the {len(others)} set-ups with a best lambda, it is 0 in"
        f" {len(others) - 5}, 0.001 in 4 and 0.01 in 1."
    )
    best.loc[best["setup"] == "base", "best_l2"] = np.nan
    assert setups_text.advice(study).startswith("In the base, validation chooses no lambda. Of the")


def test_one_set_up_has_neither_chooser_nor_overview(tmp_path):
    study = made_up(tmp_path, lambdas=[0, 1e-2], seeds=[0, 1], epochs=2)
    assert chooser(study) == ""
    assert page.overview(study) is None
    assert "set-ups" not in page.header(study).data
    assert "## Across" not in summary.summary(study)
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


def test_summary_has_the_verdicts_after_the_answer(written):
    folder, config = written
    text = summary.summary(read_study(config, folder, CAPTIONS, across=ACROSS))
    titles = re.findall("^## (.*)", text, re.MULTILINE)
    assert titles[:3] == ["Answer", "Across the set-ups", "Per lambda"]
    part = text.split("## Across the set-ups")[1].split("\n## ")[0]
    assert part.count("| train size 500 + learning rate 0.01 |") == 2
    assert "| Set-up | penalty |" in part
    assert "](figures/verdict_map.png)" in part
    assert text.count("](figures/verdict_map.png)") == 1


def test_summary_of_another_set_up_says_which_and_has_no_overview(written):
    folder, config = written
    text = summary.summary(read_study(config, folder, CAPTIONS, "learning_rate~0.1", ACROSS))
    assert text.startswith("# L2 regularisation study: made-up, learning rate 0.1\n")
    assert "Across the set-ups" not in text
    assert "(../../../tables/claims.csv)" in text


def test_set_ups_of_the_made_up_study_are_those_of_its_configuration(written):
    _, config = written
    from l2study.core.config import read_config

    names = [one.name for one in setups(read_config(config))]
    assert names == set_ups.setups_table(set_ups.WHEN, full=True)["setup"].tolist()
