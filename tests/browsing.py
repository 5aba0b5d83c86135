"""Pages opened in real Chromium from the file system, and watched for complaints."""

import os
from collections import Counter
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
    """Keep a picture of a whole page as `name`.jpg, or of one of its elements as `name`.png."""
    ARTEFACTS.mkdir(exist_ok=True)
    if hasattr(shown, "goto"):  # so large that PNG would take twice as long
        shown.screenshot(path=ARTEFACTS / f"{name}.jpg", full_page=True, quality=80)
    else:
        shown.screenshot(path=ARTEFACTS / f"{name}.png")


def overflow(page) -> int:
    """Return by how many pixels the page is wider than its window."""
    return page.evaluate("document.scrollingElement.scrollWidth - innerWidth")


def scrolling(page) -> list[str]:
    """Return what scrolls sideways in a frame of its own, by its label, with all details open."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    return page.evaluate(
        """[...document.querySelectorAll("*")]
            .filter((one) => ["auto", "scroll"].includes(getComputedStyle(one).overflowX))
            .filter((one) => one.scrollWidth > one.clientWidth)
            .map((one) => one.ariaLabel ?? one.tagName)"""
    )


def told(page) -> list[dict]:
    """Return what a reader who does not see the page is told, in order: `role`, `name`, `level`."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    by_id, found, todo = {node["nodeId"]: node for node in nodes}, [], [nodes[0]]
    while todo:
        node = todo.pop()
        todo += [by_id[child] for child in reversed(node.get("childIds", [])) if child in by_id]
        if not node["ignored"]:
            level = [p["value"]["value"] for p in node["properties"] if p["name"] == "level"]
            name = node.get("name", {}).get("value", "").strip()
            found.append({"role": node["role"]["value"], "name": name, "level": sum(level)})
    return found


def roles(page, table: str) -> Counter:
    """Return how often each role is in a table, as a reader who does not see it is told.

    Args:
        page: an open page.
        table: a selector of the table.
    """
    session = page.context.new_cdp_session(page)
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    node = session.send("DOM.querySelector", {"nodeId": root, "selector": table})["nodeId"]
    name = session.send("DOM.describeNode", {"nodeId": node})["node"]["backendNodeId"]
    tree = session.send("Accessibility.queryAXTree", {"backendNodeId": name})["nodes"]
    return Counter(one["role"]["value"] for one in tree if not one["ignored"])
