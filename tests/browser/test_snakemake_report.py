"""Snakemake's own report of the tiny study: every figure and table, captions, run times."""

import pytest

from browsing import keep, opened
from l2study.report.study import read_captions
from project import PROJECT

TABLES = sorted(path.stem for path in (PROJECT / "reports" / "tables").glob("*.rst"))


@pytest.fixture(scope="module")
def built(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "workflow.html"
    # Snakemake brings what its page needs; it would download what were missing
    assert "downloading" not in finished.make("--report", str(path))
    return path


def test_every_table_has_a_caption(finished):
    assert {path.stem for path in (finished.results / "tables").glob("*.csv")} == set(TABLES)
    assert len(read_captions(PROJECT / "reports" / "tables")) == len(TABLES)


def open_category(page, name):
    page.get_by_text(name, exact=True).click()
    page.wait_for_selector("#app tbody tr")


@pytest.mark.parametrize(
    ("category", "folder"), [("Figures", "captions"), ("Tables", "tables")], ids=str
)
def test_every_figure_and_table_is_there_and_the_last_has_its_caption(
    chromium, built, category, folder
):
    with opened(chromium, built) as page:
        open_category(page, category)
        captions = read_captions(PROJECT / "reports" / folder)
        rows = page.locator("#app tbody tr").all()
        names = [row.locator("td").first.inner_text() for row in rows]
        assert names == [name.replace("_", " ") for name in captions]
        keep(page, f"snakemake-{category.lower()}")
        last = list(captions.values())[-1]
        page.locator("#app tbody tr").last.locator("a[iconname=information-circle]").click()
        page.get_by_text(last.description).wait_for()


def test_figures_open(chromium, built):
    with opened(chromium, built) as page:
        open_category(page, "Figures")
        page.locator("#app tbody tr a[iconname=eye]").first.click()
        image = page.locator("#app img[src^='data:image/svg']").last
        assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 200
        keep(page, "snakemake-figure")


def test_the_study_is_described_and_its_run_times_drawn(chromium, built):
    with opened(chromium, built) as page:
        description = page.locator("#app").inner_text()
        assert "The study tiny asks" in description
        assert "It trains every lambda for 3 epochs" in description
        assert "{{" not in description
        page.get_by_role("link", name="Statistics").click()
        page.locator(".vega-embed canvas, .vega-embed svg").first.wait_for()
        keep(page, "snakemake-statistics")
        times = page.evaluate("runtimes_spec.data.values")
        assert sorted(time["rule"] for time in times) == sorted(
            ["aggregate", "check_data", "model", "prepare", "report"]
            + ["measure"] * 3
            + ["train"] * 9
        )
        assert all(time["runtime"] > 0 for time in times)
