import json
import math
import os

import numpy as np
import pandas as pd
import pytest

from l2study.core.files import (
    read_json,
    read_table,
    replacing,
    write_json,
    write_table,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_alone(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with replacing(path) as unfinished:
        unfinished.write_text("first half, ")
        assert not path.exists()
        assert unfinished.parent == path.parent
    assert path.read_text() == "first half, "
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [None, "as it was"])
def test_a_failure_leaves_the_file_as_it_was(tmp_path, error, before):
    path = tmp_path / "a.txt"
    if before:
        path.write_text(before)
    with pytest.raises(error), replacing(path) as unfinished:
        unfinished.write_text("half")
        raise error
    assert names(tmp_path) == (["a.txt"] if before else [])
    assert not before or path.read_text() == before


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".unfinished-123-a.txt", ".unfinished-123-b.txt"):
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == [".unfinished-123-b.txt", "a.txt"]


def test_a_failing_rename_leaves_no_unfinished_file(tmp_path):
    path = tmp_path / "a.txt"
    (path / "b").mkdir(parents=True)
    with pytest.raises(OSError):
        write_text(path, "text")
    assert names(tmp_path) == ["a.txt"]
    assert path.is_dir()


def test_content_is_on_disk_before_the_rename(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    write_text(tmp_path / "a.txt", "text")
    assert calls == ["fsync", "replace"]


def test_json_comes_back_as_it_was(tmp_path):
    value = {"b": [1, 2.5, None, True], "a": {"λ": "0.0001"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["b", "a"]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_json_has_no_number_that_is_not_finite(tmp_path, number):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": number})
    assert read_json(path) == {"a": 1}
    assert names(tmp_path) == ["a.json"]


def test_a_table_keeps_every_number_and_has_labels_of_lambdas(tmp_path):
    numbers = [0.1, 1e-7, math.nan, -0.0, 1e22, 1 / 3]
    table = pd.DataFrame(
        {
            "l2": [0.0, 1e-5, 0.001, 10.0, math.nan, 0.001],
            "float": numbers,
            "perhaps": pd.array([1, None, 3, None, 2**60, 0], "Int64"),
            "text": ["a", 'with "quotes", and a comma', "b", None, "two\nlines", "c"],
        }
    )
    write_table(table, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[1:3] == [
        "0,0.1,1,a",
        '1e-5,1e-07,,"with ""quotes"", and a comma"',
    ]
    found = read_table(tmp_path / "t.csv")
    np.testing.assert_array_equal(found["float"], numbers)
    assert found["perhaps"].dropna().astype(int).tolist() == [1, 3, 2**60, 0]
    assert found["l2"].isna().tolist() == [False] * 4 + [True, False]
