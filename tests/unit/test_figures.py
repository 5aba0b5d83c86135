"""What the figures draw: the numbers of the tables, in their places, whatever the study is."""

import multiprocessing
import warnings
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.container import BarContainer
from scipy import optimize

from l2study.core.scope_rows import SEEDS_AND_IMAGES, for_seeds, widest
from l2study.report import figures, style
from l2study.report.plot_helpers import completed, diverged_text, isotonic
from reported import CAPTIONS, EDGE_CASES, shown, with_tables

pytestmark = pytest.mark.slow  # draws

LOST = (1e-4, 5)
"""The run of `study` that diverged: lambda and seed."""


@pytest.fixture(scope="module")
def study():
    lambdas, seeds = [0, 1e-4, 1e-2], [0, 1, 2, 5]
    return shown(lambdas=lambdas, seeds=seeds, epochs=4, diverged={LOST: 3})


def panels(name, study, columns=1):
    """The panels of a figure, as a matrix if there are several columns."""
    axes = np.array(figures.draw(name, study).axes)
    return axes if columns == 1 else axes.reshape(-1, columns)


def drawn(ax, label):
    """The values of the line `label`."""
    (found,) = [item for item in ax.lines if item.get_label() == label]
    return found.get_ydata()


def dots(ax):
    """The places of single seeds: lambda and value."""
    return np.asarray(ax.collections[0].get_offsets()).T


def texts(drawing):
    return [text.get_text() for text in drawing.findobj(lambda a: hasattr(a, "get_text"))]


def runs_of(study):
    return completed(study.tables["runs"])


def histories_of(study):
    rows = study.tables["histories"]
    return rows[(rows["l2"] != LOST[0]) | (rows["seed"] != LOST[1])]


def at_end(study, kind):
    table = for_seeds(study.tables["gap"])
    return table[(table["gap"] == kind) & (table["epoch"] == 4)].sort_values("l2")


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (figures.FIGURES, "captions"),
        (figures.ACROSS, "captions_across"),
        (figures.CROSSED, "captions_crossed"),
    ],
)
def test_every_figure_has_a_caption_and_every_caption_a_figure(names, folder):
    assert set(names) == {path.stem for path in CAPTIONS.with_name(folder).glob("*.rst")}


def test_the_files_of_a_figure_are_those_that_its_tables_are_made_from():
    assert figures.files_of("gap") == ["means", "runs"]
    assert figures.files_of("specification") == ["setups", "claims"]


def test_a_picture_is_the_same_whatever_a_matplotlibrc_says(study):
    def picture():
        return figures.render(figures.draw("gap", study))

    usual = picture()
    hostile = {"text.usetex": True, "axes.facecolor": "pink", "figure.dpi": 37, "font.size": 20}
    with mpl.rc_context(hostile | {"savefig.bbox": "tight", "lines.linestyle": ":"}):
        assert picture() == usual


def test_lambda_zero_has_a_place_left_of_the_logarithmic_axis():
    positions = style.lambda_positions([1e-2, 0, 1e-4])
    assert positions == {0: pytest.approx(-4.5), 1e-4: pytest.approx(-4), 1e-2: pytest.approx(-2)}


def test_curves_stand_at_the_evaluated_epochs_with_a_dot_where_some_are_left_out(study):
    chosen = shown(lambdas=[0, 1e-4], seeds=[0, 1], epochs=30, evaluate_at=[2, 9])
    for one, epochs, marker in ((chosen, [0, 2, 9, 30], "o"), (study, [0, 1, 2, 3, 4], "None")):
        lines = {item.get_label(): item for item in panels("learning_curves", one)[1].lines}
        assert lines["val_ce"].get_xdata().tolist() == epochs
        assert lines["val_ce"].get_marker() == marker


@pytest.mark.parametrize(
    ("panel", "kind", "scale"), [(0, "reported", 100), (1, "generalisation", 100), (2, "ce", 1)]
)
def test_gap_draws_means_intervals_and_seeds_at_their_lambda(study, panel, kind, scale):
    ax, runs = panels("gap", study)[panel], runs_of(study)
    means = study.tables["means"].query(f"measure == 'gap_{kind}'").sort_values("l2")
    wide, narrow = means[means["scope"] == SEEDS_AND_IMAGES], for_seeds(means)
    assert drawn(ax, f"mean:gap_{kind}") == pytest.approx(scale * wide["mean"].to_numpy())
    (bars,) = [c.lines[2][0] for c in ax.containers if c.get_label() == f"interval:gap_{kind}"]
    (thick,) = [c for c in ax.collections if c.get_label() == f"alone:gap_{kind}"]
    for lines, rows in ((bars, wide), (thick, narrow)):
        ends = np.array([segment[:, 1] for segment in lines.get_segments()])
        assert ends == pytest.approx(scale * rows[["low", "high"]].to_numpy())
    assert thick.get_linewidth()[0] > 2 * bars.get_linewidth()[0]
    x, y = dots(ax)
    assert y == pytest.approx(scale * runs[f"gap_{kind}"].to_numpy())
    positions = style.lambda_positions(study.tables["runs"]["l2"])
    nearest = [min(positions, key=lambda v: abs(positions[v] - place)) for place in x]
    assert nearest == runs["l2"].tolist()


def test_no_interval_goes_beyond_what_is_possible(study):
    means = study.tables["means"].assign(low=-0.5, high=1.5)
    ax = panels("robustness", with_tables(study, means=means))[2]
    (bars,) = [c.lines[2][0] for c in ax.containers if c.get_label().startswith("interval:")]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([0, 100])] * 3


def test_the_exchangeable_gap_has_a_panel_where_it_has_a_value(study):
    assert len(panels("gap", study)) == 3
    stratified = shown(lambdas=[0, 1e-2], seeds=[0, 1], epochs=2, split="stratified")
    means = for_seeds(stratified.tables["means"]).query("measure == 'gap_exchangeable'")
    ax = panels("gap", stratified)[2]
    expected = 100 * means.sort_values("l2")["mean"].to_numpy()
    assert drawn(ax, "mean:gap_exchangeable") == pytest.approx(expected)


def test_decomposition_stacks_to_the_reported_gap(study):
    (ax,) = panels("decomposition", study)
    bars = [one for one in ax.containers if isinstance(one, BarContainer)]
    assert [one.get_label() for one in bars] == ["lag", "generalisation", "split"]
    reported = 100 * at_end(study, "reported")["mean"].to_numpy()
    assert drawn(ax, "mean:reported") == pytest.approx(reported)
    for total, parts in zip(reported, zip(*bars, strict=True), strict=True):
        assert sum(part.get_height() for part in parts) == pytest.approx(total)
    (lines,) = [c.lines[2][0] for c in ax.containers if c.get_label() == "interval:reported"]
    ends = np.array([segment[:, 1] for segment in lines.get_segments()])
    wide = study.tables["means"].query("measure == 'gap_reported' and scope == @SEEDS_AND_IMAGES")
    assert ends == pytest.approx(100 * wide.sort_values("l2")[["low", "high"]].to_numpy())


def test_learning_curves_draw_means_over_completed_runs_only(study):
    axes, rows = panels("learning_curves", study, 3), histories_of(study)
    rows = rows[rows["l2"] == LOST[0]]
    for column, (measure, scale) in enumerate(
        {"train_loss": 1, "val_ce": 1, "val_accuracy": 100}.items()
    ):
        expected = scale * rows.groupby("epoch")[measure].mean().to_numpy()
        assert drawn(axes[1, column], measure) == pytest.approx(expected)
    band = axes[1, 1].collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(rows["train_ce"].min())


def test_learning_curves_show_a_diverged_run_to_its_end(study):
    axes = panels("learning_curves", study, 3)
    rows = study.tables["histories"].query("l2 == @LOST[0] and seed == @LOST[1]")
    assert drawn(axes[1, 0], "diverged") == pytest.approx(rows["train_loss"].to_numpy())
    assert "diverged" not in {item.get_label() for item in axes[0, 0].lines}


def keys(drawing):
    return {text.get_text() for key in drawing.legends for text in key.get_texts()}


def test_keys_name_what_is_drawn_and_nothing_else(study):
    whole = shown(lambdas=[0, 1e-4], seeds=[0, 1], epochs=4)
    assert "diverged" in keys(figures.draw("learning_curves", study))
    assert "diverged" not in keys(figures.draw("learning_curves", whole))
    best = study.tables["best"]
    without = with_tables(study, best=best.assign(best_l2=np.nan))
    assert "chosen by validation" in keys(figures.draw("accuracy_and_gap", study))
    assert "chosen by validation" not in keys(figures.draw("accuracy_and_gap", without))


@pytest.mark.parametrize(
    ("name", "panel", "measures"),
    [
        ("weight_norm", 1, {"weight_norm": 1, "weight_norm_lit": 1, "weight_norm_never_lit": 1}),
        ("creep", 2, {"val_ce_rise": 1, "val_loss_rise": 1}),
        ("calibration", 0, {"ece": 100}),
        ("robustness", 2, {"test_accuracy_pgd_0.05": 100}),
    ],
)
def test_measures_are_drawn_against_lambda_in_their_unit(study, name, panel, measures):
    ax, runs = panels(name, study)[panel], runs_of(study)
    for measure, scale in measures.items():
        expected = scale * runs.groupby("l2")[measure].mean().to_numpy()
        assert drawn(ax, f"mean:{measure}") == pytest.approx(expected)
    first = next(iter(measures))
    assert dots(ax)[1] == pytest.approx(measures[first] * runs[first].to_numpy())


def test_histograms_of_weights_are_shares_of_the_weights_of_a_lambda(study):
    (ax,) = panels("weight_histogram", study)
    table = study.tables["weight_histogram"]
    twice = with_tables(study, weight_histogram=table.assign(count=2 * table["count"]))
    for drawing in (ax, *panels("weight_histogram", twice)):
        for step in drawing.patches:
            values, edges, _ = step.get_data()
            assert values == pytest.approx([10, 80, 10])
            assert edges == pytest.approx([-0.5, -0.1, 0.1, 0.5])
    assert len(ax.patches) == runs_of(study)["l2"].nunique()


def test_loss_parts_stack_cross_entropy_and_penalty(study):
    rows = histories_of(study)
    for ax, epoch in zip(panels("loss_parts", study), (0, 4), strict=True):
        ce, penalty = ax.containers
        tops = [bar.get_y() + bar.get_height() for bar in penalty]
        loss = rows[rows["epoch"] == epoch].groupby("l2")["train_loss"].mean()
        assert tops == pytest.approx(loss.to_numpy())
        assert [bar.get_y() for bar in penalty] == pytest.approx([bar.get_height() for bar in ce])
    running = rows[rows["epoch"] == 1].groupby("l2")["train_loss_running"].mean()
    first = panels("loss_parts", study)[0]
    assert drawn(first, "running mean of epoch 1") == pytest.approx(running.to_numpy())


def test_contrasts_draw_differences_and_fill_those_that_holm_keeps(study):
    rows = widest(study.tables["contrasts"], ["measure", "l2"])
    rows = rows.query("measure == 'test_accuracy'").sort_values("l2")
    p_holm = study.tables["contrasts"]["l2"].map({1e-4: 0.04, 1e-2: 0.06})
    corrected = with_tables(study, contrasts=study.tables["contrasts"].assign(p_holm=p_holm))
    ax = panels("contrasts", corrected)[2]
    lines = [item for item in ax.lines if item.get_label().startswith("test_accuracy")]
    points = np.array([item.get_xydata()[0] for item in lines])
    assert points[:, 0] == pytest.approx(100 * rows["mean_difference"].to_numpy())
    ends = [bar.get_segments()[0][:, 0] for bar in ax.collections]
    assert ends == pytest.approx(100 * rows[["low", "high"]].to_numpy())
    assert [item.get_mfc() == "white" for item in lines] == [False, True]


def test_sensitivity_draws_a_dot_per_run(study):
    at = runs_of(study)[runs_of(study)["l2"] == LOST[0]]
    lost = 100 * (at["test_accuracy"] - at["test_accuracy_noise_0.3"])
    expected = [at["softmax_jacobian_norm"], at["jacobian_norm"], lost]
    for ax, values in zip(panels("sensitivity", study), expected, strict=True):
        assert drawn(ax, "λ = 0.0001") == pytest.approx(values.to_numpy())


def test_creep_is_the_distance_from_each_runs_own_minimum(study):
    rows = study.tables["histories"].query("l2 == 0.01")
    for ax, measure in zip(panels("creep", study)[:2], ("val_ce", "val_loss"), strict=True):
        table = rows.pivot(index="epoch", columns="seed", values=measure)
        expected = (table - table.min()).mean(axis=1).to_numpy()
        assert drawn(ax, "λ = 0.01") == pytest.approx(expected)


@pytest.mark.parametrize("case", sorted(EDGE_CASES))
def test_edge_cases_are_drawn(edge_case, case):
    study = edge_case(case)
    for name in figures.FIGURES:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawing = figures.draw(name, study)
            drawing.draw_without_rendering()
        if "diverged" in case:
            assert any("Diverged and left out" in text for text in texts(drawing)), name
        if case == "every run diverged":
            assert any("No run of this study completed" in text for text in texts(drawing)), name


def test_a_lambda_without_a_completed_run_keeps_its_place(edge_case):
    study = edge_case("a lambda with every run diverged, another with one left")
    (text,) = [t for t in panels("gap", study)[0].texts if t.get_text() == "all diverged"]
    assert text.get_position()[0] == pytest.approx(-2)
    assert "every seed (seeds 0, 1)" in diverged_text(study.tables["runs"])


def test_labels_are_moved_as_little_as_isotonic_regression_moves_them():
    random = np.random.default_rng(0)
    for count in (1, 2, 5, 12):
        values = random.normal(size=count)
        assert isotonic(values) == pytest.approx(optimize.isotonic_regression(values).x, abs=1e-12)


def test_picture_writes_both_kinds_and_shows_what_is_there(study, tmp_path):
    folder, files = tmp_path / "figures", figures.render(figures.draw("loss_parts", study))
    assert figures.picture("loss_parts", study) == files["svg"]
    assert not folder.exists()
    assert figures.picture("loss_parts", study, folder) == files["svg"]
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert written == {"loss_parts.png": files["png"], "loss_parts.svg": files["svg"]}
    (folder / "loss_parts.svg").write_bytes(b"drawn before")
    assert figures.picture("loss_parts", study, folder) == b"drawn before"


def test_figures_drawn_ahead_are_shown_and_those_that_fail_say_why(study, tmp_path, monkeypatch):
    tables = {name: table for name, table in study.tables.items() if name != "contrasts"}
    partial = replace(study, tables=tables)
    names = ["loss_parts", "contrasts", "decomposition", "calibration"]
    with figures.drawing_ahead(names, partial, tmp_path), monkeypatch.context() as patched:
        patched.setattr(figures, "render", None)  # this process draws none
        with pytest.raises(KeyError, match="contrasts"):
            figures.picture("contrasts", partial, tmp_path)
        names.remove("contrasts")
        shown = {name: figures.picture(name, partial, tmp_path) for name in names}
    assert {path.stem for path in tmp_path.iterdir()} == set(shown)
    assert shown["calibration"] == figures.render(figures.draw("calibration", study))["svg"]


def test_where_a_process_that_draws_is_killed_its_figures_are_drawn_here(study, tmp_path):
    with figures.drawing_ahead(list(figures.FIGURES), study, tmp_path):
        for process in multiprocessing.active_children():
            process.kill()
        shown = figures.picture("calibration", study, tmp_path)
    assert shown == figures.render(figures.draw("calibration", study))["svg"]


def test_nothing_is_drawn_any_more_where_drawing_ahead_is_left(study, tmp_path):
    with figures.drawing_ahead(list(figures.FIGURES), study, tmp_path):
        working = multiprocessing.active_children()
        assert working
    assert not [process for process in working if process.is_alive()]
