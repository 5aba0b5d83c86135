"""The report's page as a reader has it, in real Chromium."""

import base64
import math
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import report
import words
from browsing import ARTEFACTS, keep, opened, overflow, roles, scrolling, told
from l2study.core.columns import HISTORY_COLUMNS
from l2study.core.labels import l2_label
from l2study.core.wording import fixed, p_value, rounded
from l2study.report import figures, page
from l2study.report.table_cells import Number, Verdict
from reported import CAPTIONS, NOTEBOOK, write_page, write_results

LAMBDAS = [0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
WHITE, BACKGROUND = "rgb(255, 255, 255)", "getComputedStyle(document.body).backgroundColor"
LABELS = ["0", "1e-5", "0.0001", "0.0003", "0.001", "0.003", "0.01"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The report of a made-up study as large as the default one, with a run that diverged."""
    folder = tmp_path_factory.mktemp("results")
    config = write_results(
        folder, lambdas=LAMBDAS, seeds=range(10), epochs=20, diverged={(1e-2, 4): 7}
    )
    report.write_report(config, NOTEBOOK, CAPTIONS, folder)
    return folder


@pytest.fixture(scope="module")
def html(results):
    return results / "report" / "report.html"


@pytest.fixture(scope="module")
def windows(chromium, html):
    """The page in a wide and in a narrow window, opened once: that takes seconds."""
    with opened(chromium, html) as wide, opened(chromium, html, 390) as narrow:
        for view in (wide, narrow):
            view.wait_for_selector("body.explored")
        yield {1280: wide, 390: narrow}


@pytest.fixture
def in_window(windows):
    """A function: the page in a window so wide. After the test, it is as it was."""
    yield windows.get
    for width, view in windows.items():
        view.emulate_media(media="null", color_scheme="null", reduced_motion="null")
        view.set_viewport_size({"width": width, "height": 900})
        view.get_by_label("Measure").select_option("val_ce")
        view.get_by_label("Single seeds").uncheck()
        view.get_by_label("Epoch 0").uncheck()
        view.get_by_role("button", name="All", exact=True).click()
        view.evaluate(
            """() => {
                location.hash = "";
                document.querySelectorAll("details").forEach((one) => { one.open = false; });
                scrollTo(0, 0);
            }"""
        )


@pytest.fixture
def desk(in_window):
    return in_window(1280)


@pytest.fixture
def phone(in_window):
    return in_window(390)


@pytest.fixture(scope="module")
def means(results):
    """Means over the completed runs, by lambda and epoch."""
    histories = pd.read_csv(results / "tables" / "histories.csv")
    complete = histories[~((histories["l2"] == 1e-2) & (histories["seed"] == 4))]
    return complete.groupby(["l2", "epoch"])[HISTORY_COLUMNS[3:]].mean()


def data(view, name):
    """What a source of the plot holds, column by column."""
    view.wait_for_selector("body.explored")
    return view.evaluate(
        """(name) => {
            const {data} = Bokeh.documents[0].get_model_by_name(name);
            const plain = (value) => (typeof value === "object" ? [...value].map(plain) : value);
            return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, plain(v)]));
        }""",
        name,
    )


def picture(view, unlike=b""):
    """The plot as it is drawn once it has come to rest, and, if it ever does, unlike another."""
    view.wait_for_selector("body.explored")
    last = None
    for _ in range(50):
        view.wait_for_timeout(100)
        before, last = last, view.locator("#explorer-plot").screenshot()
        if last == before != unlike:
            break
    return last


def boxes(view):
    return view.locator("#explorer fieldset input[type=checkbox]")


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [390, 1280])
def test_opens_complete_and_fits(html, in_window, width):
    view = in_window(width)
    assert html.stat().st_size < 6e6
    view.wait_for_selector("body.explored")
    sizes = view.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(sizes) == len(figures.FIGURES) and all(sizes)
    assert view.evaluate("[...document.images].every((image) => image.alt.length > 20)")
    assert view.locator("h1").count() == 1
    assert view.locator("h2").count() > 9
    assert view.locator("table").count() > 10
    keep(view, f"page-{width}")
    assert overflow(view) <= 0
    assert scrolling(view) == []


@pytest.mark.parametrize(("width", "end"), [(1280, ".answer"), (390, ".glance")])
def test_the_first_screen_has_the_answer_three_numbers_and_a_picture(in_window, width, end):
    """With a run that diverged, which takes four lines more on a phone."""
    view = in_window(width)
    view.set_viewport_size({"width": width, "height": 800})
    place = view.locator(end).first.bounding_box()
    assert place["y"] + place["height"] <= 800
    view.screenshot(path=ARTEFACTS / f"first-screen-{width}.png")
    assert view.locator(".answer .headline").inner_text().startswith("Use ")
    assert view.locator(".glance dt").count() == 3
    assert "diverged" in view.locator(".answer .wrong").first.inner_text()
    assert view.locator(".glance img").evaluate("(image) => image.naturalWidth") > 100


def test_the_answer_is_short(html):
    """With a run that diverged and a negative gap; the default study has neither, and 150 words."""
    answer = re.search(r'<div class="answer">.*?<h2', html.read_text(), re.DOTALL)[0]
    assert 50 < words.words(words.page_text(answer, unfolded=False)) <= 200


def test_contents_lead_to_the_sections_and_code_unfolds(desk):
    desk.emulate_media(reduced_motion="reduce")
    link = desk.locator("nav.beside a", has_text="Learning curves")
    link.click()
    heading = desk.get_by_role("heading", name=link.inner_text(), level=2)
    # the browser scrolls by whole pixels, so a heading may end up a fraction above the edge
    assert -1 < heading.bounding_box()["y"] < 450
    code = desk.locator("details.code").nth(1)
    assert not code.locator("pre").first.is_visible()
    code.locator("summary").click()
    assert code.locator("pre").first.is_visible()


def test_a_term_leads_to_its_place_in_the_glossary(desk):
    desk.emulate_media(reduced_motion="reduce")
    term = desk.locator("#term-lag")
    assert not term.is_visible()
    desk.locator('#where-the-gap-comes-from ~ p a[href="#term-lag"]').first.click()
    assert term.is_visible()
    assert -2 < term.bounding_box()["y"] < 900


def test_claims_are_drawn_and_unfold_to_their_course(in_window):
    for width in (390, 1280):
        view = in_window(width)
        drawings = view.get_by_role("img", name="Needed:")
        assert drawings.count() >= 7
        assert all(one.bounding_box()["width"] > 150 for one in drawings.all())
        course = view.locator("#claim-small-gap svg[role=img]")
        assert not course.is_visible()
        view.locator('a[href="#claim-small-gap"]').click()
        assert course.is_visible()
        keep(view.locator("#claim-small-gap"), f"claim-{width}")
        assert overflow(view) <= 0


def test_the_page_is_short(html):
    page = html.read_text()
    assert words.words(words.page_text(page, unfolded=False)) <= 2_000
    assert words.words(words.page_text(page)) <= 6_000


def test_without_scripts_a_sentence_stands_for_the_plot(chromium, html):
    with opened(chromium, html, java_script_enabled=False) as view:
        assert view.locator("#explorer").is_hidden()
        assert view.locator(".explorer .instead").is_visible()
        assert view.locator("thead button").count() == 0


def test_prints_what_is_folded_and_not_what_only_works_on_a_screen(desk):
    desk.wait_for_selector("body.explored")
    assert desk.locator(".explorer .instead").is_hidden()
    printed = desk.pdf(path=ARTEFACTS / "page.pdf", prefer_css_page_size=True)
    desk.emulate_media(media="print", color_scheme="dark")
    assert desk.locator("#explorer").is_hidden()
    assert desk.locator(".explorer .instead").is_visible()
    assert desk.locator("nav.beside").is_hidden()
    assert desk.locator("#term-lag").is_visible()
    assert desk.locator("#claim-small-gap table").first.is_visible()
    assert desk.locator("details.code pre").first.is_hidden()
    assert desk.evaluate(BACKGROUND) == WHITE
    # A4 less its margins, at 96 pixels to the inch
    desk.set_viewport_size({"width": 657, "height": 900})
    keep(desk, "page-printed")
    assert overflow(desk) <= 0
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 5


# --- to a reader who does not see it --------------------------------------------------------------

NAMED = {
    *("button", "checkbox", "combobox", "figure", "heading", "image", "link", "navigation"),
    *("region", "table", "DisclosureTriangle", "RootWebArea"),
}
"""What is of no use to such a reader without a name."""


@pytest.mark.parametrize("width", [390, 1280])
def test_all_that_needs_a_name_has_one_and_headings_are_in_order(in_window, width):
    view = in_window(width)
    scrolling(view)  # opens all that is folded
    nodes = told(view)
    assert NAMED - {"combobox"} <= {node["role"] for node in nodes}
    nameless = Counter(node["role"] for node in nodes if not node["name"])
    assert not NAMED & nameless.keys(), nameless
    levels = [node["level"] for node in nodes if node["role"] == "heading"]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert view.evaluate("document.documentElement.lang") == "en"
    assert view.evaluate(
        "[...document.querySelectorAll('table')].every((one) => one.querySelector('th[scope]'))"
    )


CONTRAST = """() => {
    const parts = (colour) => [...colour.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
    const behind = (element) => {
        if (!element) return parts(getComputedStyle(document.body).backgroundColor);
        const [r, g, b, alpha] = parts(getComputedStyle(element).backgroundColor);
        if (alpha === 1) return [r, g, b];
        const below = behind(element.parentElement);
        return [r, g, b].map((own, k) => alpha * own + (1 - alpha) * below[k]);
    };
    const light = (colour) => {
        const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = colour.map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const worst = {};
    for (const one of document.querySelectorAll("body *:not(script, [aria-hidden])")) {
        const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!text || !one.checkVisibility()) continue;
        const style = getComputedStyle(one);
        const ink = one.closest("svg") ? style.fill : style.color;
        const [low, high] = [ink, behind(one)]
            .map((colour) => light(typeof colour === "string" ? parts(colour) : colour))
            .sort((a, b) => a - b);
        const name = `${one.tagName} ${one.getAttribute("class") ?? ""} ${ink}`;
        worst[name] = Math.min(worst[name] ?? 21, (high + 0.05) / (low + 0.05));
    }
    return worst;
}"""
"""What finds the least contrast of text with what is behind it, by element and colour (WCAG 2)."""


def test_nothing_is_cut_or_faint_on_paper_or_a_phone(chromium, html, phone):
    with opened(chromium, html, 390, color_scheme="dark") as dark:
        dark.wait_for_selector("body.explored")
        for scheme, view in (("light", phone), ("dark", dark)):
            keep(view, f"page-phone-{scheme}")
            assert overflow(view) <= 0 and scrolling(view) == []
            assert (view.evaluate(BACKGROUND) == WHITE) == (scheme == "light")
            contrast = view.evaluate(CONTRAST)
            assert len(contrast) > 20
            assert {name: ratio for name, ratio in contrast.items() if ratio < 4.5} == {}
            view.emulate_media(media="print", color_scheme=scheme)
            view.set_viewport_size({"width": 657, "height": 900})  # as above
            assert overflow(view) <= 0 and scrolling(view) == []


# --- tables ---------------------------------------------------------------------------------------


def column(table, k):
    texts = "(rows, k) => rows.map((row) => row.cells[k].innerText.split('\\n')[0])"
    return table.locator("tbody tr").evaluate_all(texts, k)


def test_a_click_on_a_head_sorts_up_then_down_then_as_it_was(desk):
    table = desk.locator("table.sortable").first
    assert table.locator("tbody small").count()  # intervals, below the numbers

    def numbers(k):
        return [float(re.match(r"−?[\d.]+", t)[0].replace("−", "-")) for t in column(table, k)]

    for k in (1, 2):
        head, before = table.locator("thead th").nth(k), numbers(k)
        for state, expected in (
            ("ascending", sorted(before)),
            ("descending", sorted(before, reverse=True)),
            (None, before),
        ):
            # anywhere on the head, not only on its words
            head.click(position={"x": 3, "y": 3})
            assert head.get_attribute("aria-sort") == state
            assert numbers(k) == expected
    assert column(table, 0) == LABELS


def test_sorting_knows_negative_small_and_missing_numbers_and_words(chromium, tmp_path):
    numbers = (math.nan, 1.5, -20.25, 0.00003, 0.0001)
    verdicts = ("holds", "open", "fails", "not judged", "open")
    rows = [
        {
            "λ": Number(l2, l2_label),
            "x": Number(x, p_value if 0 < x < 1 else fixed(2), *((1.0, 2.0) if x == 1.5 else ())),
            "Verdict": Verdict(verdict),
        }
        for l2, x, verdict in zip((0, 1e-5, 1e-4, 1e-2, 1e-1), numbers, verdicts, strict=True)
    ]
    path = write_page(tmp_path, page.table(rows, "A table").data)
    with opened(chromium, path) as view:
        table = view.locator("table")
        table.get_by_role("button", name="x").focus()
        view.keyboard.press("Enter")
        assert column(table, 0) == ["0.0001", "0.01", "0.1", "1e-5", "0"]
        view.keyboard.press("Enter")
        assert column(table, 0) == ["1e-5", "0.1", "0.01", "0.0001", "0"]
        table.get_by_role("button", name="Verdict").click()
        assert column(table, 0) == ["0.0001", "0", "0.01", "1e-5", "0.1"]
        assert view.locator("[aria-sort]").count() == 1
        table.get_by_role("button", name="λ").click()
        assert column(table, 0) == ["0", "1e-5", "0.0001", "0.01", "0.1"]


def test_numbers_meet_at_the_decimal_point(chromium, tmp_path):
    rows = [{"λ": str(k), "x": Number(x, rounded())} for k, x in enumerate((37.6, 7.114, 112))]
    path = write_page(tmp_path, page.table(rows, "A table").data)
    with opened(chromium, path) as view:
        places = view.evaluate(
            """[...document.querySelectorAll("tbody td")].map((cell) => {
                const text = cell.firstChild, range = document.createRange();
                const point = text.data.search(/[.\\u2008]/);
                range.setStart(text, point);
                range.setEnd(text, point + 1);
                return range.getBoundingClientRect().left;
            })"""
        )
    assert np.ptp(places) < 1


TABLES = {heading: f"#{heading} ~ section table" for heading in ("lambda-by-lambda", "the-claims")}
"""A table of numbers and one of words."""


@pytest.mark.parametrize("heading", TABLES)
def test_a_row_is_a_card_on_a_phone_and_to_a_screen_reader_the_same(phone, desk, heading):
    for view, card in ((phone, True), (desk, False)):
        table = view.locator(TABLES[heading]).first
        assert all(head.is_visible() for head in table.locator("thead button").all())
        cells = table.locator("tbody tr").first.locator("th, td")
        # all at once: the page may still be scrolling
        places = cells.evaluate_all("all => all.map((cell) => cell.getBoundingClientRect())")
        places = [place for place in places if place["width"]]
        width = view.viewport_size["width"]
        assert all(place["x"] + place["width"] <= width for place in places)
        assert (len({place["y"] for place in places}) > 2) == card
        rows, columns = table.locator("tbody tr").count(), table.locator("thead th").count()
        there = roles(view, TABLES[heading])
        assert there["rowheader"] == rows == there["row"] - 1
        assert there["columnheader"] == columns
        assert there["cell"] == rows * (columns - 1)


# --- curves to pick -------------------------------------------------------------------------------


def test_picking_lambdas_changes_the_curves(desk, means):
    view = desk
    before = picture(view)
    view.get_by_role("checkbox", name="1e-5").uncheck()
    assert len(data(view, "means")["ys"]) == len(LAMBDAS) - 1
    fewer = picture(view, unlike=before)
    assert fewer != before
    view.get_by_role("button", name="None").click()
    assert data(view, "means")["ys"] == []
    assert "No lambda" in view.locator("#explorer caption").inner_text()
    # by keyboard alone
    boxes(view).nth(6).focus()
    view.keyboard.press("Space")
    (line,) = data(view, "means")["ys"]
    assert line == pytest.approx(means.loc[1e-2, "val_ce"][1:].tolist(), rel=1e-4)
    single = picture(view, unlike=before)
    assert single not in (before, fewer)
    row = view.locator("#explorer tbody tr")
    assert row.count() == 1
    assert row.locator("th").inner_text() == "0.01"
    assert float(row.locator("td").first.inner_text()) == pytest.approx(
        means.loc[(1e-2, 20), "val_ce"], rel=1e-3
    )
    view.get_by_role("button", name="All", exact=True).click()
    assert picture(view, unlike=single) == before


def test_picking_a_measure_changes_the_curves(desk, means):
    view = desk
    before = picture(view)
    view.get_by_label("Measure").select_option("gap_reported")
    gap = 100 * (means["train_accuracy_running"] - means["val_accuracy"])
    drawn = data(view, "means")["ys"]
    for k, l2 in enumerate(LAMBDAS):
        assert drawn[k] == pytest.approx(gap[l2][1:].tolist(), abs=1e-3)
    assert picture(view, unlike=before) != before
    assert "Reported gap" in view.locator("#explorer-plot").get_attribute("aria-label")
    keep(view.locator("#explorer"), "explorer-reported-gap")


def test_single_seeds_and_epoch_0_are_there_on_request(desk):
    view = desk
    assert data(view, "runs")["ys"] == []
    before = picture(view)
    view.get_by_label("Single seeds").check()
    assert len(data(view, "runs")["ys"]) == 69
    assert picture(view, unlike=before) != before
    view.get_by_label("Epoch 0").check()
    assert data(view, "means")["xs"][0] == list(range(21))
    # before any step there is no running mean
    view.get_by_label("Measure").select_option("train_accuracy_running")
    assert data(view, "means")["xs"][0] == list(range(1, 21))
    assert np.isfinite(data(view, "runs")["ys"]).all()
    keep(view.locator("#explorer"), "explorer-seeds")


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_of_the_curves_do_not_cover_each_other(in_window, width):
    view = in_window(width)
    view.get_by_label("Measure").select_option("test_accuracy")
    places = sorted(data(view, "ends")["y"])
    low, high, height = view.evaluate(
        """() => {
            const plot = Bokeh.documents[0].get_model_by_name("explorer");
            return [plot.y_range.start, plot.y_range.end, plot.inner_height];
        }"""
    )
    keep(view.locator("#explorer"), f"explorer-{width}")
    assert min(np.diff(places)) * height / (high - low) > 11
    assert low < places[0]
    assert places[-1] < high


# --- other studies --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["every run diverged", "three evaluated epochs", "twelve lambdas"])
def test_curves_of_edge_cases(chromium, tmp_path, case, edge_case):
    study = edge_case(case)
    path = write_page(tmp_path, page.curves(study).data)
    complete = study.tables["runs"].query("status == 'completed'")
    with opened(chromium, path, 390) as view:
        if complete.empty:
            assert "No run of this study completed" in view.locator("main").inner_text()
            return
        view.wait_for_selector("body.explored")
        view.get_by_label("Single seeds").check()
        view.get_by_label("Epoch 0").check()
        assert len(data(view, "means")["ys"]) == complete["l2"].nunique()
        assert len(data(view, "runs")["ys"]) == len(complete)
        assert overflow(view) <= 0
        ticks = view.evaluate(
            """() => {
                const {x_range, below: [axis]} = Bokeh.documents[0].get_model_by_name("explorer");
                const {start, end} = x_range;
                return axis.ticker.get_ticks(start, end, x_range, 0, {}).major;
            }"""
        )
        assert ticks == [round(tick) for tick in ticks]


def test_a_page_that_asks_for_more_is_found_out(chromium, tmp_path):
    """The watch itself: what a page tries to load is refused by it, and reported."""
    outside = '<img alt="" src="https://example.org/image.png">'
    path = write_page(tmp_path, outside)
    with pytest.raises(AssertionError, match=r"example\.org"), opened(chromium, path) as view:
        view.wait_for_load_state()
    image = base64.b64encode(b"no image").decode()
    path = write_page(tmp_path, f'<img alt="" src="data:image/png;base64,{image}">')
    with opened(chromium, path) as view:
        assert view.evaluate("document.images[0].naturalWidth") == 0
