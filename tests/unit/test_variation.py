"""The seeds of runs, and what each of them changes."""

from l2study.core import variation

CROSSED = {"seeds": {"weights": [0, 3], "order": [1, 2], "split": [0, 1, 5]}}


def test_a_seed_changes_weights_and_order():
    config = {"seeds": [3, 5]}
    assert variation.run_seeds(config) == variation.independent_seeds(config) == [3, 5]
    assert variation.source_seeds(config, 5) == {"weights": 5, "order": 5}


def test_a_seed_changes_what_variation_says():
    config = {"seeds": [3], "variation": ["order", "split"]}
    assert variation.varied(config) == ["order", "split"]
    assert variation.source_seeds(config, 3) == {"order": 3, "split": 3}


def test_a_crossed_design_has_every_combination_once():
    seeds = variation.run_seeds(CROSSED)
    assert len(set(seeds)) == 12 and seeds == sorted(seeds)
    assert 50203 in seeds
    assert variation.source_seeds(CROSSED, 50203) == {"weights": 3, "order": 2, "split": 5}


def test_a_further_source_or_level_keeps_the_seeds_that_are_there():
    more = {"seeds": {**CROSSED["seeds"], "weights": [0, 3, 7], "sample": [0, 1]}}
    assert set(variation.run_seeds(CROSSED)) < set(variation.run_seeds(more))


def test_independent_runs_share_no_source():
    seeds = variation.independent_seeds(CROSSED)
    assert seeds == [100, 10203]
    assert set(seeds) <= set(variation.run_seeds(CROSSED))
