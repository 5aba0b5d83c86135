import pytest

from l2study.data.streams import stream


def test_a_stream_repeats_itself_and_those_of_different_purpose_or_keys_differ():
    uses = [
        *(("weights", seed) for seed in range(4)),
        *(("order", seed, epoch) for seed in range(4) for epoch in range(1, 4)),
        ("input noise",),
        ("split",),
        ("sample",),
        ("label noise",),
    ]
    drawn, again = ([stream(*use).integers(1 << 62) for use in uses] for _ in range(2))
    assert drawn == again and len(set(drawn)) == len(uses)


def test_an_unknown_purpose_is_refused():
    with pytest.raises(KeyError):
        stream("weather")
