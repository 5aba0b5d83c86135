import json
import re

import pandas as pd
import pytest

from l2study.core.scope_rows import for_seeds
from l2study.report import curve_picker
from reported import EDGE_CASES, made_up


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_up(
        tmp_path_factory.mktemp("study"),
        lambdas=[0, 1e-4, 1e-2],
        seeds=[0, 1, 5],
        epochs=4,
        diverged={(1e-4, 5): 3},
    )


def curves(study):
    return curve_picker.curves(study.tables["histories"], study.tables["runs"])


def measure(data, name):
    (found,) = [one for one in data["measures"] if one["name"] == name]
    return found


@pytest.mark.parametrize(
    ("name", "scale"), [("val_ce", 1), ("test_accuracy", 100), ("spectral_norm", 1)]
)
def test_curves_are_means_and_extremes_over_completed_runs(study, name, scale):
    data = curves(study)
    rows = study.tables["histories"]
    rows = rows[~((rows["l2"] == 1e-4) & (rows["seed"] == 5))]
    found = measure(data, name)
    assert data["epochs"] == [0, 1, 2, 3, 4]
    for k, l2 in enumerate([0, 1e-4, 1e-2]):
        table = scale * rows[rows["l2"] == l2].pivot(index="seed", columns="epoch", values=name)
        assert found["mean"][k] == pytest.approx(table.mean().tolist(), rel=1e-4)
        assert found["low"][k] == pytest.approx(table.min().tolist(), rel=1e-4)
        assert found["high"][k] == pytest.approx(table.max().tolist(), rel=1e-4)
        for run, expected in zip(found["runs"][k], table.to_numpy(), strict=True):
            assert run == pytest.approx(expected.tolist(), rel=1e-4)
    assert data["seeds"] == [[0, 1, 5], [0, 1], [0, 1, 5]]


def test_gaps_end_where_the_table_of_gaps_does(study):
    data, gap = curves(study), for_seeds(study.tables["gap"])
    for kind in ("reported", "lag", "generalisation", "split", "ce"):
        found = measure(data, f"gap_{kind}")
        rows = gap[(gap["gap"] == kind) & (gap["epoch"] == 4)].sort_values("l2")
        scale = 1 if kind == "ce" else 100
        ends = [means[-1] for means in found["mean"]]
        assert ends == pytest.approx((scale * rows["mean"]).tolist(), abs=1e-4)
        assert found["unit"] == ("nats" if kind == "ce" else "points")


def test_what_is_not_measured_before_training_is_missing_there(study):
    found = measure(curves(study), "train_accuracy_running")
    assert [means[0] for means in found["mean"]] == [None, None, None]
    assert all(value is not None for means in found["mean"] for value in means[1:])


def test_lambdas_have_a_colour_a_marker_and_text_that_can_be_read(study):
    def contrast(colour):
        levels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in levels]
        light = sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
        return 1.05 / (light + 0.05)

    shown = curves(study)["lambdas"]
    assert [one["label"] for one in shown] == ["0", "0.0001", "0.01"]
    assert shown[0]["marker"] == "square"
    assert len({one["marker"] for one in shown}) == 3
    assert all(contrast(one["ink"]) > 4.45 for one in shown)


def test_long_histories_are_thinned_to_the_last_epoch():
    for last in (1, 199, 200, 777, 5000):
        kept = sorted(curve_picker._thinned(pd.Series(range(last + 1))))
        assert kept[0] == 0
        assert kept[-1] == last
        assert len(kept) <= curve_picker.MOST_EPOCHS + 1
    assert curve_picker._thinned(pd.Series(range(21))) == set(range(21))


def test_chosen_epochs_are_thinned_only_if_they_are_many():
    few = [0, 1, 10, 100, 1001, 5000]
    assert curve_picker._thinned(pd.Series(few * 3)) == set(few)
    many = range(0, 5001, 10)
    kept = sorted(curve_picker._thinned(pd.Series(many)))
    assert set(kept) <= set(many)
    assert (kept[0], kept[-1], len(kept)) == (0, 5000, 168)


def test_curves_are_at_the_chosen_epochs(tmp_path):
    chosen = made_up(tmp_path, lambdas=[0], seeds=[0, 1], epochs=1000, evaluate_at={"points": 4})
    data = curves(chosen)
    assert data["epochs"] == [0, 1, 10, 100, 1000]
    rows = chosen.tables["histories"].groupby("epoch")["val_ce"].mean()
    assert measure(data, "val_ce")["mean"][0] == pytest.approx(rows.tolist(), rel=1e-4)


def test_the_exchangeable_gap_can_be_picked_where_it_has_a_value(study, tmp_path):
    assert "gap_exchangeable" not in {one["name"] for one in curves(study)["measures"]}
    drawn = made_up(tmp_path, lambdas=[0, 1e-2], seeds=[0, 1], epochs=2, split="stratified")
    found = measure(curves(drawn), "gap_exchangeable")
    assert found["mean"] == [
        pytest.approx([100 * (row.train_accuracy - row.val_accuracy) for row in of_l2.itertuples()],
                      abs=2e-3)
        for _, of_l2 in drawn.tables["histories"].groupby(["l2", "epoch"]).mean().groupby("l2")
    ]  # fmt: skip


def test_many_runs_are_left_out_and_counted(study, monkeypatch):
    # the exchangeable gap has no value in this study, whose split is the tail
    everything = 8 * 5 * (len(curve_picker.SHOWN) - 1)
    monkeypatch.setattr(curve_picker, "MOST_NUMBERS", everything)
    assert curves(study)["left_out"] == 0
    monkeypatch.setattr(curve_picker, "MOST_NUMBERS", everything - 1)
    data = curves(study)
    assert data["left_out"] == everything
    assert data["seeds"] == []
    assert "runs" not in measure(data, "val_ce")
    assert measure(data, "val_ce")["mean"]
    assert f"{everything:,} numbers" in curve_picker.explorer(study)


@pytest.mark.slow  # makes whole studies
@pytest.mark.parametrize("case", sorted(EDGE_CASES))
def test_odd_studies_have_a_plot_or_a_sentence(edge_case, case):
    study = edge_case(case)
    html = curve_picker.explorer(study)
    if (study.tables["runs"]["status"] == "completed").any():
        (content,) = re.findall(r'<script type="application/json" id="[^"]+">(.*?)</script>', html)
        assert json.loads(content)["curves"] == curves(study)
    else:
        assert html == "<p>No run of this study completed: there are no curves to pick from.</p>"


def test_the_data_cannot_end_the_script_it_stands_in(study, monkeypatch):
    data = curves(study)
    data["lambdas"][0]["marker"] = "square"
    data["measures"][0]["unit"] = "</script><b>"
    monkeypatch.setattr(curve_picker, "curves", lambda *_: data)
    assert "</script><b>" not in curve_picker.explorer(study)


def test_scripts_are_bokeh_and_can_stand_in_a_page():
    scripts = curve_picker.scripts()
    assert len(scripts[0]) > 1e6
    assert not any("</script" in script for script in scripts)
