import pytest


@pytest.fixture(scope="session")
def one_thread():
    """TensorFlow as a training job has it."""
    from l2study.backend import configure

    configure(threads=1)
