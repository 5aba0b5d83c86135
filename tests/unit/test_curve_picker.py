"""The curves to pick: means and extremes of histories, what is thinned, and what is left out."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from l2study.core.measures import MEASURES, OPTIONAL
from l2study.core.scope_rows import for_seeds
from l2study.report import curve_picker
from reported import EDGE_CASES, shown


@pytest.fixture(scope="module")
def study():
    diverged = {(1e-4, 5): 3}
    return shown(lambdas=[0, 1e-4, 1e-2], seeds=[0, 1, 5], epochs=4, diverged=diverged)


def measure(data, name):
    (found,) = [one for one in data["measures"] if one["name"] == name]
    return found


@pytest.mark.parametrize(
    ("name", "scale"), [("val_ce", 1), ("test_accuracy", 100), ("spectral_norm", 1)]
)
def test_curves_are_means_and_extremes_over_completed_runs(study, name, scale):
    data, rows = curve_picker.curves(study), study.tables["histories"]
    rows = rows[(rows["l2"] != 1e-4) | (rows["seed"] != 5)]
    found = measure(data, name)
    assert data["epochs"] == [0, 1, 2, 3, 4]
    for k, (_, of_lambda) in enumerate(rows.groupby("l2")):
        table = scale * of_lambda.pivot(index="seed", columns="epoch", values=name)
        for curve, expected in table.agg(["mean", "min", "max"]).iterrows():
            of_lambda = found[{"min": "low", "max": "high"}.get(curve, curve)][k]
            assert of_lambda == pytest.approx(expected.tolist(), rel=1e-4)
        assert np.array(found["runs"][k]) == pytest.approx(table.to_numpy(), rel=1e-4)


def test_gaps_end_where_the_table_of_gaps_does(study):
    data, gap = curve_picker.curves(study), for_seeds(study.tables["gap"])
    for kind, rows in gap[gap["epoch"] == 4].groupby("gap"):
        if kind in ("endpoint", "exchangeable"):
            continue
        ends = [means[-1] for means in measure(data, f"gap_{kind}")["mean"]]
        expected = MEASURES[f"gap_{kind}"].scale * rows.sort_values("l2")["mean"]
        assert ends == pytest.approx(expected.tolist(), abs=1e-4)


def test_what_is_not_measured_before_training_is_missing_there(study):
    means = measure(curve_picker.curves(study), "train_accuracy_running")["mean"]
    assert [[value is None for value in one] for one in means] == [[True] + 4 * [False]] * 3


def test_lambdas_have_a_marker_and_text_that_can_be_read(study):
    shown = curve_picker.curves(study)["lambdas"]
    assert [one["label"] for one in shown] == ["0", "0.0001", "0.01"]
    assert len({one["marker"] for one in shown}) == 3
    for one in shown:
        levels = np.array([int(one["ink"][k : k + 2], 16) / 255 for k in (1, 3, 5)])
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) > 4.45


@pytest.mark.parametrize(
    ("epochs", "count"), [(range(21), 21), ([0, 1, 10, 5000], 4), (range(0, 5001, 10), 168)]
)
def test_epochs_are_thinned_to_the_last_only_if_they_are_many(epochs, count):
    kept = curve_picker._thinned(pd.Series(list(epochs) * 2))
    assert kept <= set(epochs)
    assert (min(kept), max(kept), len(kept)) == (0, max(epochs), count)


def test_the_exchangeable_gap_can_be_picked_where_it_has_a_value():
    drawn = shown(lambdas=[0, 1e-2], seeds=[0, 1], epochs=2, split="stratified")
    gap = for_seeds(drawn.tables["gap"]).query("gap == 'exchangeable' and l2 == 0")["mean"]
    found = measure(curve_picker.curves(drawn), "gap_exchangeable")["mean"][0]
    assert found == pytest.approx((100 * gap).tolist(), abs=2e-3)


def test_many_runs_are_left_out_and_counted(study, monkeypatch):
    # the exchangeable gap has no value in this study, whose split is the tail
    everything = 8 * 5 * (len(set(curve_picker.SHOWN) - set(OPTIONAL)) - 1)
    monkeypatch.setattr(curve_picker, "MOST_NUMBERS", everything)
    assert curve_picker.curves(study)["left_out"] == 0
    monkeypatch.setattr(curve_picker, "MOST_NUMBERS", everything - 1)
    data = curve_picker.curves(study)
    assert data["left_out"] == everything
    assert not any("runs" in one for one in data["measures"])
    assert f"{everything:,} numbers" in curve_picker.explorer(study)


@pytest.mark.slow  # makes whole studies
@pytest.mark.parametrize("case", sorted(EDGE_CASES))
def test_edge_cases_have_a_plot_or_a_sentence(edge_case, case):
    study = edge_case(case)
    html = curve_picker.explorer(study)
    if (study.tables["runs"]["status"] == "completed").any():
        (content,) = re.findall(r'<script type="application/json" id="[^"]+">(.*?)</script>', html)
        assert json.loads(content)["curves"] == curve_picker.curves(study)
    else:
        assert html == "<p>No run of this study completed: there are no curves to pick from.</p>"


def test_the_data_cannot_end_the_script_it_stands_in(study, monkeypatch):
    data = curve_picker.curves(study)
    data["measures"][0]["title"] = "</script><b>"
    monkeypatch.setattr(curve_picker, "curves", lambda _: data)
    assert "</script><b>" not in curve_picker.explorer(study)
    assert not any("</script" in script for script in curve_picker.scripts())
