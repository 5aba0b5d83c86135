"""Pages opened in real Chromium from the file system, and watched for complaints."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from tiny import PROJECT

ARTEFACTS = PROJECT / "test-artefacts"
"""Where tests leave pictures of what they saw, for a person to look at; git ignores it."""


@contextmanager
def launched(program: str) -> Iterator:
    """Yield the browser `program`, headless."""
    # Chromium's sandbox refuses to work for root, as whom containers often run
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@contextmanager
def opened(browser, path: Path, width: int = 1280, **options) -> Iterator:
    """Yield the page at `path`, in a window so wide; at the end it must be free of complaints.

    A complaint is a request for anything but the file itself and what it contains, an error on the
    console, or an exception that nothing caught. Requests to the network are refused.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page = context.new_page()
    complaints = []

    def refuse(route):
        complaints.append(f"asks for {route.request.url[:200]}")
        route.abort()

    def note(message):
        if message.type == "error":
            complaints.append(f"console: {message.text}")

    page.route(lambda url: not url.startswith(("data:", "blob:", path.as_uri())), refuse)
    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.goto(path.as_uri())
    page.evaluate("document.fonts.ready")
    try:
        yield page
        if complaints:
            raise AssertionError("; ".join(complaints))
    finally:
        context.close()


def keep(shown, name: str) -> None:
    """Keep a picture of a whole page, or of one of its elements, as `name`.png."""
    ARTEFACTS.mkdir(exist_ok=True)
    whole = {"full_page": True} if hasattr(shown, "goto") else {}
    shown.screenshot(path=ARTEFACTS / f"{name}.png", **whole)


def overflow(page) -> int:
    """Return by how many pixels the page is wider than its window."""
    return page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
