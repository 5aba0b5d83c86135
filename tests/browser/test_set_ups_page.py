"""The pages of a study with several set-ups, in real Chromium."""

from urllib.parse import unquote

import pytest

import report
import set_ups
from browsing import keep, opened, overflow, scrolling
from reported import CAPTIONS, NOTEBOOK, add_across, write_results

OTHER = "train_size~500,learning_rate~0.01"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The reports of the base and of another set-up of a made-up study with twelve."""
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, lambdas=[0, 1e-3, 1e-2], seeds=[0, 1, 2], epochs=4)
    config = add_across(folder, set_ups.WHEN, full=True, missing=["learning_rate~0.1"])
    for name in ("base", OTHER):
        report.write_report(config, NOTEBOOK, CAPTIONS, folder, name)
    return folder


@pytest.fixture(scope="module")
def base(results):
    return results / "report" / "report.html"


@pytest.fixture(scope="module")
def other(results):
    return results / "setups" / OTHER / "report" / "report.html"


def test_every_page_is_small_enough(base, other):
    assert base.stat().st_size < 8e6
    assert other.stat().st_size < base.stat().st_size


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_begin_with_the_links(chromium, base, other, width):
    for name, path in (("base", base), ("other", other)):
        with opened(chromium, path, width) as view:
            chooser = view.get_by_role("navigation", name="Set-ups")
            assert chooser.locator("a").count() == 11
            assert chooser.get_by_text("(no runs)").count() == 1
            current = chooser.locator("a[aria-current=page]")
            assert current.count() == 1
            assert int(current.evaluate("(one) => getComputedStyle(one).fontWeight")) >= 700
            headings = view.locator("h2").all_inner_texts()
            assert headings[0] == ("Across the set-ups" if name == "base" else "The answer")
            assert view.locator(".answer .headline").first.is_visible()
            assert view.locator(".glance").first.locator("dt").count() == 3
            keep(view, f"set-ups-{name}-{width}")
            assert overflow(view) <= 0
            assert scrolling(view) == []
            assert overflow(view) <= 0


def test_links_lead_to_the_page_of_the_set_up_and_back_by_keyboard(chromium, base, other):
    with opened(chromium, base) as view:
        view.unroute_all()
        link = view.locator("nav.setups a", has_text="learning rate 0.01").nth(1)
        assert unquote(link.get_attribute("href")).endswith(f"setups/{OTHER}/report/report.html")
        view.locator("nav.setups summary").press("Enter")
        view.locator("nav.setups a").first.focus()
        for _ in range(20):
            if link.evaluate("(one) => one === document.activeElement"):
                break
            view.keyboard.press("Tab")
        assert link.evaluate("(one) => getComputedStyle(one).outlineStyle") == "solid"
        view.keyboard.press("Enter")
        view.wait_for_url(other.as_uri().replace(",", "%2C"))
        assert view.locator("h1").inner_text().endswith("train size 500 + learning rate 0.01")
        view.locator("nav.setups summary").press("Enter")
        view.locator("nav.setups a", has_text="base").press("Enter")
        view.wait_for_url(base.as_uri())


def test_all_links_to_files_of_the_two_pages_work(chromium, base, other):
    for path in (base, other):
        with opened(chromium, path, java_script_enabled=False) as view:
            links = view.locator("main a").evaluate_all(
                "(all) => all.map((one) => one.getAttribute('href'))"
            )
            files = {unquote(link) for link in links if not link.startswith(("#", "http"))}
            reports = {file for file in files if file.endswith("report/report.html")}
            assert len(reports) == 11
            assert [f for f in files - reports if not (path.parent / f).exists()] == []


def test_verdicts_are_cards_on_a_phone(chromium, base):
    with opened(chromium, base, 390) as view:
        folded = view.locator("details", has_text="The verdicts as a table").first
        table = folded.locator("table")
        assert not table.is_visible()
        folded.locator("summary").focus()
        view.keyboard.press("Enter")
        assert table.is_visible()
        cards = table.locator("tbody tr")
        assert cards.count() == 12
        assert all(
            cards.nth(rank).bounding_box()["x"] + cards.nth(rank).bounding_box()["width"] <= 390
            for rank in range(12)
        )
        verdict = cards.nth(1).locator("td").first.locator("span.verdict")
        assert verdict.inner_text() in set_ups.VERDICTS
        assert cards.nth(2).locator("span.verdict").count() == 0
        assert overflow(view) <= 0
        keep(table, "set-ups-cards-390")
