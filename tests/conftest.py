import os
import shutil

import pytest


def require(program: str, package: str) -> str:
    """Return the path of `program`, of Debian's `package`; without it, skip the test.

    Where the environment variable CI is `true`, the test fails instead: nothing is skipped there.
    """
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        reason = f"{program} is missing: `make test-deps` installs it (package {package})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium, that of the system."""
    from browsing import launched

    with launched(require("chromium", "chromium")) as browser:
        yield browser


@pytest.fixture(scope="session")
def one_thread():
    """TensorFlow as a training job has it."""
    from l2study.backend import configure

    configure(threads=1)
