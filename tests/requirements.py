"""What tests need of the system beyond Python: skipped where it is missing, failed in CI."""

import os
import shutil

import pytest


def require(program: str, package: str) -> str:
    """Return the path of `program`, of Debian's `package`; without it, skip the test."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        unavailable(f"{program} is missing: `make test-deps` installs it (package {package})")
    return path


def unavailable(reason: str) -> None:
    """Skip the test; where the environment variable CI is `true`, fail it: nothing is skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
