"""A study that adds seeds in rounds, by one command that is given again."""

from l2study.core.seeds import FIRST_ROUND
from project import Project

UNTIL = {"measure": "val_ce", "half_width": 1e-6, "max_seeds": FIRST_ROUND + 2}


def make(project, *targets, **until):
    project.configure(lambdas=[0, 0.03], seeds={"until": UNTIL | until})
    return project.make(*targets), project.tables()


def test_rounds_end_with_the_most_seeds_or_a_narrow_interval(tmp_path):
    project = Project(tmp_path / "study")
    project.shorten_report()
    said, tables = make(project, "aggregate")
    assert f"{2 * FIRST_ROUND} runs to train, 0 kept" in said
    assert f"This takes {FIRST_ROUND + 2} seeds: run the same command again." in said
    assert {row["n"] for row in tables["gap"]} == {str(FIRST_ROUND)}

    said, tables = make(project)
    assert f"4 runs to train, {2 * FIRST_ROUND} kept" in said
    assert "To allow more seeds, raise seeds.until.max_seeds." in said
    rounds = tables["rounds"]
    assert [row["seeds"] for row in rounds] == [str(FIRST_ROUND)] * 2 + [str(FIRST_ROUND + 2)] * 2

    # a study that is finished knows its rounds, and a wider interval needs no more than the first
    said, again = make(project)
    assert "runs to train" not in said and again == tables
    said, tables = make(project, "aggregate", half_width=10)
    assert "Wanted: ±10 nats or less." in said and "again" not in said
    assert {row["n"] for row in tables["gap"]} == {str(FIRST_ROUND)}
    assert {row["round"] for row in tables["rounds"]} == {"1"}
