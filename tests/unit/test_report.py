import html
import os
import re
import shutil
import signal
import subprocess
import sys

import nbformat
import pandas as pd
import papermill
import pytest

import report
from l2study.core.wording import fixed
from l2study.report import figures, in_process, page
from l2study.report.study import read_captions
from l2study.report.table_cells import Lines, Number, Verdict, Words
from reported import CAPTIONS, NOTEBOOK, write_results
from tiny import PROJECT

pytestmark = pytest.mark.slow

KERNEL = {"kernelspec": {"name": "python3", "language": "python", "display_name": "any"}}
PARAMETERS = nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]})


def options(results, config, notebook=NOTEBOOK, captions=CAPTIONS):
    given = {"config": config, "notebook": notebook, "captions": captions, "results": results}
    return [f"--{key}={value}" for key, value in given.items()]


def run_report(results, config, notebook=NOTEBOOK, **environment):
    program = str(PROJECT / "scripts" / "report.py")
    return subprocess.run(
        [sys.executable, program, *options(results, config, notebook)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    results = tmp_path_factory.mktemp("a study")
    config = write_results(
        results, lambdas=[0, 1e-2], seeds=[0, 1, 2], epochs=3, diverged={(1e-2, 2): 2}
    )
    done = run_report(results, config, HOME=str(tmp_path_factory.mktemp("home")))
    assert done.returncode == 0, done.stderr
    return results, done, config


def test_stored_notebook_has_parameters_and_neither_outputs_nor_results():
    notebook = nbformat.read(NOTEBOOK, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []
    tagged = [cell.id for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == ["parameters"]
    prose = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    # power, epochs 0 and 1, sign flips, the margin of an equivalence; L2 is a name
    assert set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", prose)) <= {"0", "1", "2", "0.8", "0.1"}


def test_report_folder_has_everything_and_nothing_else(made):
    results, done, _ = made
    folder = results / "report"
    drawn = {f"{name}.{kind}" for name in figures.FIGURES for kind in ("png", "svg")}
    assert {path.name for path in (folder / "figures").iterdir()} == drawn
    there = {path.name for path in folder.iterdir()}
    assert there == {"figures", "report.ipynb", "report.html", "summary.md"}
    assert {path.name for path in results.iterdir()} == {"runs", "measures", "tables", "report"}
    assert done.stderr == ""


def test_every_figure_on_the_page_has_alternative_text_and_caption(made):
    text = (made[0] / "report" / "report.html").read_text()
    described = {caption.description for caption in read_captions(CAPTIONS).values()}
    alternatives = re.findall(r'<img[^>]* alt="([^"]*)"', text)
    assert len(alternatives) == len(figures.FIGURES)
    assert {html.unescape(words) for words in alternatives} == described
    blocks = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    # a folded caption has its description as the words to click on
    assert all(block.count("<p>") >= 2 - ("<summary>" in block) for block in blocks)
    drawings = re.findall(r'<svg[^>]* role="img"[^>]*>', text)
    assert len(drawings) > 2
    assert all(re.search(r'aria-label="[^"]{20,}"', drawing) for drawing in drawings)


def test_every_link_within_the_page_leads_somewhere(made):
    text = (made[0] / "report" / "report.html").read_text()
    places = re.findall(r' id="?([^" >]+)', text)
    assert len(places) == len(set(places))
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert {place for place in links if place.startswith("term-")} > {"term-lag", "term-split"}
    assert links <= set(places)


def test_the_page_has_the_glossary_of_the_docs(made):
    text = html.unescape((made[0] / "report" / "report.html").read_text())
    for line in (PROJECT / "docs" / "glossary.md").read_text().splitlines():
        if line.startswith("## "):
            assert f">{line.removeprefix('## ')}</dt>" in text


def test_the_tables_are_enough_to_run_the_notebook_again(made, tmp_path):
    results, _, config = made
    shutil.copytree(results / "tables", tmp_path / "tables")
    parameters = {"config": config, "results": str(tmp_path), "captions": str(CAPTIONS)}
    again = report.execute(NOTEBOOK, parameters, [], tmp_path)
    shown = [cell for cell in again.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) > 20


def test_page_shows_the_tables_numbers(made):
    text = (made[0] / "report" / "report.html").read_text()
    runs = pd.read_csv(made[0] / "tables" / "runs.csv")
    for mean in runs.groupby("l2")["test_accuracy"].mean():
        assert f">{100 * mean:.2f}</td>" in text


def test_again_gives_the_same_bytes(made, tmp_path):
    results, _, config = made
    first = {p: p.read_bytes() for p in (results / "report").rglob("*") if p.is_file()}
    # a new home: the list of fonts that matplotlib keeps in that of the user may be out of date
    done = run_report(results, config, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {p.name for p in first if first[p] != p.read_bytes()} == set()


def test_failing_notebook_ends_in_one_clear_line_and_leaves_the_old_report(
    edge_case_results, tmp_path
):
    case = edge_case_results("every run diverged")
    results = shutil.copytree(case, tmp_path / "results")
    (results / "report").mkdir()
    (results / "report" / "report.html").write_text("of before")
    cell = nbformat.v4.new_code_cell("raise RuntimeError('no\\nway')")
    path = tmp_path / "failing.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[PARAMETERS, cell], metadata=KERNEL), path)
    before = {p: p.read_bytes() for p in results.rglob("*") if p.is_file()}
    done = run_report(results, results / "config.json", path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "failing.ipynb: the cell" in last and last.endswith("failed: RuntimeError: no way")
    assert {p: p.read_bytes() for p in results.rglob("*") if p.is_file()} == before


def test_what_is_refused_is_one_line(edge_case_results, tmp_path, capsys, monkeypatch):
    """In this process, as another takes seconds to start. Python prints a text that is given to
    `sys.exit`, and ends with status 1; that a notebook fails is tested with the real program."""
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    case = edge_case_results("only lambda 0, one epoch")
    results, captions = shutil.copytree(case, tmp_path / "results"), tmp_path / "captions"
    captions.mkdir()
    (captions / "nonsense.rst").write_text("What it shows.\n\nHow to read it.\n")

    def refusal(**more):
        with pytest.raises(SystemExit) as end:
            report.main(options(results, results / "config.json", **more))
        assert capsys.readouterr() == ("", "")
        return end.value.code

    no_figure = f"{captions}/nonsense.rst: there is no figure of this name"
    assert refusal(captions=captions) == no_figure
    (results / "tables" / "claims.csv").unlink()
    assert refusal() == (
        f"{results}/tables/claims.csv: cannot be read: No such file or directory;"
        " run the study to its end first"
    )
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
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)
    settings = {"engine_name": in_process.NAME, "ipython_dir": str(tmp_path), "progress_bar": False}
    done = papermill.execute_notebook(notebook, None, **settings)
    return [[{**output} for output in cell.outputs] for cell in done.cells]


def test_cells_show_what_they_show_in_jupyter(tmp_path):
    main = sys.modules["__main__"]
    said, shown, nothing = executed(
        tmp_path,
        "import sys\nx = 1\nprint('said', file=sys.stderr)",
        "display(x)\nprint(x + 1)\nx + 2",
        "None",
    )
    assert said == [{"output_type": "stream", "name": "stderr", "text": "said\n"}]
    assert [output["output_type"] for output in shown] == [
        "stream", "display_data", "execute_result",
    ]  # fmt: skip
    assert [o["data"]["text/plain"] for o in shown[1:]] == ["1", "3"]
    assert nothing == []
    assert sys.modules["__main__"] is main


@pytest.mark.parametrize(
    ("source", "error"), [("1 +", "SyntaxError"), ("1 / 0", "ZeroDivisionError")]
)
def test_cell_that_fails_is_the_last(tmp_path, source, error):
    mark = tmp_path / "mark"
    with pytest.raises(papermill.PapermillExecutionError) as failed:
        executed(tmp_path, "x = 1", source, f"open({str(mark)!r}, 'w')")
    assert (failed.value.source, failed.value.ename) == (source, error)
    assert not mark.exists()


def test_request_to_stop_is_heard_in_a_cell(tmp_path):
    with pytest.raises(SystemExit, match="enough"):
        executed(tmp_path, "raise SystemExit('enough')")


def test_cells_are_escaped_and_verdicts_marked():
    row = {
        "Claim": Words("a < b", "because"),
        "Verdict": Verdict("not judged", "figure found"),
        "x": Number(1.0, fixed(1), 0.5, 1.5),
        "Two": Lines(["a & b", "c"]),
    }
    table = page.table([row], 'so "called"').data
    assert "a &lt; b<br><small>because</small>" in table
    verdict = '<span class="verdict not-judged">not judged</span><br><small>figure found</small>'
    assert verdict in table
    assert "data-value=1.0>1.0<br><small>0.5 to 1.5</small></td>" in table
    assert "a &amp; b<br>c</td>" in table
    assert 'aria-label="so &#34;called&#34;"' in table
