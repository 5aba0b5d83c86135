import pytest

from browsing import launched
from requirements import require


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium, that of the system."""
    with launched(require("chromium", "chromium")) as browser:
        yield browser
