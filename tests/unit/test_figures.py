import itertools
import multiprocessing
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv
from matplotlib.container import BarContainer
from matplotlib.text import Text
from scipy import optimize

from l2study.core.scope_rows import for_seeds, widest
from l2study.report import figures, style
from l2study.report.marks import diverged_text, isotonic
from reported import CAPTIONS, EDGE_CASES, made_up

pytestmark = pytest.mark.slow  # draws


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_up(
        tmp_path_factory.mktemp("study"),
        lambdas=[0, 1e-4, 1e-2],
        seeds=[0, 1, 2, 5],
        epochs=4,
        diverged={(1e-4, 5): 3},
    )


def draw(name, study, confidence=0.95):
    return figures.draw(name, study.tables, confidence)


def line(ax, label):
    (found,) = [item for item in ax.lines if item.get_label() == label]
    return found


def texts(drawing):
    return [text.get_text() for text in drawing.findobj(lambda a: hasattr(a, "get_text"))]


def at_end(study, kind):
    table = for_seeds(study.tables["gap"])
    return table[(table["gap"] == kind) & (table["epoch"] == 4)].sort_values("l2")


def by_column(axes):
    places = [ax.get_subplotspec().colspan.start for ax in axes]
    return [[ax for ax, p in zip(axes, places, strict=True) if p == place] for place in set(places)]


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def test_every_figure_has_a_caption_and_every_caption_a_figure():
    assert set(figures.FIGURES) == {path.stem for path in CAPTIONS.glob("*.rst")}


# --- lambdas --------------------------------------------------------------------------------------


def test_shades_darken_with_lambda_and_zero_has_another_hue():
    colours = style.lambda_colours([0, 1e-5, 1e-4, 1e-3, 1e-2])
    lightness = [luminance(colours[v]) for v in (1e-5, 1e-4, 1e-3, 1e-2)]
    assert all(np.diff(lightness) < -0.01)
    hue = {v: rgb_to_hsv(c)[0] for v, c in colours.items()}
    assert all(abs(hue[0.0] - hue[v]) > 0.2 for v in colours if v)


def test_lambda_zero_has_a_place_left_of_the_logarithmic_axis():
    positions = style.lambda_positions([1e-2, 0, 1e-4])
    assert list(positions) == [0, 1e-4, 1e-2]
    assert positions[1e-4] == pytest.approx(-4)
    assert positions[1e-2] == pytest.approx(-2)
    assert positions[0] <= -4.5


def test_lambda_axis_is_labelled_and_broken_before_zero(study):
    ax = draw("gap", study).axes[-1]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "0.0001", "0.01"]
    marks = [item.get_xdata() for item in ax.lines if item.get_gid() == "break"]
    assert marks
    assert all(ax.get_xticks()[0] < np.min(x) and np.max(x) < ax.get_xticks()[1] for x in marks)


def test_axis_without_zero_is_not_broken(edge_case):
    ax = draw("gap", edge_case("no lambda 0")).axes[-1]
    assert not [item for item in ax.lines if item.get_gid() == "break"]
    assert ax.get_xlabel() == "λ (logarithmic)"


def test_labels_that_would_overlap_are_turned(edge_case):
    ax = draw("gap", edge_case("twelve lambdas")).axes[-1]
    assert {tick.get_rotation() for tick in ax.get_xticklabels()} == {45}
    drawing = ax.figure
    drawing.draw_without_rendering()
    places = [tick.get_window_extent().x1 for tick in ax.get_xticklabels()]
    assert min(np.diff(places)) > 8


# --- what is drawn is what the tables say ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "panel", "label"),
    [
        ("learning_curves", 1, "val_ce"),
        ("weight_norm", 0, "λ = 0"),
        ("creep", 1, "λ = 0"),
    ],
)
def test_curves_stand_at_the_evaluated_epochs_with_a_dot_where_some_are_left_out(
    tmp_path, study, name, panel, label
):
    chosen = made_up(tmp_path, lambdas=[0, 1e-4], seeds=[0, 1], epochs=30, evaluate_at=[2, 9])
    found = line(draw(name, chosen).axes[panel], label)
    assert found.get_xdata().tolist() == [0, 2, 9, 30]
    assert found.get_marker() == "o"
    full = line(draw(name, study).axes[panel], label)
    assert full.get_xdata().tolist() == [0, 1, 2, 3, 4]
    assert full.get_marker() == "None"


@pytest.mark.parametrize(
    ("panel", "kind", "scale"), [(0, "reported", 100), (1, "generalisation", 100), (2, "ce", 1)]
)
def test_gap_draws_means_intervals_and_seeds(study, panel, kind, scale):
    ax = draw("gap", study).axes[panel]
    rows, runs = at_end(study, kind), study.tables["runs"]
    assert line(ax, f"mean:gap_{kind}").get_ydata() == pytest.approx(
        scale * rows["mean"].to_numpy()
    )
    ends = next(bar for bar in ax.collections if len(bar.get_paths()) == 3).get_segments()
    assert [y for segment in ends for y in segment[:, 1]] == pytest.approx(
        scale * rows[["mean_low", "mean_high"]].to_numpy().ravel()
    )
    dots = ax.collections[0].get_offsets()
    complete = runs[runs["status"] == "completed"]
    assert sorted(dots[:, 1]) == pytest.approx(sorted(scale * complete[f"gap_{kind}"]))
    assert len(dots) == 11


def test_the_exchangeable_gap_has_a_panel_where_it_has_a_value(study, tmp_path):
    assert len(draw("gap", study).axes) == 3
    drawn = made_up(tmp_path, lambdas=[0, 1e-2], seeds=[0, 1], epochs=2, split="stratified")
    axes = draw("gap", drawn).axes
    assert len(axes) == 4 and axes[2].get_ylabel() == "Exchangeable gap\n(points)"
    means = for_seeds(drawn.tables["means"]).query("measure == 'gap_exchangeable'")
    means = means.sort_values("l2")
    expected = 100 * means["mean"].to_numpy()
    assert line(axes[2], "mean:gap_exchangeable").get_ydata() == pytest.approx(expected)


def test_seeds_stand_beside_their_own_lambda(study):
    ax = draw("gap", study).axes[0]
    runs = study.tables["runs"]
    complete = runs[runs["status"] == "completed"]
    positions = style.lambda_positions(runs["l2"])
    nearest = [
        min(positions, key=lambda v: abs(positions[v] - x))
        for x in ax.collections[0].get_offsets()[:, 0]
    ]
    assert nearest == complete["l2"].tolist()


def test_gap_variance_draws_points_squared(study):
    ax = draw("gap_variance", study).axes[0]
    rows = at_end(study, "reported")
    drawn = line(ax, "mean:reported").get_ydata()
    assert drawn == pytest.approx(1e4 * rows["variance"].to_numpy())
    assert ax.get_yscale() == "log"


def test_variance_of_zero_is_left_out_of_the_logarithmic_axis(study):
    tables = {**study.tables, "gap": study.tables["gap"].assign(variance=0.0)}
    ax = figures.draw("gap_variance", tables, 0.95).axes[0]
    assert np.isnan(line(ax, "mean:reported").get_ydata()).all()


def test_decomposition_stacks_to_the_reported_gap(study):
    ax = draw("decomposition", study).axes[0]
    bars = {
        container.get_label(): container
        for container in ax.containers
        if isinstance(container, BarContainer)
    }
    assert list(bars) == ["lag", "generalisation", "split"]
    for rank, reported in enumerate(at_end(study, "reported")["mean"]):
        parts = [bars[kind].patches[rank] for kind in bars]
        heights = [part.get_height() for part in parts]
        assert sum(heights) == pytest.approx(100 * reported)
        ups = sorted((p.get_y(), p.get_y() + p.get_height()) for p in parts if p.get_height() >= 0)
        downs = sorted(
            (-p.get_y(), -p.get_y() - p.get_height()) for p in parts if p.get_height() < 0
        )
        for stack in (ups, downs):
            starts, ends = [0.0, *(end for _, end in stack)], [start for start, _ in stack]
            assert ends == pytest.approx(starts[:-1])


def test_learning_curves_draw_means_over_completed_runs_only(study):
    drawing = draw("learning_curves", study)
    histories = study.tables["histories"]
    rows = histories[(histories["l2"] == 1e-4) & (histories["seed"] != 5)]
    panels = np.array(drawing.axes).reshape(3, 3)
    for column, measure, scale in (
        (0, "train_loss", 1),
        (1, "val_ce", 1),
        (2, "val_accuracy", 100),
    ):
        expected = scale * rows.groupby("epoch")[measure].mean()
        assert line(panels[1, column], measure).get_ydata() == pytest.approx(expected.to_numpy())
    band = panels[1, 1].collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(rows["train_ce"].min())


def test_learning_curves_show_a_diverged_run_to_its_end(study):
    panels = np.array(draw("learning_curves", study).axes).reshape(3, 3)
    diverged = [item for item in panels[1, 0].lines if item.get_label() == "diverged"]
    assert [list(item.get_xdata()) for item in diverged] == [[0, 1, 2]]
    assert not [item for item in panels[0, 0].lines if item.get_label() == "diverged"]


def test_weight_norm_shows_both_kinds_of_input(study):
    bottom = draw("weight_norm", study).axes[1]
    runs = study.tables["runs"]
    for column in ("weight_norm", "weight_norm_lit", "weight_norm_never_lit"):
        expected = runs.groupby("l2")[column].mean()
        assert line(bottom, f"mean:{column}").get_ydata() == pytest.approx(expected.to_numpy())


def test_loss_parts_stack_cross_entropy_and_penalty(study):
    before, after = draw("loss_parts", study).axes
    histories = study.tables["histories"]
    rows = histories[~((histories["l2"] == 1e-4) & (histories["seed"] == 5))]
    for ax, epoch in ((before, 0), (after, 4)):
        ce, penalty = (container.patches for container in ax.containers)
        tops = [bar.get_y() + bar.get_height() for bar in penalty]
        expected = rows[rows["epoch"] == epoch].groupby("l2")["train_loss"].mean()
        assert tops == pytest.approx(expected.to_numpy())
        assert [bar.get_y() for bar in penalty] == pytest.approx([bar.get_height() for bar in ce])
    first = rows[rows["epoch"] == 1].groupby("l2")["train_loss_running"].mean()
    assert line(before, "running mean of epoch 1").get_ydata() == pytest.approx(first.to_numpy())
    last = rows[rows["epoch"] == 4].groupby("l2")["val_loss"].mean()
    assert line(after, "validation loss").get_ydata() == pytest.approx(last.to_numpy())


def test_contrasts_draw_differences_and_fill_those_that_holm_keeps(study):
    ax = draw("contrasts", study).axes[2]
    rows = widest(study.tables["contrasts"], ["measure", "l2"])
    rows = rows.query("measure == 'test_accuracy'").sort_values("l2")
    assert ax.get_title(loc="left").startswith("Test accuracy")
    marks = [line(ax, f"test_accuracy {label}") for label in ("0.0001", "0.01")]
    drawn = [mark.get_xdata()[0] for mark in marks]
    assert drawn == pytest.approx(100 * rows["mean_difference"].to_numpy())
    filled = [mark.get_markerfacecolor() != "white" for mark in marks]
    assert filled == (rows["p_holm"] < 0.05).tolist()
    clearest = rows.loc[rows["p_t"].idxmin()]
    assert clearest["p_holm"] == pytest.approx(2 * clearest["p_t"])
    between = draw("contrasts", study, confidence=1 - 1.5 * clearest["p_t"]).axes[2]
    mark = line(between, f"test_accuracy {clearest['l2']:g}")
    assert mark.get_markerfacecolor() == "white"
    spans = [c.get_segments()[0][:, 0] for c in ax.collections]
    assert np.concatenate(spans) == pytest.approx(100 * rows[["low", "high"]].to_numpy().ravel())


def test_sensitivity_draws_every_completed_run(study):
    top, middle, bottom = draw("sensitivity", study).axes
    runs = study.tables["runs"]
    at = runs[(runs["l2"] == 1e-4) & (runs["status"] == "completed")]
    for ax, expected in (
        (top, at["softmax_jacobian_norm"]),
        (middle, at["jacobian_norm"]),
        (bottom, 100 * (at["test_accuracy"] - at["test_accuracy_noise_0.3"])),
    ):
        drawn = line(ax, "λ = 0.0001")
        assert drawn.get_xdata() == pytest.approx(at["weight_norm"].to_numpy())
        assert drawn.get_ydata() == pytest.approx(expected.to_numpy())


def test_robustness_draws_distances_and_accuracies_under_attack(study):
    axes = draw("robustness", study).axes
    runs = study.tables["runs"]
    complete = runs[runs["status"] == "completed"]
    panels = (
        ("boundary_distance", 1),
        ("test_accuracy_fgsm_0.05", 100),
        ("test_accuracy_pgd_0.05", 100),
    )
    for ax, (measure, scale) in zip(axes, panels, strict=True):
        dots = ax.collections[0].get_offsets()[:, 1]
        assert sorted(dots) == pytest.approx(sorted(scale * complete[measure]))
        means = complete.groupby("l2")[measure].mean().to_numpy()
        assert line(ax, f"mean:{measure}").get_ydata() == pytest.approx(scale * means)
    assert axes[1].get_ylim() == axes[2].get_ylim()


def test_creep_that_is_mere_rounding_does_not_fill_the_panel(study):
    rises = ["val_ce_rise", "val_loss_rise"]
    runs, means = study.tables["runs"], study.tables["means"].copy()
    means.loc[means["measure"].isin(rises), ["mean", "low", "high"]] = 2e-17
    tables = study.tables | {"runs": runs.assign(**dict.fromkeys(rises, 4e-17)), "means": means}
    low, high = figures.draw("creep", tables, 0.95).axes[2].get_ylim()
    assert high - low > 0.01 * runs["val_ce_min"].median()


def test_creep_is_the_distance_from_each_runs_own_minimum(study):
    ce, loss, end = draw("creep", study).axes
    runs, histories = study.tables["runs"], study.tables["histories"]
    for measure in ("val_ce_rise", "val_loss_rise"):
        risen = runs.groupby("l2")[measure].mean().to_numpy()
        assert line(end, f"mean:{measure}").get_ydata() == pytest.approx(risen)
    expected = runs.groupby("l2")["val_ce_creep"].mean().to_numpy()
    assert line(ce, "λ = 0.01").get_ydata()[-1] == pytest.approx(expected[2])
    losses = histories[histories["l2"] == 0.01].pivot(
        index="epoch", columns="seed", values="val_loss"
    )
    risen = (losses - losses.min()).mean(axis=1).to_numpy()
    assert line(loss, "λ = 0.01").get_ydata() == pytest.approx(risen)


def test_calibration_draws_ece_in_points_and_brier(study):
    top, bottom = draw("calibration", study).axes
    means = study.tables["runs"].groupby("l2")[["ece", "brier"]].mean()
    assert line(top, "mean:ece").get_ydata() == pytest.approx(100 * means["ece"].to_numpy())
    assert line(bottom, "mean:brier").get_ydata() == pytest.approx(means["brier"].to_numpy())


# --- any study ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(figures.FIGURES))
def test_axes_are_labelled_and_diverged_runs_named(study, name):
    drawing = draw(name, study)
    assert any("λ = 0.0001 seed 5" in text for text in texts(drawing))
    visible = [ax for ax in drawing.axes if ax.axison]
    assert all(
        any(ax.get_ylabel() or ax.get_title(loc="left") for ax in column)
        for column in by_column(visible)
    )
    assert drawing.get_size_inches()[0] == style.WIDTH


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(EDGE_CASES))
def test_odd_studies_are_drawn(edge_case, case):
    study = edge_case(case)
    for name in figures.FIGURES:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawing = draw(name, study)
            drawing.draw_without_rendering()
        if "diverged" in case:
            assert any("Diverged and left out" in text for text in texts(drawing)), name
        if case == "every run diverged":
            assert any("No run of this study completed" in text for text in texts(drawing)), name


def test_a_lambda_without_a_completed_run_keeps_its_place(edge_case):
    study = edge_case("a lambda with every run diverged, another with one left")
    ax = draw("gap", study).axes[0]
    (text,) = [t for t in ax.texts if t.get_text() == "all diverged"]
    assert text.get_position()[0] == pytest.approx(-2)
    assert "every seed (seeds 0, 1)" in diverged_text(study.tables["runs"])


def test_contrasts_without_reference_say_so(edge_case):
    drawing = draw("contrasts", edge_case("reference not in the study"))
    assert any("No contrasts" in text for text in texts(drawing))


def test_equal_tables_give_equal_bytes_without_a_date(study):
    once, again = (figures.render(draw("gap_variance", study)) for _ in range(2))
    assert once == again
    assert b"<dc:date>" not in once["svg"]
    assert b"<text" not in once["svg"]
    assert once["png"].startswith(b"\x89PNG")
    assert b"Software" not in once["png"]


def test_pictures_are_those_that_matplotlib_saves(study, tmp_path):
    files = figures.render(draw("gap_variance", study))
    drawing, metadata = draw("gap_variance", study), {"png": {"Software": None}}
    metadata["svg"] = {"Date": None, "Creator": None}
    with mpl.rc_context(style.STYLE):
        for kind, picture in files.items():
            drawing.savefig(tmp_path / f"x.{kind}", dpi=192, metadata=metadata[kind])
            assert (tmp_path / f"x.{kind}").read_bytes() == picture
            drawing.set_layout_engine("none")  # the second has the layout of the first


def test_picture_writes_both_kinds_and_shows_what_is_there(study, tmp_path):
    folder, files = tmp_path / "figures", figures.render(draw("gap_variance", study))
    assert figures.picture("gap_variance", study.tables, 0.95) == files["svg"]
    assert not folder.exists()
    assert figures.picture("gap_variance", study.tables, 0.95, folder) == files["svg"]
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert written == {"gap_variance.png": files["png"], "gap_variance.svg": files["svg"]}
    (folder / "gap_variance.svg").write_bytes(b"drawn before")
    assert figures.picture("gap_variance", study.tables, 0.95, folder) == b"drawn before"


def test_figures_drawn_ahead_are_shown_and_those_that_fail_say_why(study, tmp_path, monkeypatch):
    tables = dict(study.tables)
    del tables["contrasts"]
    names = ["gap_variance", "contrasts", "decomposition", "calibration"]
    with figures.drawing_ahead(names, tables, 0.95, tmp_path), monkeypatch.context() as patched:
        patched.setattr(figures, "render", None)  # this process draws none
        shown = {
            name: figures.picture(name, tables, 0.95, tmp_path)
            for name in set(names) - {"contrasts"}
        }
    assert {path.stem for path in tmp_path.iterdir()} == set(shown)
    assert shown["calibration"] == figures.render(draw("calibration", study))["svg"]
    with pytest.raises(KeyError):
        figures.picture("contrasts", tables, 0.95, tmp_path)


def test_nothing_is_drawn_any_more_where_drawing_ahead_is_left(study, tmp_path):
    with figures.drawing_ahead(list(figures.FIGURES), study.tables, 0.95, tmp_path):
        working = multiprocessing.active_children()
        assert working
    assert not [process for process in working if process.is_alive()]


def test_colours_are_those_of_seaborn():
    import seaborn

    there = seaborn.color_palette("crest", as_cmap=True)(np.linspace(0, 1, 256))
    assert np.abs(style.CREST(np.linspace(0, 1, 256)) - there).max() < 2 / 255


def test_labels_are_moved_as_little_as_isotonic_regression_moves_them():
    random = np.random.default_rng(0)
    for count in (1, 2, 5, 12):
        values = random.normal(size=count)
        expected = optimize.isotonic_regression(values).x
        assert isotonic(values) == pytest.approx(expected, abs=1e-12)


def test_end_labels_do_not_overlap(edge_case):
    study = edge_case("twelve lambdas")
    drawing = draw("creep", study)
    drawing.draw_without_rendering()
    for ax in drawing.axes[:2]:
        boxes = [
            Text.get_window_extent(annotation) for annotation in ax.texts if annotation.get_text()
        ]
        heights = sorted((box.y0, box.y1) for box in boxes)
        overlaps = [a[1] - b[0] for a, b in itertools.pairwise(heights)]
        assert len(boxes) == 12
        assert max(overlaps) < 2


def test_draw_passes_each_figure_its_tables():
    assert figures.tables_of("gap") == ["means", "runs"]
    assert figures.tables_of("sensitivity") == ["runs"]
