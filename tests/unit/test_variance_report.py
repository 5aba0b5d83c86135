"""What page, summary and figure say of where the variance comes from."""

import dataclasses
import warnings

import numpy as np
import pytest

import crossed
from l2study.report import figures, page, variance_text
from l2study.report import study as reading
from l2study.report.variance_figures import SHOWN
from l2study.tables.variance import variance_table
from reported import CAPTIONS, made_up, shown, with_tables

DEVIATIONS = {"split": 0.002, "weights": 0.0006, "rest": 0.001}
CROSSED = CAPTIONS.with_name("captions_crossed")


@pytest.fixture(scope="module")
def plain():
    return shown(lambdas=[0, 0.01], seeds=[0, 1], epochs=2)


@pytest.fixture(scope="module")
def study(plain):
    """Return a made-up study, with a table of variance as if its sources were crossed."""
    setup = crossed.setup(0.95, weights=4, order=4, split=4)
    runs = crossed.runs(setup, DEVIATIONS)
    return dataclasses.replace(
        with_tables(plain, variance=variance_table(setup, runs), runs=runs),
        config=plain.config | setup.config,
        captions=plain.captions | reading.read_captions(CROSSED),
    )


def with_variance(study, **columns):
    return with_tables(study, variance=study.tables["variance"].assign(**columns))


def draw(study):
    return figures.draw("variance", study)


def test_captions_of_crossed_figures_are_read_for_crossed_studies(plain, tmp_path):
    assert "variance" not in plain.captions
    levels = {"weights": [0, 1], "split": [0, 1]}
    made = made_up(tmp_path, lambdas=[0], seeds=levels, epochs=1, split="stratified")
    assert "variance" in made.captions


def test_marks_stand_at_the_shares_and_lines_reach_over_their_intervals(study):
    drawing = draw(study)
    table = study.tables["variance"].set_index(["measure", "source", "l2"])
    sources = table.index.get_level_values("source").unique().tolist()
    for ax, measure in zip(drawing.axes, SHOWN, strict=True):
        marks = {line.get_label(): line for line in ax.lines}
        lines = [c.get_segments()[0] for c in ax.collections]
        assert len(marks) == len(lines) == 7 * 3
        for (label, mark), ends in zip(marks.items(), lines, strict=True):
            source, l2 = label.rsplit(" ", 1)
            row = table.loc[(measure, source, float(l2))]
            assert mark.get_xdata()[0] == pytest.approx(100 * row["share"])
            assert ends[:, 0] == pytest.approx([100 * row["share_low"], 100 * row["share_high"]])
            assert round(mark.get_ydata()[0]) == sources.index(source)
            assert (mark.get_markerfacecolor() == "white") == (row["negative"] == "yes")


def test_a_study_without_estimates_is_drawn_and_says_so(study):
    nothing = dict.fromkeys(["variance", "low", "high", "share", "share_low", "share_high"], np.nan)
    empty = with_variance(study, **nothing, negative=np.nan, n=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(empty).draw_without_rendering()
    alike = with_variance(study, variance=0.0, share=np.nan)
    for one, known in ((empty, False), (alike, True)):
        rows = variance_text.largest_sources(one, "gap_reported")
        assert [(row["source"], row["alike"]) for row in rows] == [(None, known)] * 3
    assert str(variance_text.source_table(empty, "gap_reported")[0]["Share (%)"]) == "–"


def test_the_largest_source_is_named_with_its_interval(study):
    table = study.tables["variance"]
    rows = table[(table["measure"] == "gap_reported") & (table["l2"] == 0.01)]
    row = rows.set_index("source").loc["split"]
    found = variance_text.largest_sources(study, "gap_reported")[2]
    assert (found["l2"], found["source"]) == (0.01, "split")
    share = found["share"]
    expected = row[["share", "share_low", "share_high"]].tolist()
    assert [share.value, share.low, share.high] == expected
    negative = (table[table["measure"].isin(SHOWN)]["negative"] == "yes").sum()
    last = variance_text.text(study)[-1]
    assert negative > 0 and last.startswith(f"{negative} of these {7 * 3 * 4} estimates")


def test_the_table_has_standard_deviations_in_points(study):
    rows = variance_text.source_table(study, "gap_reported")
    table = study.tables["variance"]
    first = table[table["measure"] == "gap_reported"].iloc[0]
    cell = rows[0]["Standard deviation (points)"]
    assert cell.text == f"{100 * first['variance'] ** 0.5:#.2g}"
    assert (cell.low, cell.high) == pytest.approx((first["low"] ** 0.5, first["high"] ** 0.5))


def test_the_page_shows_it_for_crossed_studies_alone(study, plain, tmp_path):
    assert page.sources(plain) is None
    shown = page.sources(study, tmp_path).data
    assert '<figure id="figure-variance"' in shown
    assert shown.count("<details>") == len(SHOWN)
    assert (tmp_path / "variance.png").exists()
