import json
import math
import os

import numpy as np
import pytest

from l2study.core.files import read_json, replacing, write_json, write_text


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


def test_the_suffix_is_kept_for_writers_that_look_at_it(tmp_path):
    with replacing(tmp_path / "data.images.npy") as unfinished:
        np.save(unfinished, np.arange(3))
    assert names(tmp_path) == ["data.images.npy"]
    assert np.load(tmp_path / "data.images.npy").tolist() == [0, 1, 2]


def test_text_is_utf8(tmp_path):
    write_text(tmp_path / "a.txt", "λ = 0\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xce\xbb = 0\n"


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
