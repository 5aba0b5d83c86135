"""The button that draws one seed, in real Chromium."""

import json

import pytest

from browsing import keep, opened, overflow
from l2study.report import page
from l2study.report.one_seed_text import drawing
from reported import made_up, write_page
from synthetic import NOTHING


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A made-up study with a run that diverged, whose seeds do not say the same."""
    return made_up(
        tmp_path_factory.mktemp("results"),
        lambdas=[0, 1e-5, 1e-4, 1e-2],
        seeds=[2, 3, 5, 7],
        epochs=4,
        diverged={(1e-2, 5): 2},
        effects=NOTHING,
    )


@pytest.fixture(scope="module")
def html(study, tmp_path_factory):
    """A page of this section alone. That it is in the report, test_page.py says."""
    return write_page(tmp_path_factory.mktemp("page"), page.one_seed(study).data)


@pytest.fixture(scope="module")
def said(study):
    """By seed, what stands in every row, and whether it is other than what all seeds say."""
    data = json.loads(drawing(study)["data"])
    columns = zip(zip(*data["said"], strict=True), zip(*data["other"], strict=True), strict=True)
    cells = [list(zip(*column, strict=True)) for column in columns]
    return dict(zip(map(str, data["seeds"]), cells, strict=True))


def draw(view):
    """Click, and return the seed that was drawn and the cells of its column."""
    view.get_by_role("button", name="Draw one seed").click()
    place = view.locator("#one-seed")
    seed = place.locator("thead th").last.inner_text().split()[1]
    cells = place.locator("tbody td:last-child")
    texts = cells.evaluate_all("(all) => all.map((one) => one.innerText.split('\\n'))")
    marked = cells.evaluate_all("(all) => all.map((one) => one.classList.contains('other'))")
    return seed, texts, marked


def test_a_click_shows_what_a_seed_alone_would_have_said(chromium, html, said):
    with opened(chromium, html) as view:
        assert view.locator("#one-seed table").is_hidden()
        seen, last = set(), None
        for _ in range(40):
            seed, texts, marked = draw(view)
            assert seed != last
            last = seed
            seen.add(seed)
            # the first row is the lambda that is picked, the others are differences
            notes = ["another lambda"] + ["opposite sign"] * (len(texts) - 1)
            rows = zip(texts, marked, notes, said[seed], strict=True)
            for lines, mark, note, (text, other) in rows:
                assert lines == [text] + [note] * other
                assert mark == bool(other)
            differ = sum(other for _, other in said[seed])
            status = view.locator("#one-seed [role=status]").inner_text()
            words = f"otherwise than all seeds in {differ} of 10 rows" if differ else "the same"
            assert f"Seed {seed} alone says {words}" in status
        assert seen == set(said) == {"2", "3", "5", "7"}
        assert len({sum(other for _, other in cells) for cells in said.values()}) > 1


def test_a_run_that_diverged_has_no_numbers(said):
    assert [text for text, _ in said["5"]].count("–") == 3
    assert not [text for text, _ in said["3"] if text == "–"]


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits(chromium, html, width):
    with opened(chromium, html, width) as view:
        draw(view)
        assert overflow(view) <= 0
        place = view.locator("#one-seed")
        keep(place, f"one-seed-{width}")
        assert place.locator(".scroll").evaluate("(one) => one.scrollWidth <= one.clientWidth")


def test_without_scripts_the_counts_stand_as_a_table(chromium, html):
    with opened(chromium, html, java_script_enabled=False) as view:
        assert view.locator("#one-seed").is_hidden()
        table = view.get_by_role("region", name="How many seeds alone say what")
        view.locator("summary", has_text="How many seeds alone say what").click()
        assert table.is_visible() and table.locator("tbody tr").count() == 4
        assert " of 4" in table.inner_text()


def test_it_is_not_printed(chromium, html):
    with opened(chromium, html) as view:
        draw(view)
        view.emulate_media(media="print")
        assert view.locator("#one-seed").is_hidden()
