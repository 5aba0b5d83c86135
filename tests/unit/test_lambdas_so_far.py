"""Which lambdas a study has whose range is extended in rounds, by the runs that are there."""

from dataclasses import replace

import pytest

import aggregate
from l2study.core import lambda_grid
from l2study.core.config import check
from l2study.core.design import Design
from l2study.core.files import read_table
from l2study.core.paths import predictions_file, run_folder
from l2study.report import answer
from l2study.report.study import read_results
from l2study.workflow import lambdas_so_far
from synthetic import HELPFUL, NOTHING, write_study
from tiny import PROJECT

LEDGER = PROJECT / "reports" / "claims" / "general.yaml"

OVERFITTING = replace(HELPFUL, val_ce_min=(0.16, 0.08), creep=(0.03, 0.001))
"""The larger lambda, the better, up to 0.01."""

FALLING = replace(HELPFUL, val_ce_min=(0.08, 0.16), creep=(0.001, 0.03))
"""The larger lambda, the worse."""


def extended(config, **own):
    """The design of a made-up study, told to go beyond a range."""
    own = {"from": 1e-4, "to": 1e-3, "per_decade": 1, "extend": True} | own
    lambdas = check({"lambdas": own})["lambdas"]
    return Design.of(config | {"lambdas": lambdas}, checked=True)


def grown(folder, lambdas=(1e-4, 1e-3, 1e-2), effects=OVERFITTING, **options):
    return write_study(
        folder, lambdas=lambdas, seeds=range(4), epochs=2, effects=effects, **options
    )


def test_a_step_beyond_each_end_as_far_as_may_be():
    may = lambda_grid.reach(1e-3, 1e-2, 2)
    assert lambda_grid.widened([1e-3, 3e-3, 1e-2], [], may) == [1e-3, 3e-3, 1e-2]
    assert lambda_grid.widened([1e-3, 3e-3, 1e-2], [1e-2, 1e-3], may)[::4] == [3e-4, 3e-2]
    assert may[0] == 1e-5 and may[-1] == 1
    assert lambda_grid.widened([0, *may], [1], may) == [0, *may]


def test_every_round_adds_a_step_where_the_best_is_at_an_end(tmp_path):
    design = extended(grown(tmp_path))
    now, over = lambdas_so_far.look(design, str(tmp_path))
    assert [each.lambdas for each in over] == [["0.0001", "0.001"], ["0.0001", "0.001", "0.01"]]
    assert [each.ends for each in over] == [{"0.001": "base"}, {"0.01": "base"}]
    assert now == ["0.0001", "0.001", "0.01", "0.1"]
    words = lambdas_so_far.words(design.in_round(over[-1].lambdas), str(tmp_path))
    assert words.endswith("beyond it: 0.01. To train 0.1 too, run the same command again.")
    assert "with lambdas up to 0.1, is not finished" in lambdas_so_far.words(
        design.in_round(now), str(tmp_path)
    )


def test_a_range_that_is_wide_enough_is_left_alone(tmp_path):
    # more is there, and not asked for: the best is at 0, which is no end
    design = extended(grown(tmp_path, (0, 1e-4, 1e-3, 1e-2), FALLING), zero=True)
    now, over = lambdas_so_far.look(design, str(tmp_path))
    assert now == ["0", "0.0001", "0.001"] and over == [lambdas_so_far.Round(now, {})]
    assert "wide enough" in lambdas_so_far.words(design, str(tmp_path))


@pytest.mark.parametrize(
    "lost", [run_folder("", "0.001", 3) / "run.json", predictions_file("", "0.001")]
)
def test_what_is_not_there_keeps_a_round_open(tmp_path, lost):
    design = extended(grown(tmp_path))
    (tmp_path / str(lost).lstrip("/")).unlink()
    assert lambdas_so_far.look(design, str(tmp_path)) == (["0.0001", "0.001"], [])


def test_any_set_up_extends_all(tmp_path):
    lambdas, name = (0.001, 0.01), "fraction~0.3"
    config = grown(tmp_path, lambdas, FALLING) | {"factors": {"validation.fraction": [0.3]}}
    grown(tmp_path / "setups" / name, lambdas)
    design = extended(config, **{"from": 0.001, "to": 0.01})
    now, over = lambdas_so_far.look(design, str(tmp_path))
    assert [each.ends for each in over] == [{"0.001": "base", "0.01": name}]
    assert now == ["0.0001", "0.001", "0.01", "0.1"]
    words = lambdas_so_far.words(design, str(tmp_path))
    assert f"0.01 in the set-up {name}" in words and "To train 0.0001 and 0.1 too" in words


@pytest.mark.slow  # makes tables
@pytest.mark.parametrize(
    ("effects", "random_state", "over_seeds", "wide"),
    [
        (FALLING, 0, "inside", "inside"),
        (replace(NOTHING, val_ce_min=(0.08, 0.0805)), 2, "inside", "may lie beyond"),
        (NOTHING, 1, "at the end", "at the end"),
    ],
)
def test_rounds_and_tables_say_the_same(tmp_path, effects, random_state, over_seeds, wide):
    """Also where the best may lie beyond an end only if other images are drawn."""
    config = grown(tmp_path, (0, 1e-4, 1e-3, 1e-2), effects, random_state=random_state)
    design = extended(config, to=1e-2, zero=True)
    aggregate.write_tables(design.config, LEDGER, tmp_path)
    choice = read_table(tmp_path / "tables" / "choice.csv")
    own = choice.query("rule == 'best' and configured == 'yes'").set_index("scope")
    assert own["grid"].to_dict() == {"seeds": over_seeds, "seeds and images": wide}
    now, _ = lambdas_so_far.look(design, str(tmp_path))
    added = set(map(float, now)) - {0, 1e-4, 1e-3, 1e-2}
    assert added == set(own.loc[["seeds and images"], "next_l2"].dropna())
    said = str(answer.of(read_results(tmp_path)).state)
    assert ("to train lambda 0.1 too, run the same command again." in said) == bool(added)
