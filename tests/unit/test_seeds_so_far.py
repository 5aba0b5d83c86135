"""How many seeds a study in rounds has, by the runs that are there."""

import pytest

import aggregate
from l2study.core.design import Design, Setup
from l2study.core.files import read_table
from l2study.report import page, text_tables
from l2study.report.study import read_results
from l2study.tables.rounds import rounds
from l2study.workflow import seeds_so_far
from synthetic import write_study
from tiny import PROJECT

LEDGER = PROJECT / "reports" / "claims" / "general.yaml"


def in_rounds(config, **until):
    given = {"measure": "gap_generalisation", "half_width": 0.0002, "max_seeds": 40} | until
    return {**config, "seeds": {"until": given | {"now": len(config["seeds"])}}}


def set_up(config):
    return Design(config, (Setup("base", {}, config, {}),))


def grown(folder, seeds, **until):
    """A made-up study with these seeds, told to go on until intervals are narrow enough."""
    config = write_study(folder, lambdas=[0, 1e-2], seeds=range(seeds), epochs=4)
    return in_rounds(config, **until)


def look(config, folder):
    return seeds_so_far.look(set_up(config), str(folder))


def test_a_run_that_is_not_there_keeps_a_round_open(tmp_path):
    config = grown(tmp_path, 10)
    wanted, over = look(config, tmp_path)
    assert len(over) == 1 and wanted > 10
    (tmp_path / "runs" / "l2~0.01" / "seed~3" / "run.json").unlink()
    assert look(config, tmp_path) == (10, [])
    assert "first round, of 10 seeds, is not finished" in seeds_so_far.words(
        set_up(config), str(tmp_path)
    )


def test_the_values_are_those_of_the_histories(tmp_path):
    config = grown(tmp_path, 12, max_seeds=12)
    aggregate.write_tables(config, LEDGER, tmp_path)
    runs = read_table(tmp_path / "tables" / "runs.csv")
    cells = {
        ("base", l2): runs.loc[runs["l2"] == float(l2), "gap_generalisation"].to_numpy()
        for l2 in ("0", "0.01")
    }
    wanted, over = look(config, tmp_path)
    expected = rounds(cells, 0.0002, 12, 0.95)
    assert wanted == expected[0] == 12 and len(over) == len(expected[1]) == 2
    for found, known in zip(over, expected[1], strict=True):
        for cell, at_end in found.cells.items():
            assert at_end == pytest.approx(known.cells[cell])


def test_runs_of_another_training_do_not_count(tmp_path):
    config = grown(tmp_path, 10)
    config["training"] = config["training"] | {"learning_rate": 0.5}
    assert look(config, tmp_path) == (10, [])


def test_what_is_said_of_a_narrow_interval(tmp_path):
    """Of wider ones: tests/workflow."""
    config = grown(tmp_path, 10, half_width=0.5)
    words = seeds_so_far.words(set_up(config), str(tmp_path))
    assert words.startswith("With 10 seeds, the widest interval of the generalisation gap is ±0.0")
    assert words.endswith("Wanted: ±50 points or less.")


def test_table_and_page_have_the_rounds(tmp_path):
    config = grown(tmp_path, 12, max_seeds=12)
    aggregate.write_tables(config, LEDGER, tmp_path)
    table = read_table(tmp_path / "tables" / "rounds.csv")
    assert table[["round", "seeds"]].drop_duplicates().to_numpy().tolist() == [[1, 10], [2, 12]]
    half = (table["high"] - table["low"]) / 2
    assert half.tolist() == pytest.approx(table["half_width"].tolist())
    assert (table.groupby("l2")["sd"].diff().dropna() >= 0).all()
    study = read_results(tmp_path)
    assert len(text_tables.rounds_table(study)) == 4
    assert "with the most seeds that the study may have" in page.rounds(study).data
