import numpy as np
import pytest

from l2study.data.streams import stream


def test_a_stream_repeats_itself():
    first, again = (stream("order", 3, 7).integers(1 << 40) for _ in range(2))
    assert first == again


def test_streams_of_different_purpose_or_keys_differ():
    uses = [
        *(("weights", seed) for seed in range(4)),
        *(("order", seed, epoch) for seed in range(4) for epoch in range(1, 4)),
        ("input noise",),
        ("split",),
        ("sample",),
        ("label noise",),
    ]
    assert len({stream(*use).integers(1 << 62) for use in uses}) == len(uses)


def test_seed_0_is_a_seed():
    orders = [stream("order", seed, 1).permutation(50) for seed in (0, 0, 1)]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_an_unknown_purpose_is_refused():
    with pytest.raises(KeyError):
        stream("weather")
