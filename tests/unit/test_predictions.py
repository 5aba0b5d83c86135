"""The file with what the runs of a lambda predict."""

import numpy as np
import pytest

from l2study.core.predictions import Predicted, read_predictions, write_predictions


def some(size, seed=0):
    rng = np.random.default_rng(seed)
    label, predicted = rng.integers(0, 10, (2, size)).astype(np.uint8)
    return Predicted(label, predicted, rng.random(size, dtype=np.float32))


def test_what_is_written_is_read(tmp_path):
    runs = {0: {"val": some(6), "test": some(9)}, 12: {"val": some(6, 1), "test": some(9, 1)}}
    write_predictions(tmp_path / "a.npz", runs)
    found = read_predictions((tmp_path / "a.npz").read_bytes())
    assert list(found) == [0, 12]
    for seed, parts in runs.items():
        for part, predicted in parts.items():
            for field, array in predicted._asdict().items():
                read = getattr(found[seed][part], field)
                assert read.dtype == array.dtype and (read == array).all()


def test_equal_predictions_give_equal_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_predictions(tmp_path / name, {3: {"test": some(50)}})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_right_and_cross_entropy():
    """Also where a network is sure of a wrong class, and where the probability is 0 as a number."""
    probability = np.array([1, 0.5, 1e-20, 0], np.float32)
    predicted = Predicted(np.array([1, 2, 3, 3]), np.array([1, 2, 4, 4]), probability)
    assert predicted.right.tolist() == [1, 1, 0, 0]
    expected = [0, np.log(2), 20 * np.log(10), 126 * np.log(2)]
    assert predicted.cross_entropy == pytest.approx(expected)


@pytest.mark.parametrize("content", [b"", b"PK no archive"])
def test_another_file_is_a_value_error(content):
    with pytest.raises(ValueError):
        read_predictions(content)


def test_a_run_on_mnist_takes_at_most_100_kb(tmp_path):
    """Random predictions pack worse than any that a network makes."""
    write_predictions(tmp_path / "a.npz", {0: {"val": some(6000), "test": some(10000, 1)}})
    assert 50_000 < (tmp_path / "a.npz").stat().st_size <= 100_000
