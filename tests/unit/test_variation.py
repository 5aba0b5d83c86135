"""The seeds of runs, and what each of them changes."""

import pytest

from l2study.core import variation
from l2study.core.config import ConfigError, check
from l2study.core.setups import setups

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


def test_a_source_with_one_level_may_be_shared():
    config = {"seeds": {"weights": [4], "order": [1, 2, 3], "split": [0, 5]}}
    assert variation.independent_seeds(config) == [104, 50204]


def test_the_number_of_seeds_is_that_of_their_list():
    assert variation.number_of_seeds(CROSSED) == 12
    assert variation.number_of_seeds({"seeds": [4, 7]}) == 2


def test_sources_are_read_as_they_are_written():
    sources = {"weights": 3, "order": 2, "split": 0}
    assert variation.write_sources(sources) == "weights=3,order=2,split=0"
    assert variation.read_sources("split=0,weights=3,order=2") == sources
    assert list(variation.read_sources("split=0,weights=3,order=2")) == list(sources)


@pytest.mark.parametrize(
    "text", ["", "weights", "weights=", "weights=-1", "weights=x", "wieghts=1", "order=1,order=2"]
)
def test_a_text_of_no_sources_is_refused(text):
    with pytest.raises(ValueError, match=r"^--sources: .*weights=3,order=2$"):
        variation.read_sources(text)


# ---- the configuration

UNTIL = {"measure": "gap_generalisation", "half_width": 0.001, "max_seeds": 60}
STRATIFIED = {"validation": {"split": "stratified"}}
SAMPLED = {"dataset": {"train_size": 100}}


def test_the_rules_hold_in_every_set_up():
    config = check(STRATIFIED | {"variation": ["split"], "factors": {"validation.split": ["tail"]}})
    with pytest.raises(ConfigError, match=r"level tail: validation\.split: tail keeps the same"):
        setups(config)
    config = check(SAMPLED | {"seeds": {"sample": 2}, "factors": {"dataset.train_size": [None]}})
    with pytest.raises(ConfigError, match=r"level null: dataset\.train_size: missing"):
        setups(config)
    for key in ("variation", "seeds"):
        factors = {key: [["weights"]]} if key == "variation" else {"seeds.order": [3]}
        with pytest.raises(ConfigError, match="changes nothing in what is trained"):
            setups(check({"factors": factors}))


def test_a_crossed_design_may_be_too_large():
    seeds = {"weights": 100, "order": 100, "split": 3}
    with pytest.raises(ConfigError, match="5 lambdas and 30000 seeds are 150000 runs"):
        setups(check(STRATIFIED | {"seeds": seeds}))


def test_sources_are_crossed_if_two_have_several_levels():
    assert variation.crossed_sources(CROSSED) == ["weights", "order", "split"]
    assert variation.crossed_sources({"seeds": [0, 1, 2]}) == []
    more = {"weights": [0, 1], "order": [0], "split": [0, 1, 2]}
    assert variation.crossed_sources({"seeds": more}) == ["weights", "split"]
    assert variation.crossed_sources({"seeds": {"weights": [0, 1], "order": [0]}}) == []


# ---- seeds in rounds


def test_the_first_round_has_ten_seeds_or_what_is_allowed():
    config = check({"seeds": {"until": UNTIL}})
    assert config["seeds"]["until"] == UNTIL | {"now": 10}
    assert check(config) == config
    few = check({"seeds": {"until": UNTIL | {"max_seeds": 4}}})
    assert variation.run_seeds(few) == [0, 1, 2, 3]


def test_a_round_has_all_seeds_up_to_it():
    config = variation.in_round(check({"seeds": {"until": UNTIL}}), 23)
    assert variation.run_seeds(config) == variation.independent_seeds(config) == list(range(23))
    assert variation.number_of_seeds(config) == 23
    assert variation.source_seeds(config, 7) == {"weights": 7, "order": 7}
    assert variation.varied(config) == ["weights", "order"] and not variation.is_crossed(config)
    assert check(config) == config
