import os
import re
import shutil
import signal
import subprocess
import sys
from html.parser import HTMLParser

import nbformat
import pandas as pd
import papermill
import pytest

import report
from l2study.core.wording import fixed
from l2study.report import figures, in_process, page
from l2study.report.study import read_captions
from l2study.report.table_cells import Evidence, Number, Verdict, Words
from reported import CAPTIONS, NOTEBOOK, write_results
from tiny import PROJECT

pytestmark = pytest.mark.slow


def options(results, config, notebook=NOTEBOOK, captions=CAPTIONS):
    given = {"config": config, "notebook": notebook, "captions": captions, "results": results}
    return [f"--{key}={value}" for key, value in given.items()]


def run_report(results, config, notebook=NOTEBOOK, **environment):
    return subprocess.run(
        [
            sys.executable,
            str(PROJECT / "scripts" / "report.py"),
            *options(results, config, notebook),
        ],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


class Page(HTMLParser):
    """What a page loads, its headings and anchors, and its images with their captions."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.images, self.anchors, self.links = [], [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.anchors.add(attributes.get("id"))
        if tag == "img":
            self.images.append(attributes)
        if tag == "a":
            self.links.append(attributes["href"])
        if "src" in attributes:
            self.loaded.append(attributes["src"])
        if tag == "link":
            self.loaded.append(attributes["href"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    results = tmp_path_factory.mktemp("a study")
    config = write_results(
        results, lambdas=[0, 1e-2], seeds=[0, 1, 2], epochs=3, diverged={(1e-2, 2): 2}
    )
    done = run_report(results, config, HOME=str(tmp_path_factory.mktemp("home")))
    assert done.returncode == 0, done.stderr
    return results, done, config


def test_stored_notebook_has_parameters_and_no_outputs():
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []
    assert [cell.id for cell in code if "parameters" in cell.metadata.get("tags", [])] == [
        "parameters"
    ]


def test_notebook_prose_has_no_results():
    notebook = nbformat.read(NOTEBOOK, 4)
    prose = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    # power, epochs 0 and 1, sign flips, the margin of an equivalence; L2 is a name
    assert set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", prose)) <= {"0", "1", "2", "0.8", "0.1"}


def test_report_folder_has_everything_and_nothing_else(made):
    results, done, _ = made
    folder = results / "report"
    drawn = {f"{name}.{kind}" for name in figures.FIGURES for kind in ("png", "svg")}
    assert {path.name for path in (folder / "figures").iterdir()} == drawn
    assert {path.name for path in folder.iterdir()} == {
        "figures",
        "report.ipynb",
        "report.html",
        "summary.md",
    }
    assert {path.name for path in results.iterdir()} == {"runs", "measures", "tables", "report"}
    assert done.stderr == ""


def test_executed_notebook_says_nothing_of_where_and_when(made):
    results, _, _ = made
    text = (results / "report" / "report.ipynb").read_text()
    assert ".report-" not in text
    assert "start_time" not in text
    notebook = nbformat.reads(text, 4)
    (injected,) = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert f'figures = "{results}/report/figures"' in injected.source
    assert not [
        o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream"
    ]


def test_page_loads_nothing_from_anywhere(made):
    text = (made[0] / "report" / "report.html").read_text()
    parsed = Page(text)
    assert parsed.loaded
    assert all(source.startswith("data:") for source in parsed.loaded)
    # Bokeh's own script may speak of addresses; the browser is told to load none
    assert "default-src 'none'" in text[:1000]
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "@import" not in outside
    assert not re.search(r"url\(\s*['\"]?(?!data:)", outside)


def test_page_has_contents_headings_and_working_links(made):
    parsed = Page((made[0] / "report" / "report.html").read_text())
    inside = [link[1:] for link in parsed.links if link.startswith("#")]
    assert len(inside) > 15
    assert set(inside) <= parsed.anchors
    beside = {link for link in parsed.links if not link.startswith("#")}
    folder = made[0] / "report"
    assert beside
    assert [link for link in sorted(beside) if not (folder / link).exists()] == []
    assert parsed.tags.count("h1") == 1


def test_every_figure_on_the_page_has_alternative_text_and_caption(made):
    text = (made[0] / "report" / "report.html").read_text()
    parsed = Page(text)
    described = {caption.description for caption in read_captions(CAPTIONS).values()}
    assert len(parsed.images) == len(figures.FIGURES)
    assert {image["alt"] for image in parsed.images} == described
    blocks = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    assert len(blocks) == len(figures.FIGURES)
    assert all(re.search(r"<figcaption>.*<p>.{80,}</p>", block, re.DOTALL) for block in blocks)


def test_answer_and_diverged_runs_come_first(made):
    text = (made[0] / "report" / "report.html").read_text()
    top = text[: text.index("<figure")]
    assert 'class="answer"' in top
    assert "1 diverged and left out of every mean (lambda 0.01 seed 2)" in top


def test_page_shows_the_tables_numbers(made):
    text = (made[0] / "report" / "report.html").read_text()
    runs = pd.read_csv(made[0] / "tables" / "runs.csv")
    for _, group in runs.groupby("l2"):
        assert f">{100 * group['test_accuracy'].mean():.2f}</td>" in text


def test_again_gives_the_same_bytes(made, tmp_path):
    results, _, config = made
    first = {p: p.read_bytes() for p in (results / "report").rglob("*") if p.is_file()}
    # a new home: the list of fonts that matplotlib keeps in that of the user may be out of date
    done = run_report(results, config, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {p.name for p in first if first[p] != p.read_bytes()} == set()


def failing(tmp_path, source):
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]}, id="parameters"),
            nbformat.v4.new_code_cell(source, id="body"),
        ],
        metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "x"}},
    )
    path = tmp_path / "failing.ipynb"
    nbformat.write(notebook, path)
    return path


def test_failing_notebook_ends_in_one_clear_line_and_leaves_the_old_report(made, tmp_path):
    results, _, config = made
    before = {p: p.read_bytes() for p in results.rglob("*") if p.is_file()}
    done = run_report(results, config, failing(tmp_path, "raise RuntimeError('no\\nway')"))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith(
        "failing.ipynb: the cell \"raise RuntimeError('no\\\\nway')\" failed: RuntimeError: no way"
    )
    assert {p: p.read_bytes() for p in results.rglob("*") if p.is_file()} == before


@pytest.fixture
def refusal(capsys):
    """A function: the last words of the program, where it ends before the notebook is executed.

    In this process, as another takes seconds to start. Python prints a text that is given to
    `sys.exit`, and ends with status 1; that a notebook fails is tested with the real program.
    """
    on_stop = signal.getsignal(signal.SIGTERM)

    def words(*given, **more):
        with pytest.raises(SystemExit) as end:
            report.main(options(*given, **more))
        assert capsys.readouterr() == ("", "")
        assert isinstance(end.value.code, str)
        return end.value.code

    yield words
    signal.signal(signal.SIGTERM, on_stop)


def test_missing_table_is_one_line(edge_case_results, tmp_path, refusal):
    shutil.copytree(edge_case_results("only lambda 0, one epoch"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "tables" / "claims.csv").unlink()
    assert refusal(tmp_path, tmp_path / "config.json") == (
        f"{tmp_path}/tables/claims.csv: cannot be read: No such file or directory;"
        " run the study to its end first"
    )
    assert not (tmp_path / "report").exists()


def test_caption_without_figure_is_refused(edge_case_results, tmp_path, refusal):
    results = edge_case_results("only lambda 0, one epoch")
    captions = tmp_path / "captions"
    captions.mkdir()
    (captions / "nonsense.rst").write_text("What it shows.\n\nHow to read it.\n")
    words = refusal(results, results / "config.json", captions=captions)
    assert words == f"{captions}/nonsense.rst: there is no figure of this name"
    assert not (results / "report").exists()


def test_figures_that_the_notebook_does_not_name_are_shown_at_its_end():
    cells = [nbformat.v4.new_code_cell('page.figure(study, "gap", figures)')]
    notebook = nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell('"creep"')])
    whole = report.with_figures(notebook, ["verdict_map", "gap", "creep"])
    added = [cell.source for cell in whole.cells[2:]]
    assert added == ["## More figures", 'page.figure(study, "creep", figures)']
    assert len(report.with_figures(whole, ["gap", "creep"]).cells) == 4


def executed(tmp_path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"name": "any", "display_name": "any", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    settings = {"engine_name": in_process.NAME, "ipython_dir": str(tmp_path), "progress_bar": False}
    done = papermill.execute_notebook(notebook, None, **settings)
    return [[{**output} for output in cell.outputs] for cell in done.cells]


def test_cells_show_what_they_show_in_jupyter(tmp_path):
    main = sys.modules["__main__"]
    said, shown, nothing, page = executed(
        tmp_path,
        "import sys\nx = 1\nprint('said', file=sys.stderr)",
        "display(x)\nprint(x + 1)\nx + 2",
        "None",
        "from IPython.display import HTML\nHTML('<b>4</b>')",
    )
    assert said == [{"output_type": "stream", "name": "stderr", "text": "said\n"}]
    assert [output["output_type"] for output in shown] == [
        "stream", "display_data", "execute_result",
    ]  # fmt: skip
    assert [o["data"]["text/plain"] for o in shown[1:]] == ["1", "3"]
    assert nothing == []
    assert page[0]["data"]["text/html"] == "<b>4</b>"
    assert sys.modules["__main__"] is main


@pytest.mark.parametrize("source", ["1 +", "1 / 0"])
def test_cell_that_fails_is_the_last(tmp_path, source):
    mark = tmp_path / "mark"
    with pytest.raises(papermill.PapermillExecutionError) as failed:
        executed(tmp_path, "x = 1", source, f"open({str(mark)!r}, 'w')")
    assert failed.value.source == source
    assert failed.value.ename in "".join(failed.value.traceback)
    assert failed.value.ename == ("SyntaxError" if source == "1 +" else "ZeroDivisionError")
    assert not mark.exists()


def test_request_to_stop_is_heard_in_a_cell(tmp_path):
    with pytest.raises(SystemExit, match="enough"):
        executed(tmp_path, "raise SystemExit('enough')")


def test_cells_are_escaped_and_verdicts_marked():
    row = {
        "Claim": Words("a < b", "because"),
        "Verdict": Verdict("not resolved"),
        "x": Number(1.0, fixed(1), 0.5, 1.5),
        "Evidence": Evidence("gap.csv", "gap"),
    }
    table = page.table([row], 'so "called"').data
    assert "a &lt; b" in table
    assert '<span class="verdict not-resolved">not resolved</span>' in table
    cell = '<td role=cell data-label="x" data-value=1.0>1.0<br><small>0.5 to 1.5</small></td>'
    assert cell in table
    assert "a &lt; b<br><small>because</small>" in table
    assert '<a href="../tables/gap.csv">gap.csv</a>, <a href="#figure-gap">gap</a>' in table
    assert 'aria-label="so &#34;called&#34;"' in table
    assert page.table([], "Nothing").data == "<p>Nothing: none.</p>"


def test_contents_name_every_section():
    text = page.with_contents("<!-- contents --><h2>A &amp; b?</h2><h2>C</h2>")
    assert '<li><a href="#a-b">A &amp; b?</a></li><li><a href="#c">C</a></li>' in text
    assert '<h2 id="a-b">' in text
