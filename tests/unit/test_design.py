"""A study's design: its set-ups, and what a seed changes in each of their runs."""

import subprocess
import sys

import pytest

from l2study.core.config import ConfigError, check
from l2study.core.design import Design
from l2study.core.seeds import read_sources, write_sources
from project import PROJECT

CROSSED = {"seeds": {"weights": [0, 3], "order": [1, 2], "split": [0, 1, 5]}}

SAMPLE = {"train_size": 100}


def base(**keys):
    """Return the base set-up of the default study with these keys."""
    keys.setdefault("validation", {"split": "stratified"})
    return Design.of(check(keys)).base


def test_a_seed_changes_what_variation_says():
    setup = base(seeds=[3, 4], variation=["split", "order"])
    assert setup.varied == setup.differing == ["order", "split"]
    assert setup.sources(3) == {"order": 3, "split": 3}


def test_a_crossed_design_has_every_combination_once():
    setup = base(**CROSSED)
    assert len(set(setup.seeds)) == setup.seed_count == 12 and setup.seeds == sorted(setup.seeds)
    assert setup.sources(50203) == {"weights": 3, "order": 2, "split": 5}
    assert setup.crossed == setup.varied == ["weights", "order", "split"]
    more = base(seeds={**CROSSED["seeds"], "weights": [0, 3, 7], "sample": [5]}, dataset=SAMPLE)
    assert {5_00_00_00 + seed for seed in setup.seeds} < set(more.seeds)


def test_independent_runs_share_no_source_that_has_levels():
    setup = base(**CROSSED)
    assert setup.independent_seeds == [100, 10203]
    one = base(seeds={"weights": [4], "order": [1, 2, 3], "split": [0, 5]})
    assert one.independent_seeds == [104, 50204]
    assert one.varied == ["weights", "order", "split"] and one.crossed == ["order", "split"]
    assert base(seeds={"weights": 2, "order": 1}).crossed == []


def test_a_crossed_design_may_be_too_large():
    with pytest.raises(ConfigError, match="5 lambdas and 30000 seeds are 150000 runs"):
        base(seeds={"weights": 100, "order": 100, "split": 3})


def test_sources_are_read_as_they_are_written():
    sources = {"weights": 3, "order": 2, "split": 0}
    assert read_sources(write_sources(sources)) == sources
    assert list(read_sources("split=0,weights=3,order=2")) == list(sources)
    for text in ("", "weights", "weights=-1", "weights=x", "wieghts=1", "order=1,order=2"):
        with pytest.raises(ValueError, match=r"^--sources: .*weights=3,order=2$"):
            read_sources(text)


def test_a_further_round_adds_seeds_to_every_set_up():
    until = {"measure": "gap_reported", "half_width": 0.01, "max_seeds": 40}
    factors = {"training.batch_size": [32]}
    design = Design.of(check({"seeds": {"until": until}, "factors": factors}))
    assert design.base.seeds == list(range(10)) and design.runs == 2 * 5 * 10
    more = design.in_round(12)
    assert [setup.seeds for setup in more.setups] == [list(range(12))] * 2
    assert more.setups[1].until == until | {"now": 12} == more.base.until


def test_a_further_round_adds_lambdas_to_every_set_up():
    own = {"from": 0.01, "to": 0.1, "per_decade": 1, "zero": True, "extend": True}
    factors = {"training.batch_size": [32]}
    design = Design.of(check({"lambdas": own, "factors": factors}))
    assert design.base.lambdas == ["0", "0.01", "0.1"] and design.runs == 2 * 3 * 7
    assert design.base.reach == ["0", "0.0001", "0.001", "0.01", "0.1", "1", "10"]
    wider = ["0", "0.01", "0.1", "1"]
    more = design.in_round(wider)
    assert [setup.lambdas for setup in more.setups] == [wider] * 2 and more.runs == 2 * 4 * 7
    assert Design.of(check(more.config)) == more


def test_a_job_resolves_a_design_as_it_was_checked():
    factors = {"dataset.train_size": [1000], "training.epochs": [3, 9], "dataset.scale": ["none"]}
    config = check({"factors": factors})
    design = Design.of(config, checked=True)
    assert design == Design.of(config)
    assert [setup.place for setup in design.setups][:2] == ["", "/setups/train_size~1000"]
    assert set(design.data) == {"", "/data/train_size~1000", "/data/scale~none"}
    assert design.base.levels == {"train_size": "all", "epochs": "50", "scale": "usual"}
    longest, *_ = next(group for group in design.sharing if design.base in group)
    assert longest.epochs[-1] == 50


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "exercise"),
        ({"training": {"epochs": 3}, "dataset": {"train_size": 100}}, "exercise"),
        ({"dataset": {"name": "fashion_mnist"}}, "general"),
        ({"model": {"hidden_units": [64]}}, "general"),
        ({"dataset": {"label_noise": 0.2}}, "general"),
        ({"dataset": {"scale": "none"}}, "general"),
        ({"claims": "mine.yaml"}, "mine.yaml"),
    ],
    ids=str,
)
def test_the_exercise_s_claims_are_for_its_own_data_and_network(changes, name):
    assert Design.of(check(changes), checked=True).base.ledger == name


def test_a_ledger_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "mine.yaml").touch()
    Design.of(check({"claims": str(tmp_path / "mine.yaml")}))
    with pytest.raises(ConfigError, match=r'^claims: "generall" is not allowed; did you mean gen'):
        Design.of(check({"claims": "generall"}))


@pytest.mark.slow
def test_a_design_is_resolved_without_loading_much():
    program = (
        "import sys; from l2study.core.config import checked_before;"
        "from l2study.core.design import Design;"
        "Design.of(checked_before({'factors': {'training.epochs': [3]}}), checked=True);"
        "print({'numpy', 'pandas', 'pydantic', 'jsonschema'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT / "scripts", capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()", done.stderr
